"""What a loss returns. Apart from the loop, so that what only loads a model does not depend on training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class Mean(NamedTuple):
    """A mean `over` so many terms, such as a batch's tokens, of which other batches of a step may have more.

    Both are scalars. A batch without any term is a mean over 0, of whatever value, whose gradient is 0.
    """

    value: Tensor
    over: Tensor


Terms = Mapping[str, Tensor | Mean]

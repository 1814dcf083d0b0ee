"""Weights are loaded where every key and shape fits, or not at all; a report names those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

BUFFERS = (".position_ids", ".relative_position_index", ".token_type_ids")  # rebuilt by the classes
SHOWN = 5  # keys that a report lists of each kind


class WeightsError(ValueError):
    """A checkpoint does not fit the model; the message lists the keys."""


def load_strict(
    model: nn.Module, state: Mapping[str, Tensor], *, origin: str, fresh: tuple[str, ...] = ()
) -> None:
    """Load weights where every key and shape must fit, apart from index buffers that the classes rebuild.

    `fresh`: beginnings of keys that may be missing and then keep their weights. On error nothing is loaded.
    Raises WeightsError.
    """
    own = model.state_dict()
    missing = [k for k in own if k not in state and not k.endswith(BUFFERS) and not k.startswith(fresh)]
    left_over = [k for k in state if k not in own and not k.endswith(BUFFERS)]
    if missing or left_over:
        raise WeightsError(key_report(origin, missing, left_over))
    known = {k: v for k, v in state.items() if k in own and not k.endswith(BUFFERS)}
    if wrong := [f"{k} {list(v.shape)}" for k, v in known.items() if v.shape != own[k].shape]:
        raise WeightsError(key_report(origin, [], [], wrong))
    model.load_state_dict(known, strict=False)


def complaint_of_loading(info: Mapping[str, Any], *, origin: str) -> str | None:
    """What does not fit by the `output_loading_info` of `from_pretrained`; None where all does.

    Keys that the class itself says it leaves out are not in that information.
    """
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    missing, left_over, wrong = (sorted(map(str, info[kind])) for kind in kinds)
    return key_report(origin, missing, left_over, wrong) if missing or left_over or wrong else None


def key_report(
    origin: str, missing: Sequence[str], left_over: Sequence[str], wrong: Sequence[str] = ()
) -> str:
    """One sentence with the keys that do not fit, and what to check."""

    def first(keys: Sequence[str]) -> str:
        more = ", ..." if len(keys) > SHOWN else ""
        return f"{len(keys)}" + (f" ({', '.join(keys[:SHOWN])}{more})" if keys else "")

    return (
        f"The weights of {origin} do not fit this model: keys missing {first(missing)}, "
        f"left over {first(left_over)}, of another shape {first(wrong)}. "
        "Check that the checkpoint is the one its card names and that the configuration is its own."
    )

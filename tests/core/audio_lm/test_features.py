"""Features on disk: items of different lengths come back as they were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.adapters.prefix_lm import Features
from core.audio_lm.features import StoreError, open_store, write_set

Noise = Callable[[tuple[int, ...]], torch.Tensor]


def ragged(values: torch.Tensor, lengths: list[int]) -> Features:
    mask = torch.arange(values.shape[1]) < torch.tensor(lengths)[:, None]
    return Features(values, mask)


def write(folder: Path, ids: list[str], noise: Noise, lengths: list[int]) -> dict[str, torch.Tensor]:
    """Two batches of a set with layers (B, T, L, D) and vectors (B, 1, D), as `Ears.hear` gives them."""
    layers, vectors = (
        noise((len(ids), max(lengths), 3, 4)).half().float(),
        noise((len(ids), 1, 2)).half().float(),
    )
    with write_set(folder, ("ast", "clap")) as writer:
        for part in (slice(0, 2), slice(2, None)):
            writer.append(
                ids[part],
                {
                    "ast": ragged(layers[part], lengths[part]),
                    "clap": ragged(vectors[part], [1] * len(ids[part])),
                },
            )
    return {"ast": layers, "clap": vectors}


def test_items_of_any_length_come_back(tmp_path: Path, noise: Noise) -> None:
    lengths = [3, 1, 5, 4]
    written = write(tmp_path / "a", ["w", "x", "y", "z"], noise, lengths)
    write(tmp_path / "b", ["w", "v"], noise, [2, 2])
    store = open_store(tmp_path, ("b", "a"), ("ast", "clap"))
    assert store.widths() == {"ast": 4, "clap": 2}
    values, mask = store.read("ast", ["a:z", "a:w", "a:x"])
    assert values.dtype == torch.float32
    assert values.shape == (3, 3, 4, 4)  # (B, L, T, D), padded to the longest that was asked for
    assert mask.tolist() == [[True] * 4, [True] * 3 + [False], [True] + [False] * 3]
    for row, (place, length) in enumerate([(3, 4), (0, 3), (1, 1)]):
        torch.testing.assert_close(values[row, :, :length], written["ast"][place, :length].transpose(0, 1))
        assert not values[row, :, length:].any()
    vector, seen = store.read("clap", ["a:y"])
    torch.testing.assert_close(vector, written["clap"][2:3])
    assert seen.tolist() == [[True]]
    assert store.read("ast", ["b:w"]).values.shape[2] == 2  # of the same name in another set


def test_what_is_not_there_names_the_stage_to_run(tmp_path: Path, noise: Noise) -> None:
    write(tmp_path / "a", ["w", "x"], noise, [1, 2])
    with pytest.raises(StoreError, match=r"no features of c .*stage `features`"):
        open_store(tmp_path, ("a", "c"), ("ast",))
    with pytest.raises(StoreError, match="no features of 'a:q'"):
        open_store(tmp_path, ("a",), ("ast",)).read("ast", ["a:w", "a:q"])


def test_a_set_without_items_leaves_the_widths_alone(tmp_path: Path, noise: Noise) -> None:
    with write_set(tmp_path / "none", ("ast",)):
        pass
    write(tmp_path / "a", ["w", "x"], noise, [1, 2])
    assert open_store(tmp_path, ("none", "a"), ("ast",)).widths() == {"ast": 4}


def test_a_broken_run_leaves_the_old_features(tmp_path: Path, noise: Noise) -> None:
    write(tmp_path / "a", ["w", "x"], noise, [1, 2])
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    with pytest.raises(KeyError), write_set(tmp_path / "a", ("ast", "clap")) as writer:
        writer.append(["new"], {name: ragged(noise((1, 1, 2)), [1]) for name in ("ast", "clap", "other")})
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before

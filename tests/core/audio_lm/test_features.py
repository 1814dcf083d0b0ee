"""Features on disk: items of different lengths come back as they were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.adapters.prefix_lm import Features
from core.audio_lm.features import StoreError, heard_of, keep_only, open_store, read_truth, write_set

Noise = Callable[[tuple[int, ...]], torch.Tensor]


def ragged(values: torch.Tensor, lengths: list[int]) -> Features:
    mask = torch.arange(values.shape[1]) < torch.tensor(lengths)[:, None]
    return Features(values, mask)


def write(folder: Path, ids: list[str], noise: Noise, lengths: list[int]) -> dict[str, torch.Tensor]:
    """Two batches of a set with layers (B, T, L, D) and vectors (B, 1, D), as encoders give them."""
    layers, vectors = (
        noise((len(ids), max(lengths), 3, 4)).half().float(),
        noise((len(ids), 1, 2)).half().float(),
    )
    parts = (slice(0, 2), slice(2, None))
    for encoder, values, steps in (("ast", layers, lengths), ("clap", vectors, [1] * len(ids))):
        with write_set(folder.parent / encoder / folder.name) as writer:
            for part in parts:
                writer.append(ids[part], ragged(values[part], steps[part]))
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
    with pytest.raises(StoreError, match=r"no features of c .*stage `features ast`"):
        open_store(tmp_path, ("a", "c"), ("ast",))
    with pytest.raises(StoreError, match="no features of 'a:q'"):
        open_store(tmp_path, ("a",), ("ast",)).read("ast", ["a:w", "a:q"])


def test_a_set_without_items_leaves_the_widths_alone(tmp_path: Path, noise: Noise) -> None:
    with write_set(tmp_path / "ast" / "none"):
        pass
    write(tmp_path / "a", ["w", "x"], noise, [1, 2])
    assert open_store(tmp_path, ("none", "a"), ("ast",)).widths() == {"ast": 4}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_broken_run_leaves_the_old_features(tmp_path: Path, noise: Noise) -> None:
    write(tmp_path / "a", ["w", "x"], noise, [1, 2])
    before = contents(tmp_path)

    def broken() -> None:
        with write_set(tmp_path / "ast" / "a") as writer:
            writer.append(["new"], ragged(noise((1, 1, 2)), [1]))
            raise MemoryError("killed")

    with pytest.raises(MemoryError):
        broken()
    assert contents(tmp_path) == before


def test_a_set_says_what_it_was_heard_of(tmp_path: Path, noise: Noise) -> None:
    folder = tmp_path / "tags" / "a"
    assert heard_of(folder) == ""
    for identity, truth in (("one", {"w": ["rain"]}), ("two", None)):
        with write_set(folder, identity=identity, truth=truth) as writer:
            writer.append(["w"], ragged(noise((1, 1, 2)), [1]))
        assert heard_of(folder) == identity
        assert read_truth(tmp_path, ["a"]) == ({"a:w": ["rain"]} if truth else {})
    (folder / "set.json").unlink()
    assert heard_of(folder) == ""  # not whole: it is heard again


def test_what_is_no_longer_asked_is_removed(tmp_path: Path, noise: Noise) -> None:
    for name in ("a", "b", ".a.123.tmp"):
        with write_set(tmp_path / "ast" / name) as writer:
            writer.append(["w"], ragged(noise((1, 1, 2)), [1]))
    (tmp_path / "ast" / "encoder.json").touch()
    assert sorted(keep_only(tmp_path / "ast", ["a"])) == [".a.123.tmp", "b"]
    assert sorted(path.name for path in (tmp_path / "ast").iterdir()) == ["a", "encoder.json"]


def test_encoders_that_heard_other_items_do_not_stand_together(tmp_path: Path, noise: Noise) -> None:
    for encoder, ids in (("ast", ["w", "x"]), ("clap", ["x", "w"])):
        with write_set(tmp_path / encoder / "a") as writer:
            writer.append(ids, ragged(noise((2, 1, 2)), [1, 1]))
    with pytest.raises(StoreError, match="ast and clap have heard other items of a"):
        open_store(tmp_path, ("a",), ("ast", "clap"))


def test_a_model_that_hears_nothing_wants_no_features(tmp_path: Path, noise: Noise) -> None:
    assert open_store(tmp_path, ("nowhere",), ()).knows("nowhere:x")
    write(tmp_path / "a", ["w", "x"], noise, [1, 2])
    store = open_store(tmp_path, ("a",), ("ast",))
    assert store.knows("a:w")
    assert not store.knows("a:q")

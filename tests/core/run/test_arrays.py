"""Arrays written row by row equal those written at once, and a failed one leaves nothing."""

from pathlib import Path

import numpy as np
import pytest

from core.run.arrays import array_writer
from core.run.files import OutputError


@pytest.mark.parametrize("sizes", [(3, 4, 1), (1,), (1000, 999)])
def test_rows_equal_one_save(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    rows = [np.random.default_rng(n).normal(size=(n, 2, 5)) for n in sizes]
    with array_writer(tmp_path / "a" / "x.npy", dtype=np.float16) as writer:
        for part in rows:
            writer.append(part)
    found = np.load(tmp_path / "a" / "x.npy", mmap_mode="r")
    assert found.dtype == np.float16
    assert np.array_equal(found, np.concatenate(rows).astype(np.float16))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.npy"]


def test_no_rows_are_an_empty_array(tmp_path: Path) -> None:
    with array_writer(tmp_path / "x.npy"):
        pass
    assert np.load(tmp_path / "x.npy").shape == (0,)


def test_another_shape_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    def write() -> None:
        with array_writer(tmp_path / "x.npy") as writer:
            writer.append(np.zeros((2, 3)))
            writer.append(np.zeros((2, 4)))

    with pytest.raises(ValueError, match="shape"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match="cannot write"), array_writer(tmp_path / "a" / "x.npy"):
        pass

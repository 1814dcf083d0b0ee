"""Arrays on disk, written row by row without ever being whole in memory; whole or absent in the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.run.files import OutputError, remove_left_overs, temporary_of


class RowWriter:
    """Appends rows to an open .npy file. All rows have the shape of the first."""

    def __init__(self, file: BinaryIO, dtype: np.dtype) -> None:
        self._file, self._dtype = file, dtype
        self._shape: tuple[int, ...] | None = None
        self._data_from = 0
        self.rows = 0

    def append(self, rows: np.ndarray) -> None:
        """Add rows (n, ...). Raises ValueError when their shape is not that of the rows before."""
        if self._shape is None:
            self._shape = rows.shape[1:]
            self._data_from = self._header()
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows of shape {rows.shape[1:]} after rows of shape {self._shape}")
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).tobytes())
        self.rows += len(rows)

    def finish(self) -> None:
        """Write the final length; without any rows the array is (0,)."""
        if self._header() != self._data_from and self._shape is not None:
            raise ValueError(f"{self.rows} rows do not fit the header that was begun")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _header(self) -> int:
        # numpy pads the header so that the first axis may grow in the same room
        shape = (self.rows, *(self._shape or ()))
        self._file.seek(0)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


class ArrayFileError(ValueError):
    """A .npy file that is cut, or none."""


def open_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    """The array of a .npy file; mapped: read as it is used. Raises FileNotFoundError, ArrayFileError."""
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: run the stage that makes it again") from None
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise ArrayFileError(
            f"{path} is cut or no array ({str(error)[:120]}): delete it and run the stage that makes it again"
        ) from error


@contextlib.contextmanager
def array_writer(path: Path, *, dtype: np.typing.DTypeLike = np.float32) -> Iterator[RowWriter]:
    """Write `path` (.npy) by appending rows; it appears when the block ends without an error.

    Raises OutputError when the disk is full or the folder cannot be written, and leaves nothing behind.
    """
    temporary = temporary_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_overs(path)
        with open(temporary, "wb") as file:
            writer = RowWriter(file, np.dtype(dtype))
            yield writer
            writer.finish()
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; make room there or make the folder writable, "
            "then run the same command again (nothing half-written was left)"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()

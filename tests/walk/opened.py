"""Which files below a folder were opened, by the kernel, which also sees what libraries in C and Rust do."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from pathlib import Path

OPEN, OVERFLOW = 0x20, 0x4000


class Opened:
    """Within `with Opened(folder)`, `files` collects paths relative to `folder`; on Linux alone."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, set[str]()
        self.watching = sys.platform == "linux"

    def __enter__(self) -> Opened:
        if self.watching:
            libc = ctypes.CDLL(None, use_errno=True)
            self.queue = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            self.watched: dict[int, Path] = {}
            for place, _, _ in os.walk(self.folder):
                number = libc.inotify_add_watch(self.queue, os.fsencode(place), OPEN)
                if number < 0:
                    raise OSError(ctypes.get_errno(), f"cannot watch {place}")
                self.watched[number] = Path(place)
            self.done = threading.Event()
            self.thread = threading.Thread(target=self._listen, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.watching:
            self.done.set()
            self.thread.join()
            os.close(self.queue)

    def _listen(self) -> None:
        while True:
            ended = self.done.wait(0.2)
            while (block := self._read()) is not None:
                self._note(block)
            if ended:
                return

    def _read(self) -> bytes | None:
        try:
            return os.read(self.queue, 1 << 20)
        except BlockingIOError:
            return None

    def _note(self, block: bytes) -> None:
        at = 0
        while at < len(block):
            number, mask, _, length = struct.unpack_from("iIII", block, at)
            name = block[at + 16 : at + 16 + length].rstrip(b"\0").decode()
            at += 16 + length
            if mask & OVERFLOW:
                raise OSError("the kernel's queue of events was full")
            if (path := self.watched[number] / name).is_file():
                self.files.add(path.relative_to(self.folder).as_posix())

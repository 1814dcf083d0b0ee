"""How long a FLAC is by its frames, where its header does not say or is wrong. RFC 9639, sections 8 and 9."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

_HEAD = 42  # "fLaC", and the first block of metadata
_TOTAL = (1 << 36) - 1
_TAIL = 1 << 17  # the end of a file in which its last frame is looked for


def stated_samples(stream: BinaryIO) -> int | None:
    """The number of samples in a FLAC's header, 0 where it was not known; None for what is no FLAC."""
    stream.seek(0)
    head = stream.read(_HEAD)
    return int.from_bytes(head[18:26], "big") & _TOTAL if head[:4] == b"fLaC" and len(head) == _HEAD else None


def counted_samples(stream: BinaryIO) -> int | None:
    """The sample at which the last frame ends; None where the file does not end with a whole frame.

    A frame that ends where the header says is taken as it is; any other must have a right checksum.
    """
    stated = stated_samples(stream)
    if stated is None:
        return None
    stream.seek(0)
    head = stream.read(_HEAD)
    block, largest = int.from_bytes(head[8:10], "big"), int.from_bytes(head[15:18], "big")
    size = stream.seek(0, os.SEEK_END)
    tail = min(size - _HEAD, min(largest or _TAIL, _TAIL) + 256)
    stream.seek(size - tail)
    data = stream.read(tail)
    if data[-128:-125] == b"TAG":  # ID3v1
        data = data[:-128]
    other: list[tuple[int, int]] = []
    at = len(data)
    while (at := data.rfind(b"\xff", 0, at)) >= 0:
        end = _frame_end(data[at : at + 16], block)
        if end is not None and end == stated:
            return end
        if end is not None:
            other.append((at, end))
    return next((end for at, end in other[:8] if _crc(data[at:], bits=16, polynomial=0x8005) == 0), None)


def with_length(stream: BinaryIO) -> io.BytesIO | None:
    """A copy of a FLAC that went to a pipe with its length written, None for a FLAC that has one or is cut.

    libsndfile decodes nothing of a FLAC without a length.
    """
    if stated_samples(stream) != 0 or not (samples := counted_samples(stream)):
        return None
    stream.seek(0)
    data = bytearray(stream.read())
    data[18:26] = (int.from_bytes(data[18:26], "big") | samples).to_bytes(8, "big")
    return io.BytesIO(bytes(data))


def _frame_end(head: bytes, block: int) -> int | None:
    """The sample at which the frame with this header ends, None where it is no header."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size_code, rate_code, lead = head[2] >> 4, head[2] & 15, head[4]
    more = 0 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length() - 1  # bytes that follow, as in UTF-8
    if size_code == 0 or not 0 <= more < 7 or (lead >= 0x80 and more == 0):
        return None
    number = lead if more == 0 else lead & (0x3F >> more)
    for byte in head[5 : 5 + more]:
        number = number << 6 | byte & 0x3F
    at = 5 + more
    width = {6: 1, 7: 2}.get(size_code, 0)
    explicit = int.from_bytes(head[at : at + width], "big") + 1
    at += width + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(head) <= at or _crc(head[: at + 1], bits=8, polynomial=7) != 0:
        return None
    sizes = {1: 192, 6: explicit, 7: explicit, **{code: 576 << code - 2 for code in range(2, 6)}}
    samples = sizes.get(size_code, 256 << max(0, size_code - 8))
    return (number if head[1] & 1 else number * block) + samples


def _crc(data: bytes, *, bits: int, polynomial: int) -> int:
    """FLAC's checksum; 0 over data that ends with its own."""
    top, mask, value = 1 << bits - 1, (1 << bits) - 1, 0
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial) & mask if value & top else value << 1
    return value

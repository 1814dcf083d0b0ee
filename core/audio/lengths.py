"""What a file's header says of its length, against what is there: libsndfile shortens without a word.

Containers: WAV (RIFF, RIFX, RF64, BW64), Sony Wave64, AIFF and AIFC, 8SVX, CAF, AU, NIST SPHERE, OGG. FLAC
and MP3 with a length are told by decoding. Layouts: Microsoft RIFF; EBU Tech 3306 (RF64); Apple AIFF-C and
CAF 1.0; Sun .au; NIST SPHERE; RFC 3533 (OGG).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# Formats of libsndfile that are read: in all others a cut file could not be told from a whole one
CHECKED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "SVX", "CAF", "AU", "NIST", "FLAC", "OGG", "MP3")
MAX_CHUNKS = 10_000  # more is no sound file; without a limit zeros would be walked through for hours
STREAMED = 0x7FFFF000  # SoX's size of what goes to a pipe, rounded down to whole blocks; others write more


@dataclass(frozen=True)
class Span:
    """Bytes of sound: as the header says (None where it leaves that open), and from there to the end."""

    promised: int | None
    there: int


@dataclass(frozen=True)
class _Layout:
    """How a container is divided into chunks. `sound` is the chunk of sound, `extra` bytes in it are none."""

    first: int
    head: struct.Struct  # of a chunk: name, size
    sound: bytes
    align: int = 2
    counts_head: bool = False
    extra: int = 0


_RIFF = _Layout(12, struct.Struct("<4sI"), b"data")
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _Layout(12, struct.Struct(">4sI"), b"data"),
    b"riff": _Layout(
        40, struct.Struct("<4s12xQ"), b"data", align=8, counts_head=True
    ),  # Wave64: 16-byte names
    b"caff": _Layout(8, struct.Struct(">4sq"), b"data", align=1, extra=4),
}
_FORMS = {
    b"AIFF": _Layout(12, struct.Struct(">4sI"), b"SSND", extra=8),
    b"AIFC": _Layout(12, struct.Struct(">4sI"), b"SSND", extra=8),
    b"8SVX": _Layout(12, struct.Struct(">4sI"), b"BODY"),
    b"16SV": _Layout(12, struct.Struct(">4sI"), b"BODY"),
}


def cut_short(stream: BinaryIO) -> str | None:
    """What shows that a file was cut off, None where nothing does."""
    stream.seek(0)
    if stream.read(4) == b"OggS":
        return None if _ends(stream) else "its last page is not the end of the stream"
    span = sound_span(stream)
    if span is None or span.promised is None or span.promised <= span.there:
        return None
    return f"only {span.there} of {span.promised} bytes of sound are there"


def never_written(stream: BinaryIO) -> int:
    """How many bytes follow a header that says 0 bytes of sound, as what wrote it could not go back; else 0.

    Chunks that follow one by one to the end (titles, markers) are no sound: then the file is empty.
    """
    span = sound_span(stream)
    if span is None or span.promised != 0 or span.there == 0:
        return 0
    layout = _layout(stream)
    return 0 if layout is not None and _only_chunks(stream, layout) else span.there


def sound_span(stream: BinaryIO) -> Span | None:
    """The bytes of sound of a container that states them, else None."""
    stream.seek(0)
    head = stream.read(1024)
    size = stream.seek(0, os.SEEK_END)
    if head[:4] in (b".snd", b"dns.") and len(head) >= 12:
        at, length = struct.unpack(">II" if head[:1] == b"." else "<II", head[4:12])
        return Span(None if length == 0xFFFFFFFF else length, max(0, size - at))
    if head[:7] == b"NIST_1A":
        return _sphere(head, size)
    layout = _layout(stream)
    return None if layout is None else _chunk_span(stream, layout, size)


def _layout(stream: BinaryIO) -> _Layout | None:
    stream.seek(0)
    head = stream.read(12)
    return _FORMS.get(head[8:12]) if head[:4] == b"FORM" else _LAYOUTS.get(head[:4])


def _chunks(stream: BinaryIO, layout: _Layout, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, place of the content and stated length of each chunk from `at` on."""
    size = stream.seek(0, os.SEEK_END)
    for _ in range(MAX_CHUNKS):
        if at + layout.head.size > size:
            return
        stream.seek(at)
        name, length = layout.head.unpack(stream.read(layout.head.size))
        if layout.counts_head:
            length -= layout.head.size
        yield name, at + layout.head.size, length
        if length < 0:
            return
        at += layout.head.size + length
        at += -at % layout.align


def _chunk_span(stream: BinaryIO, layout: _Layout, size: int) -> Span | None:
    wide: int | None = None  # RF64 keeps its sizes in a chunk of their own
    block = 1
    for name, at, length in _chunks(stream, layout, layout.first):
        stream.seek(at)
        if name == b"ds64":
            wide = struct.unpack("<Q", stream.read(16)[8:].ljust(8, b"\0"))[0]
        elif name == b"fmt " and layout.sound == b"data":
            block = int.from_bytes(
                stream.read(14)[12:14], "big" if layout.head.format[0] == ">" else "little"
            )
        elif name == layout.sound:
            there = max(0, size - at - layout.extra)
            if layout.head.size == 8 and length == 0xFFFFFFFF and wide is not None:
                return Span(wide, there)
            is_open = length < 0 or (layout.head.size == 8 and length > STREAMED - max(1, block))
            return Span(None if is_open else max(0, length - layout.extra), there)
    return None


def _only_chunks(stream: BinaryIO, layout: _Layout) -> bool:
    """True where chunks with plain names follow the empty chunk of sound exactly to the end of the file."""
    size = stream.seek(0, os.SEEK_END)
    place = next(
        at + max(0, n) for name, at, n in _chunks(stream, layout, layout.first) if name == layout.sound
    )
    end = place
    for name, at, length in _chunks(stream, layout, place):
        if not all(32 <= byte < 127 for byte in name):
            return False
        end = at + length
    return 0 <= size - end < layout.align


def _sphere(head: bytes, size: int) -> Span | None:
    """NIST SPHERE: the second line is the size of the header, fields stand one a line as `name -i value`."""
    texts = [line.split(None, 2) for line in head.decode("ascii", "replace").split("\n")]
    fields = {text[0]: text[2].strip() for text in texts if len(text) == 3}
    lines = head.split(b"\n", 2)
    counts = [fields.get(name, "") for name in ("sample_count", "sample_n_bytes", "channel_count")]
    if len(lines) < 3 or not lines[1].strip().isdigit() or not all(count.isdigit() for count in counts):
        return None
    samples, width, channels = map(int, counts)
    return Span(samples * width * channels, max(0, size - int(lines[1])))


def _ends(stream: BinaryIO) -> bool:
    """True where the last page of an OGG is whole and says that it is the last one."""
    size = stream.seek(0, os.SEEK_END)
    tail = min(size, 1 << 17)  # two pages at their largest
    stream.seek(size - tail)
    data = stream.read(tail)
    page = data.rfind(b"OggS")
    if len(data) <= page + 26:
        return False
    segments = data[page + 27 : page + 27 + data[page + 26]]
    return len(data) >= page + 27 + len(segments) + sum(segments) and bool(data[page + 5] & 4)

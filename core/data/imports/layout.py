"""Reading an official folder: its CSVs, its audio, and one error that counts and names all that is wrong."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.audio.files import printable
from core.audio.read import AudioError, read_audio, write_flac
from core.data.imports.names import Finder
from core.data.schema import DatasetError, duplicates, some

log = logging.getLogger(__name__)

# UTF-8 first: any bytes read as Latin-1. cp1252 is what Latin-1 files of Windows are
OLD_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
SHEET_ERRORS = {"#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#N/A"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row still without audio; `audio` maps each audio column to the paths it may be at, best first."""

    row: Mapping[str, Any]
    audio: Mapping[str, Sequence[Path]]


def read_csv(
    path: Path,
    *,
    columns: Sequence[str],
    header: bool = True,
    encodings: Sequence[str] = ("utf-8-sig",),
    allow_bom: bool = True,
    as_is: Sequence[str] = (),
) -> list[dict[str, str]]:
    """The rows of an official CSV as {column: text}, stripped. A second column of the same name gets `.1`.

    header=False: the file has none and `columns` are its fields in order. encodings: tried in this order.
    as_is: columns of file names, which are not stripped, since blanks may be part of a name. A byte-order
    mark is skipped unless allow_bom is False (for readers of others that trip over it). Raises DatasetError
    naming the file, the columns that are missing, the lines with too few or too many fields, and cells that a
    spreadsheet put in the place of an id.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; unpack the official files so that it is there")
    raw = path.read_bytes()
    if not allow_bom and raw.startswith(b"\xef\xbb\xbf"):
        raise DatasetError(
            f"{path} begins with a byte-order mark; save it as UTF-8 without one (or unpack it again)"
        )
    try:
        text = _decoded_text(raw, encodings)
        lines = [line for line in csv.reader(io.StringIO(text, newline="")) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        what = f"{path} does not read as a {encodings[0]} CSV"
        raise DatasetError(f"{what} ({error}); unpack it again") from error
    if not lines:
        raise DatasetError(f"{path} is empty; unpack it again")
    names = _numbered(cell.strip() for cell in lines[0]) if header else list(columns)
    if absent := [name for name in columns if name not in names]:
        raise DatasetError(f"{path}: columns {absent} are missing; it has {names}. Is it the official file?")
    body = lines[1:] if header else lines
    if ragged := [number for number, line in enumerate(body, 1 + header) if len(line) != len(names)]:
        raise DatasetError(
            f"{path}: {len(ragged)} rows do not have {len(names)} fields (row {some(ragged)}); unpack "
            "it again"
        )
    refuse_spreadsheet_errors(body, where=path)
    return [
        {name: cell if name in as_is else cell.strip() for name, cell in zip(names, line, strict=True)}
        for line in body
    ]


def refuse_spreadsheet_errors(lines: Sequence[Sequence[str]], *, where: Path) -> None:
    """Raise DatasetError where a spreadsheet made an error value of a cell, as of ids that begin with "-"."""
    bad = [number for number, line in enumerate(lines, 1) if SHEET_ERRORS.intersection(map(str.strip, line))]
    if bad:
        raise DatasetError(
            f"{where}: {len(bad)} rows hold #NAME? or another error value of a spreadsheet ({some(bad)}): "
            'it makes them of ids that begin with "-": take the official file'
        )


def without_header(
    table: Sequence[dict[str, str]], *, is_row: Callable[[Mapping[str, str]], bool], where: Path
) -> list[dict[str, str]]:
    """The rows of a list that officially has no header, without one that a program has added on top.

    is_row: whether a row can be one of the list's. Raises DatasetError where any other row is none.
    """
    wrong = [number for number, row in enumerate(table) if not is_row(row)]
    if wrong and wrong != [0]:
        bad = [number + 1 for number in wrong]
        raise DatasetError(
            f"{where}: {len(bad)} rows are not what they should be (row {some(bad)}); take the official file"
        )
    return list(table[1:] if wrong else table)


def require_unique(ids: Sequence[str], *, where: Path | str) -> None:
    """Raise DatasetError when an id occurs more than once."""
    if again := duplicates(ids):
        twice = sorted({ids[position] for position in again})
        raise DatasetError(f"{where}: {len(twice)} duplicated ids ({some(twice)}); remove the repeated rows")


def require_numbers(rows: Sequence[Mapping[str, str]], *, column: str, key: str, where: Path) -> None:
    """Raise DatasetError when `column` holds something that is not a number."""
    bad = [row[key] for row in rows if not _is_number(row[column])]
    if bad:
        raise DatasetError(
            f"{where}: {column} is not a number in {len(bad)} rows ({some(bad)}); unpack it again"
        )


def with_audio(
    entries: Iterable[Entry],
    *,
    name: str,
    root: Path,
    folder: Path,
    sample_rate: int | None,
    allow_missing: bool,
    notes: dict[str, Any] | None,
    advice: str,
) -> Iterator[dict[str, Any]]:
    """The rows of `entries` with their audio: the official file's own bytes, or FLAC (mono) at `sample_rate`.

    root: the official folder, out of which no name may lead; folder: the one that messages name for audio.
    Every file is decoded once, so that nothing unreadable gets in. Missing files: DatasetError before the
    first row, or, with allow_missing, left out and listed in notes["missing"]. Unreadable files: DatasetError
    after the last row, counting all of them (write_dataset then keeps nothing), whatever allow_missing says.
    """
    whole: list[tuple[Mapping[str, Any], dict[str, Path]]] = []
    missing: list[str] = []
    wanted: list[str] = []
    total = 0
    finder = Finder(root)
    for entry in entries:
        total += 1
        found = {column: finder.find(paths) for column, paths in entry.audio.items()}
        if lost := [column for column, path in found.items() if path is None]:
            missing.append(str(entry.row["id"]))
            wanted.extend(str(entry.audio[column][0]) for column in lost)
        else:
            whole.append((entry.row, {column: path for column, path in found.items() if path is not None}))
    if missing and not allow_missing:
        raise DatasetError(
            f"{name}: {len(missing)} of {total} clips have no audio in {folder} ({some(missing)}; "
            f"looked for {some(wanted, n=1)}). {advice} To go on without them set allow_missing: true; "
            "they are then listed in info.json"
        )
    if missing:
        log.warning(
            "%s: %d of %d clips have no audio and are left out (%s)", name, len(missing), total, some(missing)
        )
        if notes is not None:
            notes["missing"] = missing
    yield from _decoded(whole, name=name, folder=folder, sample_rate=sample_rate)


def load_audio(path: Path, *, sample_rate: int | None) -> dict[str, Any]:
    """`{bytes, path}` of a file that decodes; FLAC (mono, 16 bit) when a sample rate is asked for. Raises
    AudioError.

    What resampling lifts above full scale is clipped, as LAION-CLAP's 16-bit round trip does.
    """
    waveform, rate = read_audio(path, sample_rate=sample_rate)
    if sample_rate is None:
        return {"bytes": path.read_bytes(), "path": printable(path.name)}
    return {"bytes": write_flac(np.clip(waveform, -1.0, 1.0), rate), "path": f"{printable(path.stem)}.flac"}


def first_folder(folder: Path, *candidates: str) -> Path:
    """The first of the candidate sub-folders that exists (archives differ in their top folder), else
    `folder`."""
    return next((folder / c for c in candidates if (folder / c).is_dir()), folder)


def youtube_clip(youtube_id: str, start: float, *, seconds: float = 10.0) -> str:
    """The provenance id of a piece of a video; core.data.manifest reads its times back.

    The "Y" that packs put before an id is left out: no id has twelve characters.
    """
    return f"youtube:{bare_video(youtube_id)}@{start:g}-{start + seconds:g}"


def bare_video(youtube_id: str) -> str:
    """A YouTube id without the "Y" that AudioSet's packs put before it."""
    return youtube_id[1:] if re.fullmatch(r"Y[\w-]{11}", youtube_id, re.ASCII) else youtube_id


def _decoded(
    whole: Sequence[tuple[Mapping[str, Any], dict[str, Path]]],
    *,
    name: str,
    folder: Path,
    sample_rate: int | None,
) -> Iterator[dict[str, Any]]:
    unreadable: list[str] = []
    kinds: Counter[str] = Counter()
    first: AudioError | None = None
    for row, paths in whole:
        try:
            audio = {column: load_audio(path, sample_rate=sample_rate) for column, path in paths.items()}
        except AudioError as error:
            unreadable.append(str(row["id"]))
            kinds[error.kind] += 1
            first = first or error
            continue
        yield {**row, **audio}
    if unreadable:
        counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        raise DatasetError(
            f"{name}: {len(unreadable)} of {len(whole)} clips in {folder} have unusable audio "
            f"({some(unreadable)}; "
            f"{counts}); the first: {first}. Fetch these files again, or delete them and set "
            "allow_missing: true"
        ) from first


def _decoded_text(raw: bytes, encodings: Sequence[str]) -> str:
    if b"\0" in raw:
        raise csv.Error("it holds NUL bytes, as UTF-16 and damaged files do")
    for encoding in encodings[:-1]:
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    return raw.decode(encodings[-1])


def _numbered(names: Iterable[str]) -> list[str]:
    """Column names with `.1`, `.2` at a repeated one, as pandas would rename them."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        n = seen.get(name, 0)
        seen[name] = n + 1
        out.append(f"{name}.{n}" if n else name)
    return out


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False

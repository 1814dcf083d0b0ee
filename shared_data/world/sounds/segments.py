"""A bank of labelled segments of AudioSet-Strong, the material of CompA's modular stage.

In `folder` the official `audioset_train_strong.tsv` (segment_id, start_time_seconds, end_time_seconds, label
as a machine id) and `mid_to_display_name.tsv`, and in `audio/` the annotated ten seconds of each video as
`<segment id>.wav` or `.flac`; a segment id is `<YouTube id>_<start in ms>`. As in CompA's audio_mix a
segment longer than 1 s and shorter than 9.5 s is a clip. Other sounds may be heard in it: the annotators
marked every sound, and sounds overlap.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.audio.files import AudioError
from core.audio.read import read_audio
from core.run.progress import progress
from core.scenes.bank import SPLITS, Bank, BankError, Clip, prepare_clip
from core.scenes.captions import HELD_OUT, PAPER, TRAIN

log = logging.getLogger(__name__)

ANNOTATIONS, NAMES = "audioset_train_strong.tsv", "mid_to_display_name.tsv"
COLUMNS = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
SHARES: Mapping[str, float] = {"train": 0.9, "valid": 0.05, "test": 0.05}
SHORTEST_SEGMENT, LONGEST_SEGMENT = 1.0, 9.5  # seconds, both excluded
LICENSE = "labels CC BY 4.0; audio under the terms of its YouTube video"
_DOMAINS = {  # a word of the label -> domain; all else is sound
    **dict.fromkeys(("speech", "speaking", "conversation", "narration"), "speech"),
    **dict.fromkeys(("music", "musical", "singing", "guitar", "piano", "orchestra"), "music"),
}
_CONNECTIVES = tuple(
    word for each in (PAPER, TRAIN, HELD_OUT) for word in (*each.sequence, *each.overlay, *each.reversed)
)


class SegmentsError(BankError):
    """AudioSet-Strong is not there, not in its official layout, or lacks audio."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One row of the annotations: an event from `start` to `end` seconds of its ten-second clip."""

    clip: str
    start: float
    end: float
    label: str

    @property
    def id(self) -> str:
        """Unique: where and what."""
        return f"{self.clip}@{self.start:.3f}-{self.end:.3f}:{self.label}"

    @property
    def youtube_id(self) -> str:
        """The video; its id may hold underscores itself."""
        return self.clip.rpartition("_")[0]


def load_segments(
    folder: Path,
    *,
    sample_rate: int,
    splits: Mapping[str, float] = SHARES,
    exclude: Collection[str] = (),
    allow_missing: bool = False,
    max_per_label: int = 50,
    workers: int = 8,
) -> Bank:
    """The bank of AudioSet-Strong's training segments, the same for the same files and options.

    splits: share of the videos in each; a video's split is a hash of its YouTube id, which is the clips'
    group. exclude: YouTube ids that no clip may come from, such as those of test sets (`youtube_ids` reads
    them). max_per_label: a label's clips over all splits, those of the smallest hashes. allow_missing: clips
    without audio are passed over for others, unusable ones left out, and both are counted in the log.

    All is held in memory: at 48 kHz, 50 clips of each of 447 labels are some 13 GB.
    Raises SegmentsError; where audio is missing or unusable it counts the clips and names the first.
    """
    if not set(splits) <= set(SPLITS) or abs(sum(splits.values()) - 1) > 1e-9 or min(splits.values()) < 0:
        raise SegmentsError(f"splits {dict(splits)}: give shares of {SPLITS} that add up to 1")
    if max_per_label < 1:
        raise SegmentsError(f"max_per_label {max_per_label}: at least 1 clip of a label is needed")
    phrases, segments = read_segments(folder)
    total, banned = len(segments), frozenset(exclude)
    segments = [each for each in segments if each.youtube_id not in banned]
    log.info("%s: %d of %d segments are of excluded videos", folder, total - len(segments), total)
    files = _audio_files(folder / "audio")
    chosen: list[Segment] = []
    missing: set[str] = set()
    of_label: Counter[str] = Counter()
    for segment in sorted(segments, key=lambda each: _digest(each.id)):
        if of_label[segment.label] == max_per_label:
            continue
        if segment.clip not in files:
            missing.add(segment.clip)
            if allow_missing:
                continue
        of_label[segment.label] += 1
        chosen.append(segment)
    if missing and not allow_missing:
        raise SegmentsError(
            f"{len(missing)} of the {len({each.clip for each in chosen})} files that this bank is made of "
            f"are not in {folder / 'audio'} ({_some(sorted(missing))}). Get them as <segment id>.wav or "
            ".flac, or set allow_missing: true to take others of the same label"
        )
    if not chosen:
        raise SegmentsError(
            f"{folder}: none of {total} segments has audio and is not excluded; "
            f"put <segment id>.wav or .flac into {folder / 'audio'}"
        )
    chosen.sort(key=lambda each: (each.label, each.id))

    def read(segment: Segment) -> np.ndarray | str:
        try:
            sound, _ = read_audio(
                files[segment.clip], sample_rate=sample_rate, start=segment.start, stop=segment.end
            )
            return prepare_clip(sound, sample_rate=sample_rate, longest=LONGEST_SEGMENT)
        except (AudioError, BankError) as error:
            return f"{segment.id}: {error}"

    with ThreadPoolExecutor(max(1, workers)) as pool:
        sounds = list(progress(pool.map(read, chosen), total=len(chosen), desc="segments", unit="clip"))
    bad = [sound for sound in sounds if isinstance(sound, str)]
    if bad and not allow_missing:
        raise SegmentsError(
            "\n  ".join([f"{len(bad)} of {len(chosen)} segments cannot be used:", *bad[:20]])
            + "\nGet their audio again, or set allow_missing: true to leave them out"
        )
    if missing or bad:
        log.warning(
            "%s: %d clips without audio (%s), %d unusable segments left out (%s)",
            *(folder, len(missing), _some(sorted(missing)), len(bad), _some(bad)),
        )
    kept = [(s, w) for s, w in zip(chosen, sounds, strict=True) if not isinstance(w, str)]
    if not kept:
        raise SegmentsError(f"{folder}: none of {len(chosen)} segments can be used, the first: {bad[0]}")
    clips = tuple(_clip(segment, phrases[segment.label], splits) for segment, _ in kept)
    return Bank(clips, tuple(sound for _, sound in kept), sample_rate)


def read_segments(folder: Path) -> tuple[dict[str, tuple[str, ...]], list[Segment]]:
    """Phrases by label, and the segments of the right length, labels in words ("dog_bark").

    Rows given twice count once. Raises SegmentsError for a missing file, another header, a row that is none,
    or a machine id without a name.
    """
    names = dict(_rows(folder / NAMES, width=2))
    labels = {mid: label_of(name) for mid, name in names.items()}
    header, *rows = _rows(folder / ANNOTATIONS, width=len(COLUMNS))
    path = folder / ANNOTATIONS
    if tuple(header) != COLUMNS:
        raise SegmentsError(f"{path}: the header is {header}, not {list(COLUMNS)}; is it the official file?")
    if unknown := sorted({row[3] for row in rows} - set(labels)):
        raise SegmentsError(
            f"{path}: {len(unknown)} machine ids are not in {NAMES} ({_some(unknown)}); get both files anew"
        )
    found: dict[str, Segment] = {}
    for number, (clip, start, end, mid) in enumerate(rows, start=2):
        try:
            segment = Segment(clip=clip, start=float(start), end=float(end), label=labels[mid])
        except ValueError as error:
            raise SegmentsError(f"{path}: line {number}: {error}; get the file anew") from error
        if not re.fullmatch(r".+_\d+", clip):
            raise SegmentsError(f"{path}: line {number}: {clip!r} is no <YouTube id>_<start in ms>")
        if SHORTEST_SEGMENT < segment.end - segment.start < LONGEST_SEGMENT:
            found[segment.id] = segment
    return phrase_table(names.values()), list(found.values())


def label_of(name: str) -> str:
    """A display name as a label: "Male speech, man speaking" -> "male_speech_man_speaking"."""
    return "_".join(re.findall(r"[a-z0-9']+", name.lower()))


def phrase_table(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """label -> its phrases: "bark", "the sound of bark", "bark being heard"; no two labels share one.

    The noun is the first synonym of the display name, its remark in brackets before it where two names would
    meet ("Rattle (instrument)": "instrument rattle"). Words that connect sounds in captions are avoided.
    """
    nouns: dict[str, str] = {}
    taken: set[str] = set()
    # Names that are one plain noun have the first claim to it.
    for name in sorted(set(names), key=lambda each: ("," in each or "(" in each, each)):
        if label_of(name) in nouns:
            continue
        remarks = ["".join(text.split(",")[:1]) for text in re.findall(r"\(([^)]*)\)", name)]
        first, *others = [_words(part) for part in re.sub(r"\([^)]*\)", "", name).split(",")]
        whole = _words(label_of(name).replace("_", " "))
        if first in ("inside", "outside"):
            first, others = whole, []  # no noun of its own: "inside small room"
        choices = [first, *(_words(f"{remark} {first}") for remark in remarks), *others, whole]
        free = (each for each in choices if each and each not in taken and not _connects(each))
        nouns[label_of(name)] = noun = next(free, whole.replace(" ", "-"))
        taken.add(noun)
    return {label: (x, f"the sound of {x}", f"{x} being heard") for label, x in nouns.items()}


def split_of(youtube_id: str, splits: Mapping[str, float] = SHARES) -> str:
    """The split of a video: its hash, laid over the shares in the order of `SPLITS`."""
    place, at = _digest(youtube_id) / 2**64, 0.0
    names = [name for name in SPLITS if splits.get(name, 0) > 0]
    for name in names:
        at += splits[name]
        if place < at:
            return name
    return names[-1]  # shares of 1 - 1e-16


def youtube_ids(paths: Iterable[Path]) -> frozenset[str]:
    """Every text in these files that can be a YouTube id of 11 characters, `Y<id>` or `<id>_<start>_<end>`.

    So lists of ids, official CSVs and lists of files named by id will all do; an English word of 11 letters
    does no harm. Raises SegmentsError for a file that is not there.
    """
    found: set[str] = set()
    for path in paths:
        if not path.is_file():
            raise SegmentsError(
                f"{path}: this list of excluded videos is missing; put it there, or take it out of `exclude` "
                "(its test clips may then be trained on)"
            )
        for token in re.findall(r"[A-Za-z0-9_-]{11,}", path.read_text(encoding="utf-8", errors="replace")):
            for text in {token, token.removeprefix("Y")}:  # which of the two is the id cannot always be told
                if match := re.fullmatch(r"(.{11})(?:_\d+)*", text):
                    found.add(match.group(1))
    return frozenset(found)


def _clip(segment: Segment, phrases: tuple[str, ...], splits: Mapping[str, float]) -> Clip:
    domains = [_DOMAINS[word] for word in segment.label.split("_") if word in _DOMAINS]
    return Clip(
        id=segment.id,
        label=segment.label,
        phrases=phrases,
        domain=domains[0] if domains else "sound",
        source="AudioSet-Strong",
        group=segment.youtube_id,
        license=LICENSE,
        split=split_of(segment.youtube_id, splits),
    )


def _rows(path: Path, *, width: int) -> list[list[str]]:
    """The tab-separated rows of an official file, which quotes nothing."""
    if not path.is_file():
        raise SegmentsError(
            f"{path} is missing; get it from https://research.google.com/audioset/download_strong.html"
        )
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row]
    if wrong := [number for number, row in enumerate(rows, start=1) if len(row) != width]:
        raise SegmentsError(
            f"{path}: {len(wrong)} rows have not {width} fields (row {_some(wrong)}); get it anew"
        )
    if not rows:
        raise SegmentsError(f"{path} is empty; get it anew")
    return rows


def _audio_files(folder: Path) -> dict[str, Path]:
    """Segment id -> its file; WAV where there are both."""
    found: dict[str, Path] = {}
    for suffix in (".flac", ".wav"):
        found |= {path.stem: path for path in folder.glob(f"*{suffix}")}
    return found


def _words(text: str) -> str:
    return " ".join(text.lower().split())


def _connects(noun: str) -> bool:
    return any(f" {word} " in f" {noun} " for word in _CONNECTIVES)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _some(names: Iterable[object]) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")

"""A bank: labelled single-source clips, held in memory and stored as Parquet with FLAC audio.

On disk a bank is one Parquet file per split in the Hub's convention (`audio: {bytes, path}` plus typed
columns) and a `bank.json` with the sample rate, the counts, a SHA-256 per file and, of banks made by a stage,
the `recipe`: a hash of what it is made of.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.run.files import OutputError, write_text_atomic

SPLITS = ("train", "valid", "test")
DOMAINS = ("sound", "music", "speech")
PEAK = 0.5
SHORTEST, LONGEST = 0.4, 2.5  # seconds
_TEXT = ("id", "label", "domain", "agent", "action", "instrument", "transcript", "source", "group", "license")


class BankError(ValueError):
    """A bank, or one of its clips, breaks a rule that the scenes rely on."""


class BankMissingError(FileNotFoundError):
    """No bank on disk where one was looked for."""


class SilentClipError(BankError):
    """A clip that holds no sound (or no number)."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What is known of one clip. All phrases fit before and after "followed by" and "while".

    `phrases[0]` is the plain one, "a dog barking"; a voice's is f"a {agent} {action}ing", so that swapping
    two agents keeps the words and changes their order only. `group` names a recording session.
    """

    id: str
    label: str
    phrases: tuple[str, ...]
    domain: str
    agent: str | None = None
    action: str | None = None
    instrument: str | None = None
    transcript: str | None = None
    source: str
    group: str
    license: str
    split: str


@dataclass(frozen=True)
class Bank:
    """Clips and their waveforms, float32 in [-1, 1], mono, shape (samples,), all at `sample_rate`."""

    clips: tuple[Clip, ...]
    waveforms: tuple[np.ndarray, ...]
    sample_rate: int

    def __post_init__(self) -> None:
        """Refuse what would let a test clip be heard in training, or silence be taught as a sound."""
        if len(self.clips) != len(self.waveforms):
            raise BankError(f"{len(self.clips)} clips but {len(self.waveforms)} waveforms: pass one for each")
        ids = Counter(clip.id for clip in self.clips)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise BankError(f"{len(twice)} clip ids occur more than once: {_some(twice)}; ids must be unique")
        home: dict[str, str] = {}
        for clip in self.clips:
            if clip.split not in SPLITS or clip.domain not in DOMAINS:
                raise BankError(
                    f"clip {clip.id}: {clip.split!r} and {clip.domain!r} are not of {SPLITS} and {DOMAINS}"
                )
            if len(clip.phrases) < 3:
                raise BankError(f"clip {clip.id}: {len(clip.phrases)} phrases, at least 3 are needed")
            if home.setdefault(clip.group, clip.split) != clip.split:
                raise BankError(
                    f"group {clip.group} is in {home[clip.group]} and in {clip.split} (clip {clip.id}): "
                    "a recording group must stay in one split"
                )

    def split(self, name: str) -> Bank:
        """The clips of one split, in order. Raises BankError when there are none."""
        keep = [index for index, clip in enumerate(self.clips) if clip.split == name]
        if not keep:
            raise BankError(
                f"no clip in split {name!r}; this bank has {sorted({c.split for c in self.clips})}"
            )
        return self._kept(keep)

    def only(self, labels: Sequence[str]) -> Bank:
        """The clips of these labels, in order; all when none is given. Raises BankError for strangers."""
        if strange := sorted(set(labels) - set(self.labels())):
            known = ", ".join(self.labels())
            raise BankError(f"no clip is labelled {', '.join(strange)}; there are {known}")
        keep = [index for index, clip in enumerate(self.clips) if clip.label in labels]
        return self._kept(keep) if labels else self

    def _kept(self, keep: Sequence[int]) -> Bank:
        return Bank(
            tuple(self.clips[index] for index in keep),
            tuple(self.waveforms[index] for index in keep),
            self.sample_rate,
        )

    def labels(self) -> tuple[str, ...]:
        """The labels, sorted, each once."""
        return tuple(sorted({clip.label for clip in self.clips}))

    def by_label(self) -> dict[str, tuple[int, ...]]:
        """The indices of each label's clips, labels sorted."""
        found: dict[str, list[int]] = {label: [] for label in self.labels()}
        for index, clip in enumerate(self.clips):
            found[clip.label].append(index)
        return {label: tuple(indices) for label, indices in found.items()}


def prepare_clip(
    waveform: np.ndarray,
    *,
    sample_rate: int,
    shortest: float = SHORTEST,
    longest: float = LONGEST,
    threshold_db: float = -45.0,
) -> np.ndarray:
    """Make a waveform a bank clip: mean removed, silent ends cut, at most `longest` s, peak 0.5.

    Mean removal and the peak are CompA's mixing rule. waveform: (samples,). An over-long sound keeps its
    first `longest` seconds with a 40 ms fade; one shorter than `shortest` is followed by silence. Ends count
    as silent below `threshold_db` of the peak, in 10 ms frames.
    Raises SilentClipError for an empty, silent or not finite waveform.
    """
    if waveform.ndim != 1:
        raise BankError(
            f"a clip is mono, shape (samples,); got {waveform.shape}: mix the channels down first"
        )
    if waveform.size == 0 or not np.isfinite(waveform).all():
        raise SilentClipError("the clip is empty" if waveform.size == 0 else "the clip holds NaN or infinity")
    sound = np.asarray(waveform, dtype=np.float32)
    sound = sound - sound.mean()
    if np.abs(sound).max() < 1e-4:
        raise SilentClipError("the clip is silent (peak below -80 dB)")
    sound = trim_silence(sound, sample_rate=sample_rate, threshold_db=threshold_db)
    limit = round(longest * sample_rate)
    if len(sound) > limit:
        fade = min(limit, round(0.04 * sample_rate))
        sound = sound[:limit].copy()
        sound[limit - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    sound = sound - sound.mean()  # the cut may have shifted it
    sound = np.pad(sound, (0, max(0, round(shortest * sample_rate) - len(sound))))
    return (sound * (PEAK / np.abs(sound).max())).astype(np.float32)


def trim_silence(sound: np.ndarray, *, sample_rate: int, threshold_db: float = -45.0) -> np.ndarray:
    """Cut both ends, (samples,), where whole 10 ms frames stay below `threshold_db` of the peak."""
    frame = max(1, sample_rate // 100)
    frames = np.abs(np.pad(sound, (0, -len(sound) % frame))).reshape(-1, frame).max(axis=1)
    loud = np.flatnonzero(frames > frames.max() * 10 ** (threshold_db / 20))
    return sound[loud[0] * frame : (loud[-1] + 1) * frame]


def write_bank(bank: Bank, folder: str | Path, *, recipe: str | None = None) -> None:
    """Write `<split>.parquet` for each split with clips, then `bank.json`; no file appears half-written.

    recipe: a hash of what the bank is made of, for `read_recipe`.
    Raises OutputError where the folder cannot be written; what is there then is no finished bank.
    """
    try:
        _write(bank, Path(folder), recipe)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"cannot write the bank to {folder}: {error.strerror or error}; free some space there or make "
            "the folder writable, then run the same command again"
        ) from error


def _write(bank: Bank, folder: Path, recipe: str | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.tmp"):  # of a killed run
        left.unlink()
    (folder / "bank.json").unlink(missing_ok=True)  # a bank without it is unfinished
    text = pa.string()
    schema = pa.schema(
        [("audio", pa.struct([("bytes", pa.binary()), ("path", text)])), ("phrases", pa.list_(text))]
        + [(name, text) for name in _TEXT],
        metadata={"huggingface": json.dumps({"info": {"features": _features(bank.sample_rate)}})},
    )
    info: dict[str, object] = {"sample_rate": bank.sample_rate, "splits": {}}
    if recipe is not None:
        info["recipe"] = recipe
    for name in SPLITS:
        (folder / f"{name}.parquet").unlink(missing_ok=True)
        rows = []
        for clip, waveform in zip(bank.clips, bank.waveforms, strict=True):
            if clip.split != name:
                continue
            buffer = io.BytesIO()
            soundfile.write(buffer, waveform, bank.sample_rate, format="FLAC", subtype="PCM_16")
            audio = {"bytes": buffer.getvalue(), "path": clip.id.replace("/", "_") + ".flac"}
            fields = {field: getattr(clip, field) for field in _TEXT}
            rows.append({"audio": audio, "phrases": list(clip.phrases), **fields})
        if not rows:
            continue
        path = folder / f"{name}.parquet"
        part = path.with_suffix(".parquet.tmp")
        try:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), part, row_group_size=256)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        clips = [(c, w) for c, w in zip(bank.clips, bank.waveforms, strict=True) if c.split == name]
        info["splits"][name] = {  # type: ignore[index]
            "clips": len(rows),
            "seconds": round(sum(len(w) for _, w in clips) / bank.sample_rate, 2),
            "labels": dict(sorted(Counter(c.label for c, _ in clips).items())),
            "licenses": dict(sorted(Counter(c.license for c, _ in clips).items())),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    write_text_atomic(folder / "bank.json", json.dumps(info, indent=1) + "\n")


def read_bank(folder: str | Path, *, splits: Sequence[str] | None = None) -> Bank:
    """Read a bank, or some of its splits, from `folder`.

    Raises BankMissingError where there is none, BankError for a changed file or a clip that does not decode.
    """
    import pyarrow.parquet as pq
    import soundfile

    folder = Path(folder)
    info = _finished(folder)
    chosen = list(info["splits"]) if splits is None else list(splits)
    if unknown := [name for name in chosen if name not in info["splits"]]:
        raise BankError(f"{folder}: no split {_some(unknown)}; it has {sorted(info['splits'])}")
    clips: list[Clip] = []
    waveforms: list[np.ndarray] = []
    for name in chosen:
        path = folder / f"{name}.parquet"
        if not path.exists():
            raise BankMissingError(f"{path}: missing though bank.json lists it; build the bank again")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != info["splits"][name]["sha256"]:
            raise BankError(
                f"{path}: checksum differs from bank.json (damaged or edited); build the bank again"
            )
        for row in pq.read_table(io.BytesIO(data)).to_pylist():
            try:
                waveform, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
            except soundfile.LibsndfileError as error:
                raise BankError(
                    f"{path}: clip {row['id']} does not decode ({error}); build the bank again"
                ) from error
            if rate != info["sample_rate"]:
                raise BankError(
                    f"{path}: clip {row['id']} is at {rate} Hz, the bank at {info['sample_rate']} Hz"
                )
            fields = {field: row[field] for field in _TEXT}
            clips.append(Clip(phrases=tuple(row["phrases"]), split=name, **fields))
            waveforms.append(waveform)
    return Bank(tuple(clips), tuple(waveforms), int(info["sample_rate"]))


def read_recipe(folder: str | Path) -> str | None:
    """The hash of what the bank in `folder` is made of; None where it does not say, or no bank is there.

    Banks of one recipe that differ in their files were made by machines that compute differently.
    """
    path = Path(folder) / "bank.json"
    recipe = _info(path).get("recipe") if path.is_file() else None
    return None if recipe is None else str(recipe)


def read_content(folder: str | Path) -> str:
    """A hash of the clips of the bank in `folder`. Raises BankMissingError, BankError."""
    splits = _finished(Path(folder))["splits"]
    told = json.dumps({name: split["sha256"] for name, split in splits.items()}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Named:
    """What captions call the sounds of a label: its domain and its phrases, as in `Clip`."""

    domain: str
    phrases: tuple[str, ...]


def read_names(folder: str | Path) -> dict[str, Named]:
    """Label -> domain and phrases of the bank in `folder`, without its audio; empty where there is none."""
    import pyarrow.parquet as pq

    found: dict[str, Named] = {}
    for path in sorted(Path(folder).glob("*.parquet")):
        for row in pq.read_table(path, columns=["label", "domain", "phrases"]).to_pylist():
            found.setdefault(row["label"], Named(row["domain"], tuple(row["phrases"])))
    return dict(sorted(found.items()))


def _finished(folder: Path) -> dict[str, Any]:
    if not (folder / "bank.json").exists():
        raise BankMissingError(
            f"{folder}: no finished bank here (no bank.json). Build it: `python -m shared_data.bank`, "
            "or `dvc repro` of the stage that needs it"
        )
    return _info(folder / "bank.json")


def _info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(info["sample_rate"], int) and all(
            info["splits"][n]["sha256"] for n in info["splits"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BankError(f"{path} is damaged ({error}); build the bank again") from error
    if not whole:
        raise BankError(f"{path} is damaged; build the bank again")
    return dict(info)


def _features(sample_rate: int) -> dict[str, object]:
    """The columns as the Hub's `datasets` describes them, so that its reader sees audio and not bytes."""
    text = {"dtype": "string", "_type": "Value"}
    return {
        "audio": {"sampling_rate": sample_rate, "_type": "Audio"},
        "phrases": {"feature": text, "_type": "List"},
        **dict.fromkeys(_TEXT, text),
    }


def _some(names: Sequence[str]) -> str:
    return ", ".join(list(names)[:5]) + (" ..." if len(names) > 5 else "")

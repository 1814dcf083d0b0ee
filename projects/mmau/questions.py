"""Questions of MMAU for the harness, from official files or Parquet; audio is loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import datasets

from core.answering import controls
from core.answering.items import Item, ItemError
from core.audio.files import AudioError
from core.audio.read import audio_info
from core.data.choices import ChoiceItem, choice_item, stored_split
from core.data.imports.mmau import read_items
from core.data.parquet import INFO, read_dataset
from core.data.schema import some

Sounds: TypeAlias = Literal["own", "noise", "other", "none"]


def read_exam(
    data: Path, *, split: str | None = None, audio: Path | None = None, allow_defects: bool = False
) -> list[ChoiceItem]:
    """The questions of a Parquet data set (core.data.parquet) or of the official files, in their order.

    audio and allow_defects are for the official files, see core.data.imports.mmau. Raises DatasetError.
    """
    if not (data / INFO).is_file():
        return read_items(data, audio=audio, split=split, allow_defects=allow_defects)
    dataset = read_dataset(data, stored_split(split or "test-mini"))
    return [
        choice_item(row, audios=(partial(_stored, dataset, place),), audio_names=(row["id"],))
        for place, row in enumerate(dataset.remove_columns("audio"))
    ]


def some_of(exam: Sequence[ChoiceItem], limit: int | None) -> list[ChoiceItem]:
    """`limit` items spread evenly over the exam, which may be in order of tasks; all without a limit."""
    if limit is None or limit >= len(exam):
        return list(exam)
    return [exam[i * len(exam) // limit] for i in range(limit)]


def require_audio(exam: Sequence[ChoiceItem]) -> None:
    """Raise ItemError where an item lacks its audio, with the first path that was looked for."""
    if missing := [one for one in exam if one.missing]:
        lost = missing[0]
        path = next(name for audio, name in zip(lost.audios, lost.audio_names, strict=True) if audio is None)
        raise ItemError(
            f"{len(missing)} of {len(exam)} items have no audio ({some([one.id for one in missing])}); "
            f"looked for {path} first: put the files there or name their folder with --audio. "
            "--allow-missing asks the rest only"
        )


def to_items(exam: Sequence[ChoiceItem], *, sounds: Sounds, seed: int, lengths: bool) -> list[Item]:
    """Items for the harness; sounds: their own audio, noise in its place, that of another item of their task
    or none (see core.answering.controls).

    lengths: read the length of every audio from its header, for batches of like lengths.
    """
    items = []
    for one in exam:
        audios = None if one.missing else partial(_heard, one)
        seconds = _seconds(one) if lengths and audios is not None and sounds != "none" else 0.0
        items.append(
            Item(id=one.id, question=one.question, choices=one.choices, audios=audios, seconds=seconds)
        )
    if sounds == "noise":
        return controls.noise_audio(items, seed=seed)
    if sounds == "other":
        return controls.other_audio(items, seed=seed, groups=[one.task for one in exam])
    return controls.without_audio(items) if sounds == "none" else items


def _stored(dataset: datasets.Dataset, place: int) -> bytes:
    content: bytes = dataset[place]["audio"]["bytes"]
    return content


def _heard(item: ChoiceItem) -> tuple[bytes, ...]:
    return tuple(audio() for audio in item.audios if audio is not None)


def _seconds(item: ChoiceItem) -> float:
    try:
        return sum(audio_info(audio, name=item.id).seconds or 0.0 for audio in _heard(item))
    except AudioError:  # whoever decodes it says so
        return 0.0

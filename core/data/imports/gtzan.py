"""GTZAN from its official archive: `genres/<genre>/<genre>.<five digits>.wav` (.au), 100 tracks a genre."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.imports.layout import Entry, first_folder, with_audio
from core.data.imports.plain import one_of
from core.data.schema import CLASSIFIED

FEATURES = CLASSIFIED
GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
TRACKS = 100


def rows(
    folder: Path,
    *,
    split: str = "test",
    sample_rate: int | None = None,
    allow_missing: bool = False,
    notes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """All 1,000 tracks, 30 s each (zero-shot: nothing is trained on any of them); fold is 0."""
    one_of(split, ["test"], name="gtzan")
    home = first_folder(
        folder, "genres", "genres_original", "Data/genres_original", "gtzan_genre/genres", "gtzan/genres"
    )

    def entries() -> Iterator[Entry]:
        for genre in GENRES:
            for number in range(TRACKS):
                track = f"{genre}.{number:05d}"
                yield Entry(
                    row={"id": track, "label": _in_words(genre), "fold": 0, "clips": [f"gtzan:{track}"]},
                    audio={"audio": [home / genre / f"{track}{end}" for end in (".wav", ".au", ".flac")]},
                )

    yield from with_audio(
        entries(),
        name="gtzan",
        root=folder,
        folder=home,
        sample_rate=sample_rate,
        allow_missing=allow_missing,
        notes=notes,
        advice="Unpack genres.tar.gz again; in a mirror jazz.00054 is known to be broken.",
    )


def labels(folder: Path) -> list[str]:
    """The ten genres in words, sorted. The folder is not read."""
    return sorted(map(_in_words, GENRES))


def _in_words(genre: str) -> str:
    return genre.replace("hiphop", "hip hop")

"""The official files of a data set on disk: which of a card's places is there, and whether it is the
publisher's file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from core.data.card import Card


def first_place(folder: Path, alternatives: str) -> Path | None:
    """The first of the `|`-separated places that is in `folder`: a folder where it ends in "/", else a
    file."""
    for name in alternatives.split("|"):
        place = folder / name
        if place.is_dir() if name.endswith("/") else place.is_file():
            return place
    return None


def wrong_files(folder: Path, card: Card) -> list[str]:
    """The official files of `card` that are in `folder` but do not have the publisher's MD5."""
    places = {file: first_place(folder, file.path) for file in card.files if file.md5}
    return [str(place) for file, place in places.items() if place and _md5(place) != file.md5]


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()

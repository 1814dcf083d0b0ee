"""What a card says of a data set or a checkpoint. core.data.cards holds the cards themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RAW = "shared_data/raw"


@dataclass(frozen=True)
class OfficialFile:
    """A file or folder (it ends in "/") below the data set's folder, at one of the `|`-separated paths."""

    path: str
    md5: str | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """One data set. `counts` are the official rows per split, none where nobody publishes them; `files` what
    must lie in `folder`."""

    name: str
    task: str
    counts: Mapping[str, int]
    licence: str
    citation: str
    homepage: str
    files: tuple[OfficialFile, ...]
    archives: Mapping[str, str] = field(default_factory=dict)
    """MD5 of the publisher's archives, for whoever downloads them."""
    audio_files: int | None = None
    """How many audio files the test split has, where it is not one a row."""
    protocol: str = ""
    manifest: bool = False
    """True for a training set that is a manifest (core.data.manifest), not an imported data set."""
    notes: str = ""

    @property
    def folder(self) -> str:
        return f"{RAW}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class CheckpointCard:
    """Weights that a person downloads. `files`: what must lie in `folder` (alternatives separated by `|`)."""

    name: str
    what: str
    licence: str
    homepage: str
    revision: str
    size: str
    files: tuple[str, ...]
    command: str
    citation: str = ""
    notes: str = ""

    @property
    def folder(self) -> str:
        return f"{RAW}/checkpoints/{self.name.replace('/', '--')}"


def hub_command(name: str, revision: str, *files: str) -> str:
    """The command that puts a checkpoint of the Hugging Face Hub, or these files of it, into its folder."""
    place = f"{RAW}/checkpoints/{name.replace('/', '--')}"
    return " ".join(["hf download", name, *files, f"--revision {revision} --local-dir {place}"])

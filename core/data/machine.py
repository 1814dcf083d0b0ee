"""The machine that a paper would run on: free disk, whether DVC keeps copies, write access, devices."""

from __future__ import annotations

import configparser
import os
import shutil
import tempfile
from pathlib import Path

from core.data.findings import Finding

FICLONE = 0x40049409  # Linux: let one file share the blocks of another


def disk(root: Path, needed: float, *, detail: str = "") -> Finding:
    """Whether `needed` bytes are free. detail: what they are made up of."""
    free = shutil.disk_usage(root).free
    return Finding(
        kind="machine",
        name="disk",
        status="present" if free >= needed else "missing",
        detail=f"{free / 1e9:.0f} GB free, about {needed / 1e9:.0f} GB wanted{detail}",
        next=""
        if free >= needed
        else f"free some space on the disk of {root}, or put the repository elsewhere",
    )


def writable(root: Path, *folders: Path) -> list[Finding]:
    """A finding for each folder that nothing can be written to."""
    return [
        Finding(
            kind="machine",
            name=f"write to {folder.relative_to(root)}",
            status="wrong",
            detail=error,
            next=f"make {folder} writable for you",
        )
        for folder in folders
        if (error := _unwritable(folder))
    ]


def device(*, large: bool) -> Finding:
    """GPUs or CPU. large: the profile's trainings need GPUs."""
    import torch  # 1 s: only the doctor's last question needs it

    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        detail = ", ".join(f"{one.name} {one.total_memory / 1e9:.0f} GB" for one in found)
        return Finding(kind="machine", name="device", status="present", detail=detail)
    slow = "; training at full size needs GPUs" if large else ""
    return Finding(
        kind="machine",
        name="device",
        status="note" if slow else "present",
        detail=f"CPU, {os.cpu_count()} cores{slow}",
    )


def copies(root: Path) -> bool:
    """Whether DVC keeps a second copy of every cached output: by `cache.type` of its configuration, tried in
    that order, and whether this disk can share blocks (reflinks), which is tried out."""
    config = configparser.ConfigParser()
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    types = config.get("cache", "type", fallback="reflink,copy").strip("\"' ").split(",")
    for kind in (each.strip() for each in types):
        if kind in ("hardlink", "symlink") or (kind == "reflink" and _reflinks(root)):
            return False
        if kind == "copy":
            return True
    return True


def _reflinks(folder: Path) -> bool:
    try:
        import fcntl

        with (
            tempfile.NamedTemporaryFile(dir=folder) as one,
            tempfile.NamedTemporaryFile(dir=folder) as other,
        ):
            one.write(bytes(4096))
            one.flush()
            fcntl.ioctl(other.fileno(), FICLONE, one.fileno())
    except (ImportError, OSError):
        return False
    return True


def _unwritable(folder: Path) -> str:
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return f"cannot write there ({error.strerror or error})"

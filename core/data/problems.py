"""What is wrong with a data set, said so that it can be mended: counted, and the first few ids named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class DatasetError(ValueError):
    """A data set is not what it should be. The message counts what is wrong and names the first few ids."""


def some(ids: Iterable[object], *, n: int = 3) -> str:
    """Name the first `n` of many: "a, b, c, ..."."""
    names = [str(i) for i in ids]
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")


def duplicates(ids: Iterable[str]) -> list[int]:
    """The positions at which a non-empty id occurs again."""
    seen: set[str] = set()
    again = []
    for position, name in enumerate(ids):
        if name and name in seen:
            again.append(position)
        seen.add(name)
    return again


def describe(found: Mapping[str, list[str]]) -> str:
    """One phrase for a dictionary of problems: "2 x duplicated id (a, b); 1 x no label (c)"."""
    return "; ".join(f"{len(ids)} x {what} ({some(ids)})" for what, ids in found.items())

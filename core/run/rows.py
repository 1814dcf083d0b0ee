"""rows.yaml: what a paper is made of, said once: its test sets, and every model with what is asked of it.

    sets:                        test sets (name -> task and what a stage wants to know of them)
    train:                       the variants of the stage `train`
      gama: {branches: [qformer, aggregator], predict: {conditions: [own, swapped]}}
      with_clap: {like: gama, branches: [clap, aggregator], reads: [clap, ast]}
    train_blind:                 more variants of `train`, with other dependencies in dvc.yaml
      text_only: {branches: []}

A key that names a stage of the folder (`predict`) holds what that stage wants to know of the variant, so that
every trained model is also a variant of `predict`. `like` takes over another entry of the same stage.
`reads` is for dvc.yaml alone: what a variant depends on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.run.strict_yaml import ConfigError, check, is_key, nearest, read, show

SETS = "sets"
FOR_OTHERS = ("like", "reads")  # keys of an entry that are no setting of its stage
Rows = dict[str, dict[str, dict[str, Any]]]  # section -> name -> entry


def rows_path(profile: Path) -> Path:
    """rows.yaml of the paper whose `conf/<profile>.yaml` this is."""
    return profile.parent.parent / "rows.yaml"


def read_rows(path: Path) -> Rows:
    """The sections of rows.yaml; empty where there is no such file. Raises ConfigError."""
    if not path.is_file():
        return {}
    shape = dict[str, dict[str, dict[str, Any] | None] | None]
    content = check(shape, {} if (raw := read(path)) is None else raw, where=path)
    return {
        section: {name: entry or {} for name, entry in (entries or {}).items()}
        for section, entries in content.items()
    }


def stages_of(folder: Path) -> list[str]:
    """The names of the modules beside rows.yaml, which may be stages."""
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def sections_of(rows: Rows, stage: str) -> list[str]:
    """The sections that hold variants of a stage: train, train_blind."""
    return [name for name in rows if name == stage or name.startswith(f"{stage}_")]


def variants_of(rows: Rows, stage: str) -> tuple[str, ...]:
    """All variants of a stage: its own, and the models of other sections that have settings for it."""
    own = [name for section in sections_of(rows, stage) for name in rows[section]]
    others = [
        name
        for section, entries in rows.items()
        if section != SETS and any(stage in entry for entry in entries.values())
        for name in entries
    ]
    return tuple(dict.fromkeys([*own, *others]))


def entry_of(rows: Rows, stage: str, variant: str, *, stages: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """(dotted key, settings) of a variant for a stage, those that it is `like` first; [] where none is meant.

    stages: see `stages_of`. Raises ConfigError for an entry like none or like itself.
    """
    place = next((s for s in sections_of(rows, stage) if variant in rows[s]), None)
    owned = place is not None
    if place is None:
        place = next((s for s in rows if s != SETS and variant in rows[s]), None)
    if place is None:
        return []
    chain = [variant]
    siblings = _siblings(rows, place, stages)
    while (other := siblings[chain[-1]][1].get("like")) is not None:
        if other not in siblings:
            raise ConfigError(
                f"{place}.{chain[-1]}.like: no variant {show(other)}{nearest(str(other), siblings)}"
            )
        if other in chain:
            raise ConfigError(f"{place}.{variant}.like: a circle, {' <- '.join([*chain, other])}")
        chain.append(other)
    found = []
    for name in reversed(chain):
        section, entry = siblings[name]
        if owned:
            kept = {
                key: value
                for key, value in entry.items()
                if key not in FOR_OTHERS and not (key in stages and isinstance(value, dict))
            }
            found.append((f"{section}.{name}", kept))
        if (settings := entry.get(stage)) is not None:
            found.append((f"{section}.{name}.{stage}", settings))
    return found or [(f"{place}.{variant}", {})]


def like_chain(rows: Rows, stage: str, variant: str) -> list[str]:
    """The variants that one is like, the farthest first, itself last."""
    chain = [variant]
    entries = {name: entry for s, some in rows.items() if s != SETS for name, entry in some.items()}
    while (other := entries.get(chain[-1], {}).get("like")) in entries and other not in chain:
        chain.append(str(other))
    return chain[::-1]


def check_rows(folder: Path) -> None:
    """Check `folder`/rows.yaml, where there is one: its names, stages, parents, and the tasks of its sets.

    Raises ConfigError, which lists every mistake and the nearest known name.
    """
    path = folder / "rows.yaml"
    rows, stages = read_rows(path), stages_of(folder)
    problems = []
    for section, entries in rows.items():
        if section != SETS and _stage_of(section, stages) is None:
            problems.append(f"{section}: no stage of this folder{nearest(section, [SETS, *stages])}")
        for name, entry in entries.items():
            key = f"{section}.{name}"
            if not is_key(name):
                problems.append(f"{key}: cannot be a name; use lower-case letters, digits and _")
            if section == SETS:
                if not (isinstance(entry.get("task"), str) and entry["task"]):
                    problems.append(f"{key}.task: missing; say what is asked of this data set")
                continue
            problems += _entry_problems(rows, section, name, stages)
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))


def _stage_of(section: str, stages: list[str]) -> str | None:
    """The stage whose variants a section holds."""
    fitting = [stage for stage in stages if section == stage or section.startswith(f"{stage}_")]
    return max(fitting, key=len, default=None)


def _siblings(rows: Rows, section: str, stages: list[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name -> section and entry of all variants of the stage that a section belongs to."""
    sections = sections_of(rows, _stage_of(section, stages) or section)
    return {name: (one, entry) for one in sections for name, entry in rows[one].items()}


def _entry_problems(rows: Rows, section: str, name: str, stages: list[str]) -> Iterator[str]:
    """What is wrong with `like`, `parent` and `reads` of one variant, its ancestors included."""
    key, entry = f"{section}.{name}", rows[section][name]
    try:
        entry_of(rows, _stage_of(section, stages) or section, name, stages=stages)
    except ConfigError as error:
        yield str(error)
    reads = entry.get("reads", [])
    if not isinstance(reads, str | list) or not all(isinstance(each, str) for each in reads):
        yield f"{key}.reads: expected text or a list of text, got {show(reads)}"
    of = entry.get("parent")
    known = list(dict.fromkeys(each for one, some in rows.items() if one != SETS for each in some)) + stages
    if of is not None and of not in known:
        yield f"{key}.parent: no variant {show(of)}{nearest(str(of), known)}"
    path = [(section, name)]
    while (above := _parent(rows, *path[-1], stages)) is not None and above not in path:
        path.append(above)
    if above == path[0]:
        yield f"{key}.parent: a circle, {' <- '.join('.'.join(each) for each in [*path, above])}"


def _parent(rows: Rows, section: str, name: str, stages: list[str]) -> tuple[str, str] | None:
    """(section, name) of a variant's parent: of the same stage, else the nearest above, else below."""
    siblings = _siblings(rows, section, stages)
    chain = [name]
    while (of := siblings[chain[-1]][1].get("parent")) is None:  # else that of the entry that it is like
        other = siblings[chain[-1]][1].get("like")
        if other not in list(siblings) or other in chain:
            return None
        chain.append(str(other))
    if not isinstance(of, str):
        return None
    sections = [one for one in rows if one != SETS]
    here = sections.index(section)
    own = dict.fromkeys(one for one, _ in siblings.values())
    for one in [section, *own, *reversed(sections[:here]), *sections[here + 1 :]]:
        if of in rows[one] and (one, of) != (section, name):
            return one, of
    return (section, name) if of == name else None

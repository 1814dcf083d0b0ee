"""Configuration of a stage: merged from a profile and rows.yaml, and checked against the stage's dataclass.

`conf/<profile>.yaml` holds sizes and schedules, one mapping a stage; `base: NAME` in it names the profile
that it is laid over. `rows.yaml` beside conf/ holds what is the same in every profile: the paper's data sets
(`sets`) and, for each stage that has variants, what they are.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from core.run.rows import Rows, entry_of, like_chain, read_rows, rows_path, stages_of, variants_of
from core.run.strict_yaml import ConfigError, Key, check, join, nearest, read, show

T = TypeVar("T")
Scalar = str | int | float | bool | None

_ROWS = re.compile(r"rows\.([a-z_][a-z0-9_]*)")


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A mapping that goes into a stage's configuration, and where it stands: the dotted `key` of `file`."""

    file: Path
    key: str
    values: dict[str, Any]


def default_profile(root: Path) -> str:
    """Return the `profile` of params.yaml. Raises ConfigError."""
    path = root / "params.yaml"
    try:
        content = read(path)
    except OSError as error:
        raise ConfigError(f"{path}: not readable: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("profile"), str):
        raise ConfigError(f"{path}: expected a line such as 'profile: mini'")
    return str(content["profile"])


def load(
    schema: type[T],
    *,
    folder: Path | None = None,
    profile: str = "",
    path: Path | None = None,
    stage: str,
    variant: str | None = None,
) -> T:
    """Return `schema` filled with what `resolve` gives; or name the profile by its file, `path`.

    Values are never converted, except a whole number to float, a string to Path, and a list to tuple. Raises
    ConfigError, which lists every mistake with the file and the key that the value came from.
    """
    if path is None:
        assert folder is not None, "name the profile by folder and profile, or by path"
        path = folder / "conf" / f"{profile}.yaml"
    values, origins = _merge(_layers(path, stage, variant))
    values = _with_rows(values, _rows_beside(path))

    def place(at: Key) -> str:
        for end in range(len(at), 0, -1):
            if at[:end] in origins:
                file, key = origins[at[:end]]
                return f"{file}: {join(key, at[end:])}"
        return f"{path}: {join(stage, at)}" if at or variant is None else f"{path}: {stage} of {variant}"

    if references := [
        f"{place(at)}: '{text}' refers to another key; write the value itself (DVC cannot resolve it)"
        for at, text in _references(values)
    ]:
        raise ConfigError("\n".join(references))
    return check(schema, values, where=path, place=place)


def resolve(folder: Path, *, profile: str, stage: str, variant: str | None) -> dict[str, Any]:
    """Return the configuration of a stage of the paper in `folder`, merged but not checked.

    In order: `stage` of the profile (its bases first), what rows.yaml says of the variant (core/run/rows.py),
    and `stage`.variants.`variant` of the profile; what the variant is `like` comes before itself. Mappings
    merge key by key; lists and scalars replace. The text `rows.sets` stands for that section of rows.yaml. A
    stage that rows.yaml does not name may have variants in the profile itself: `common` and a mapping for
    each. Raises ConfigError.
    """
    path = folder / "conf" / f"{profile}.yaml"
    values, _ = _merge(_layers(path, stage, variant))
    return dict(_with_rows(values, _rows_beside(path)))


def variants(folder: Path, *, profile: str, stage: str) -> tuple[str, ...]:
    """Return the variants of `stage` in the order of the file; empty when it has none. Raises ConfigError."""
    path = folder / "conf" / f"{profile}.yaml"
    return _variants(_sections(path, stage), _rows_beside(path), stage)


def flatten(config: Any) -> dict[str, Scalar]:
    """Return dotted key -> scalar for a (nested) dataclass or mapping; lists of scalars become JSON text."""
    flat: dict[str, Scalar] = {}
    _flatten(config, "", flat)
    return flat


def _layers(path: Path, stage: str, variant: str | None) -> list[_Layer]:
    """What a configuration is merged from, the lowest first; at least one layer. path: the profile's file."""
    sections, rows = _sections(path, stage), _rows_beside(path)
    known = _variants(sections, rows, stage)
    if variant is None and known:
        raise ConfigError(f"{path}: {stage}: say which variant; known: {', '.join(known)}")
    listed = "common" in {name for section in sections for name in section.values}
    entries = [] if listed else _entries(path, rows, stage, variant)
    if variant is not None and not known and not entries:
        raise ConfigError(f"{path}: {stage}: has no variants, yet '{variant}' was asked for")
    if variant is not None and variant not in known and not entries:
        raise ConfigError(f"{path}: {stage}: unknown variant '{variant}'{nearest(variant, known)}")
    if variant is None:
        return sections
    if listed:
        return [_part(section, name) for name in ("common", variant) for section in sections]
    everywhere = [name for section in rows.values() for name in section]
    for section in sections:
        special = _part(section, "variants")
        for name in special.values:
            _part(special, name)
            if name not in everywhere:
                at = f"{section.file}: {stage}.variants.{name}"
                raise ConfigError(f"{at}: no such variant in rows.yaml{nearest(name, known)}")
    layers = [replace(section, values=_without(section.values, "variants")) for section in sections]
    for name in like_chain(rows, stage, variant):
        layers += [entry for entry in entries if entry.key.split(".")[1] == name]
        layers += [_part(_part(section, "variants"), name) for section in sections]
    return layers


def _entries(path: Path, rows: Rows, stage: str, variant: str | None) -> list[_Layer]:
    """What rows.yaml says of a variant for a stage, as layers."""
    if variant is None or not rows:
        return []
    file = rows_path(path)
    try:
        found = entry_of(rows, stage, variant, stages=stages_of(file.parent))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    for key, values in found:
        if not isinstance(values, dict):
            raise ConfigError(f"{file}: {key}: expected a mapping, got {show(values)}")
    return [_Layer(file=file, key=key, values=values) for key, values in found]


def _variants(sections: Iterable[_Layer], rows: Rows, stage: str) -> tuple[str, ...]:
    names = dict.fromkeys(name for section in sections for name in section.values)
    if "common" in names:
        return tuple(name for name in names if name != "common")
    return variants_of(rows, stage)


def _rows_beside(path: Path) -> Rows:
    """rows.yaml of the paper whose profile `path` is; empty for a file that is in no folder conf."""
    return read_rows(rows_path(path)) if path.parent.name == "conf" else {}


def _with_rows(value: Any, rows: Rows) -> Any:
    """The value with every text `rows.<section>` replaced by that section of rows.yaml."""
    if isinstance(value, dict):
        return {key: _with_rows(each, rows) for key, each in value.items()}
    found = _ROWS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    if found[1] not in rows:
        raise ConfigError(f"'{value}': rows.yaml has no section {found[1]}{nearest(found[1], rows)}")
    return copy.deepcopy(rows[found[1]])


def _sections(path: Path, stage: str) -> list[_Layer]:
    """The mapping of `stage` in the profile's bases and, last, in the profile itself."""
    chain = _profile(path)
    known = dict.fromkeys(name for file in chain for name in file.values)
    if stage not in known and stage not in _rows_beside(path):
        raise ConfigError(f"{path}: no section for stage '{stage}'{nearest(stage, known)}")
    return [_part(file, stage) for file in chain]


def _profile(path: Path) -> list[_Layer]:
    """The files of a profile: the base of its base first, itself last, without their `base`."""
    chain: list[_Layer] = []
    base: object = path.stem
    while base is not None:
        file = path.with_name(f"{base}.yaml")
        by = f"{chain[0].file}: base: " if chain else f"{file}: "
        if not isinstance(base, str) or not file.is_file():
            names = sorted(each.stem for each in path.parent.glob("*.yaml"))
            what = "no such file, unknown profile" if isinstance(base, str) else "expected a profile, got"
            raise ConfigError(f"{by}{what} '{base}'{nearest(str(base), names)}")
        if any(file == each.file for each in chain):
            names = [base, *(each.file.stem for each in chain)]
            raise ConfigError(f"{by}a circle of profiles, {' <- '.join(names)}")
        content = read(file)
        if not isinstance(content, dict):
            raise ConfigError(f"{file}: expected a mapping from stage to configuration, got {show(content)}")
        chain.insert(0, _Layer(file=file, key="", values=_without(content, "base")))
        base = content.get("base")
    return chain


def _part(layer: _Layer, name: str) -> _Layer:
    """The mapping at `name`; an empty one where there is none."""
    key, values = join(layer.key, (name,)), layer.values.get(name)
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"{layer.file}: {key}: expected a mapping, got {show(values)}")
    return _Layer(file=layer.file, key=key, values=values or {})


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _merge(layers: Iterable[_Layer]) -> tuple[dict[str, Any], dict[Key, tuple[Path, str]]]:
    """The layers laid over each other, and for what each of them set: its file and its key there."""
    merged: dict[str, Any] = {}
    origins: dict[Key, tuple[Path, str]] = {}
    for layer in layers:
        _lay_over(merged, layer.values, (), layer, origins)
    return merged, origins


def _lay_over(
    below: dict[str, Any],
    values: Mapping[str, Any],
    at: Key,
    layer: _Layer,
    origins: dict[Key, tuple[Path, str]],
) -> None:
    for name, value in values.items():
        here = (*at, name)
        if isinstance(value, dict) and isinstance(below.get(name), dict):
            _lay_over(below[name], value, here, layer, origins)
            continue
        for gone in [key for key in origins if key[: len(here)] == here]:
            del origins[gone]
        below[name] = copy.deepcopy(value)
        origins[here] = (layer.file, join(layer.key, here))


def _references(value: object, at: Key = ()) -> Iterator[tuple[Key, str]]:
    """Text that means another key to OmegaConf and Hydra, and where it stands."""
    if isinstance(value, str) and "${" in value:
        yield at, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, each in parts:
        yield from _references(each, (*at, part))


def _flatten(value: Any, key: str, flat: dict[str, Scalar]) -> None:
    prefix = f"{key}." if key else ""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            _flatten(getattr(value, field.name), f"{prefix}{field.name}", flat)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            _flatten(each, f"{prefix}{name}", flat)
    elif isinstance(value, list | tuple):
        if any(dataclasses.is_dataclass(each) or isinstance(each, Mapping | list | tuple) for each in value):
            for index, each in enumerate(value):
                _flatten(each, f"{prefix}{index}", flat)
        else:
            flat[key] = json.dumps(value, default=str, ensure_ascii=False)
    else:
        flat[key] = value if isinstance(value, str | int | float | bool | None) else str(value)

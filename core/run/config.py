"""Configuration: `conf/<profile>.yaml` checked against a stage's frozen dataclass, every mistake named.

OmegaConf reads and merges the YAML (`1e-4` is a number, duplicated keys are an error). The check against the
dataclass is ours: OmegaConf's structured configs cannot fill nested frozen dataclasses, know no `Literal`,
and turn tuples into lists.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

T = TypeVar("T")
Scalar = str | int | float | bool | None


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names file, dotted key, and what was expected."""


def load(schema: type[T], *, path: Path, stage: str, variant: str | None = None) -> T:
    """Return `schema` filled from the mapping at `stage` of the YAML file `path`.

    A stage without variants is the mapping itself; one with variants holds `common` and one mapping per
    variant, merged common <- variant (nested mappings key by key, lists as a whole). Values are never
    converted, except a whole number to float and a string to Path. Raises ConfigError, which lists every
    mistake of the section.
    """
    values, prefix = _section(path, stage, variant)
    problems: list[str] = []
    result = _build(schema, values, prefix, problems)
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    return typing.cast(T, result)


def variants(path: Path, stage: str) -> tuple[str, ...]:
    """Return the variants of `stage` in the file `path`, in file order; empty when the stage has none."""
    section = _stage_section(_read(path), path, stage)
    return tuple(name for name in section if name != "common") if "common" in section else ()


def flatten(config: Any) -> dict[str, Scalar]:
    """Return dotted key -> scalar for a (nested) dataclass or mapping; lists of scalars become JSON text."""
    flat: dict[str, Scalar] = {}
    _flatten(config, "", flat)
    return flat


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'? (known: ...)" for an unknown `name`, for the end of an error message."""
    names = [str(each) for each in known]
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean '{close[0]}'?" if close else ";"
    return f"{meant} known: {', '.join(names) or 'none'}"


def _section(path: Path, stage: str, variant: str | None) -> tuple[dict[str, Any], str]:
    section = _stage_section(_read(path), path, stage)
    if variant is None:
        if "common" in section:
            raise ConfigError(f"{path}: {stage}: say which variant{nearest('', variants(path, stage))}")
        return section, stage
    if "common" not in section:
        raise ConfigError(
            f"{path}: {stage}: has no variants (no key 'common'), yet '{variant}' was asked for"
        )
    if variant == "common" or variant not in section:
        raise ConfigError(
            f"{path}: {stage}: unknown variant '{variant}'{nearest(variant, variants(path, stage))}"
        )
    for name in ("common", variant):
        if not isinstance(section[name], dict | types.NoneType):
            raise ConfigError(f"{path}: {stage}.{name}: expected a mapping, got {_show(section[name])}")
    from omegaconf import OmegaConf

    merged = OmegaConf.merge(section["common"] or {}, section[variant] or {})
    return typing.cast(dict[str, Any], OmegaConf.to_container(merged)), f"{stage}.{variant}"


def _read(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.yaml"))
        raise ConfigError(f"{path}: no such file, unknown profile '{path.stem}'{nearest(path.stem, known)}")
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping from stage to configuration, got {_show(content)}")
    return typing.cast(dict[str, Any], content)


def _stage_section(content: Mapping[str, Any], path: Path, stage: str) -> dict[str, Any]:
    if stage not in content:
        raise ConfigError(f"{path}: no section for stage '{stage}'{nearest(stage, content)}")
    section = content[stage]
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: {stage}: expected a mapping, got {_show(section)}")
    return section


def _build(kind: Any, value: Any, key: str, problems: list[str]) -> Any:
    """Return `value` as the type `kind`; what does not fit is added to `problems` under its dotted `key`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if isinstance(value, str) and "${" in value:
        problems.append(
            f"{key}: '{value}' refers to another key; write the value itself (DVC cannot resolve it)"
        )
        return None
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(typing.cast(type, kind), value, key, problems)
    if origin in (Union, types.UnionType):
        return _build_union(kind, value, key, problems)
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
        choices = [str(choice) for choice in arguments]
        problems.append(f"{key}: {_show(value)} is not a choice{nearest(str(value), choices)}")
        return None
    if origin in (list, tuple, Sequence) or kind in (list, tuple):
        return _build_list(kind, value, key, problems)
    if origin in (dict, Mapping) or kind is dict:
        if not isinstance(value, dict):
            return _mismatch(kind, value, key, problems)
        inner = arguments[1] if arguments else Any
        return {name: _build(inner, each, f"{key}.{name}", problems) for name, each in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind in (None, types.NoneType) and value is None:
        return None
    if isinstance(kind, type) and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    return _mismatch(kind, value, key, problems)


def _build_dataclass(kind: type, value: Any, key: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        return _mismatch(kind, value, key, problems)
    before = len(problems)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for name in value:
        if name not in fields:
            problems.append(f"{key}.{name}: unknown key{nearest(str(name), fields)}")
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _build(hints[name], value[name], f"{key}.{name}", problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{key}.{name}: missing; expected {_name(hints[name])}")
    if len(problems) > before:
        return None
    try:
        return kind(**arguments)
    except ValueError as error:  # the dataclass's own check in __post_init__
        problems.append(f"{key}: {error}")
        return None


def _build_union(kind: Any, value: Any, key: str, problems: list[str]) -> Any:
    choices = typing.get_args(kind)
    if value is None and types.NoneType in choices:
        return None
    choices = tuple(choice for choice in choices if choice is not types.NoneType)
    if len(choices) == 1:  # an optional value: its own message is the useful one
        return _build(choices[0], value, key, problems)
    # An exact fit first, so that 3 stays an int under `float | int`.
    for choice in sorted(choices, key=lambda choice: type(value) is not choice):
        tried: list[str] = []
        result = _build(choice, value, key, tried)
        if not tried:
            return result
    return _mismatch(kind, value, key, problems)


def _build_list(kind: Any, value: Any, key: str, problems: list[str]) -> Any:
    arguments = typing.get_args(kind)
    is_tuple = kind is tuple or typing.get_origin(kind) is tuple
    if not isinstance(value, list):
        return _mismatch(kind, value, key, problems)
    if is_tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            return _mismatch(kind, value, key, problems)
        kinds = arguments
    else:
        kinds = (arguments[0] if arguments else Any,) * len(value)
    items = [_build(each, item, f"{key}[{i}]", problems) for i, (each, item) in enumerate(zip(kinds, value))]
    return tuple(items) if is_tuple else items


def _mismatch(kind: Any, value: Any, key: str, problems: list[str]) -> None:
    problems.append(f"{key}: expected {_name(kind)}, got {_show(value)}")


def _name(kind: Any) -> str:
    if dataclasses.is_dataclass(kind):
        return f"a mapping with {', '.join(field.name for field in dataclasses.fields(kind))}"
    return (
        kind.__name__
        if isinstance(kind, type) and not typing.get_args(kind)
        else str(kind).replace("typing.", "")
    )


def _show(value: Any) -> str:
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return "nothing" if value is None else f"{text} ({type(value).__name__})"


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

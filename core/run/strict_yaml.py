"""YAML read so that no value changes its type in silence, and checked against a dataclass by pydantic.

`read` gives plain mappings, lists and scalars; `check` fills a dataclass with them, and names every mistake.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
Key = tuple[str | int, ...]  # where a value stands: names in mappings, indices in lists

MAX_VALUES = 100_000  # in one file, aliases written out: no configuration is larger, an alias bomb is

# Plain (unquoted) text that is a number, to YAML 1.2 or to anyone. The rest of _NUMBER_TO_SOME is read as one
# number by PyYAML (YAML 1.1), as another or as text by DVC (1.2).
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(
    r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=e))(e[-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE
)
_NUMBER_TO_SOME = re.compile(
    r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-f_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
    r"|([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)(e[-+]?[0-9]+)?)",
    re.IGNORECASE,
)
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_BOOLS_TO_SOME = {s for word in ("yes", "no", "on", "off") for s in (word, word.title(), word.upper())}


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names file, dotted key, and what was expected."""


def read(path: Path) -> Any:
    """Return the content of a YAML file: mappings with string keys, lists, scalars.

    `1e-4` is a number, a date is text. Aliases and `<<` work, up to MAX_VALUES values; tags (!!x) do not.
    ConfigError names the line of each key that is given twice or is no text, and of plain text that readers
    of YAML do not agree on (010, 0x1f, 1_000, 1:30, yes, no). Raises FileNotFoundError.
    """
    import yaml

    try:
        root = yaml.compose(path.read_bytes().decode("utf-8-sig"), Loader=_loader())
        if root is not None and _count(root, {}) > MAX_VALUES:
            raise ConfigError(f"{path}: its aliases stand for more than {MAX_VALUES} values; use fewer")
        problems: list[str] = []
        content = None if root is None else _plain(root, problems)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if problems:
        raise ConfigError("\n".join(f"{path}, {problem}" for problem in dict.fromkeys(problems)))
    return content


def check(
    schema: type[T],
    raw: object,
    *,
    where: Path | str,
    key: str = "",
    place: Callable[[Key], str] | None = None,
) -> T:
    """Return `schema`, a dataclass or any other type, filled from the content of a YAML file.

    Values are never converted, except a whole number to float, a string to Path, and a list to tuple. Raises
    ConfigError with one line a mistake: "<where>: <dotted key, from `key` on>: <what is wrong>". `place`
    gives the first two parts of it instead.
    """
    lines = []
    result, mistakes = _fill(schema, raw)
    for at, what in mistakes:
        dotted = join(key, at)
        before = place(at) if place else f"{where}: {dotted}" if dotted else f"{where}"
        lines.append(f"{before}: {what}")
    if lines:
        raise ConfigError("\n".join(lines))
    return typing.cast(T, result)


def join(key: str, at: Key) -> str:
    """Return the dotted key of `at` below `key`: join("a", ("b", 1, "c")) is a.b[1].c."""
    for part in at:
        key = f"{key}[{part}]" if isinstance(part, int) else f"{key}.{part}" if key else part
    return key


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'? known: ..." for an unknown `name`, for the end of an error message."""
    names = [str(each) for each in known]
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean '{close[0]}'?" if close else ";"
    return f"{meant} known: {', '.join(names) or 'none'}"


def is_key(name: str) -> bool:
    """Whether `name` can name a row, a column, a data set: lower-case letters, digits and _."""
    return re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None


def show(value: object) -> str:
    """Return a value and its type for an error message, as one short line."""
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return "nothing" if value is None else f"{text} ({type(value).__name__})"


@functools.cache
def _loader() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return type("_Loader", (base,), {"yaml_implicit_resolvers": {}})  # all is text: see _scalar


def _count(node: Any, counts: dict[int, int]) -> int:
    """How many values `node` stands for, its aliases written out."""
    if id(node) not in counts:
        counts[id(node)] = MAX_VALUES + 1  # a node that holds itself never ends
        children = () if isinstance(node.value, str) else node.value
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        counts[id(node)] = 1 + sum(_count(part, counts) for part in parts)
    return counts[id(node)]


def _plain(node: Any, problems: list[str]) -> Any:
    """The content of a node; what cannot be read, with its line, goes to `problems`."""
    line = f"line {node.start_mark.line + 1}"
    kind = {"ScalarNode": "str", "SequenceNode": "seq", "MappingNode": "map"}[type(node).__name__]
    if node.tag not in ("!", f"tag:yaml.org,2002:{kind}"):
        problems.append(f"{line}: the tag {node.tag} is not read; leave it out")
    elif kind == "str":
        return node.value if node.style else _scalar(node.value, line, problems)  # style: quoted, or a block
    elif kind == "seq":
        return [_plain(each, problems) for each in node.value]
    else:
        return _mapping(node, problems)
    return None


def _mapping(node: Any, problems: list[str]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = f"line {key_node.start_mark.line + 1}"
        if key_node.value == "<<" and not key_node.style:
            for each in value_node.value if value_node.tag.endswith(":seq") else (value_node,):
                more = _plain(each, problems)
                if isinstance(more, dict):
                    merged = {**more, **merged}
                else:
                    problems.append(f"{line}: << takes a mapping, not {show(more)}")
            continue
        key = _plain(key_node, problems)
        if not isinstance(key, str):
            problems.append(f"{line}: a key must be text, not {show(key)}; quote it")
        elif key in content:
            problems.append(f"{line}: key '{key}' is given twice; keep one")
        else:
            content[key] = _plain(value_node, problems)
    return {**merged, **content}


def _scalar(text: str, line: str, problems: list[str]) -> str | int | float | bool | None:
    """What plain text is: YAML 1.2 where that is beyond doubt, else a problem."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if text in _BOOLS_TO_SOME:
        problems.append(
            f"{line}: {text} is true or false to some readers of YAML and text to others; "
            f'write true or false, or quote the text: "{text}"'
        )
    elif _NUMBER_TO_SOME.fullmatch(text):
        problems.append(
            f"{line}: readers of YAML do not agree on the number {text}; "
            f'write it in plain decimal digits, or quote it if it is text: "{text}"'
        )
    return text


@functools.cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter

    # Within a list: pydantic lets a configuration reach a plain dataclass from around it only.
    return TypeAdapter(list[schema], config=ConfigDict(extra="forbid", strict=True))


def _fill(schema: Any, raw: object) -> tuple[Any, list[tuple[Key, str]]]:
    """Return the filled schema and no mistakes, or None and the mistakes, unknown keys first."""
    from pydantic import ValidationError

    try:
        # From JSON, which has no tuple, path or dataclass, strict pydantic makes these and nothing else.
        return _adapter(schema).validate_json(json.dumps([raw]))[0], []
    except ValidationError as error:
        errors: list[Any] = list(error.errors(include_url=False))
    unions: dict[Key, list[tuple[Key, str]]] = {}
    mistakes: list[tuple[Key, str]] = []
    for each in sorted(errors, key=lambda each: each["type"] != "unexpected_keyword_argument"):
        at: Key = ()
        kind, value, parent = _optional(schema), raw, schema
        for part in each["loc"][1:]:
            if _is_union(kind) or part == "[key]":
                break
            at, parent, kind = (*at, part), kind, _optional(_inner(kind, part))
            value = _value_at(value, part)
        if _is_union(kind):  # pydantic has an error for each of its types: one is enough
            if at not in unions:
                unions[at] = [((*at, *deeper), what) for deeper, what in _union_mistakes(kind, value)]
                mistakes += unions[at]
        else:
            mistakes.append(_mistake(each, at, kind, value, parent))
    return None, mistakes


def _union_mistakes(kind: Any, value: object) -> list[tuple[Key, str]]:
    """The mistakes within the type of a union that a mapping or list is nearest to, else the mismatch."""
    meant = [
        choice
        for choice in typing.get_args(kind)
        if (isinstance(value, dict) and (dataclasses.is_dataclass(choice) or _is_mapping(choice)))
        or (isinstance(value, list) and _is_list(choice))
    ]
    tried = [_fill(choice, value)[1] for choice in meant]
    return min(tried, key=len) if tried else [((), _mismatch(kind, value))]


def _mistake(error: Any, at: Key, kind: Any, value: object, parent: Any) -> tuple[Key, str]:
    what, name = error["type"], str(at[-1]) if at else ""
    if error["loc"][-1:] == ("[key]",):
        return at, f"cannot be a key; expected {_name(typing.get_args(parent)[0])}"
    if what == "unexpected_keyword_argument":
        return at, f"unknown key{nearest(name, [f.name for f in dataclasses.fields(parent) if f.init])}"
    if what == "missing" and not _is_list(parent):
        return at, f"missing; expected {_name(kind)}"
    if what == "missing":  # a tuple that is too short
        return at[:-1], f"expected {_name(parent)}, got fewer values"
    if what == "literal_error":
        return at, f"{show(value)} is not a choice{nearest(str(value), map(str, typing.get_args(kind)))}"
    if what in ("value_error", "assertion_error"):  # the dataclass's own check in __post_init__
        return at, str(error["ctx"]["error"])
    if what.endswith(("_type", "_from_float", "_parsing", "none_required", "too_long", "too_short")):
        return at, _mismatch(kind, value)
    return at, f"{error['msg'][:1].lower()}{error['msg'][1:]}, got {show(value)}"


def _mismatch(kind: Any, value: object) -> str:
    quote = "; quote it" if kind is str and isinstance(value, int | float) else ""
    return f"expected {_name(kind)}, got {show(value)}{quote}"


def _name(kind: Any) -> str:
    if dataclasses.is_dataclass(kind):
        return f"a mapping with {', '.join(field.name for field in dataclasses.fields(kind) if field.init)}"
    if _is_mapping(kind):
        return "a mapping"
    plain = isinstance(kind, type) and not typing.get_args(kind)
    return kind.__name__ if plain else re.sub(r"\b[a-z_]+(\.[A-Za-z_]+)*\.(?=[A-Za-z])", "", str(kind))


def _optional(kind: Any) -> Any:
    """`kind` without Annotated, and X for X | None."""
    if typing.get_origin(kind) is Annotated:
        return _optional(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (Union, types.UnionType):
        some = [choice for choice in typing.get_args(kind) if choice is not types.NoneType]
        return _optional(some[0]) if len(some) == 1 else kind
    return kind


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (Union, types.UnionType)


def _is_list(kind: Any) -> bool:
    return (typing.get_origin(kind) or kind) in (list, tuple, Sequence)


def _is_mapping(kind: Any) -> bool:
    return (typing.get_origin(kind) or kind) in (dict, Mapping)


def _inner(kind: Any, part: str | int) -> Any:
    """The type of what stands at `part` of a `kind`; Any where there is no such part."""
    arguments = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return typing.get_type_hints(kind).get(str(part), Any)
    if _is_mapping(kind) and arguments:
        return arguments[1]
    if _is_list(kind) and arguments:
        fixed = typing.get_origin(kind) is tuple and arguments[-1] is not Ellipsis
        return arguments[int(part)] if fixed else arguments[0]
    return Any


def _value_at(value: object, part: str | int) -> object:
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None

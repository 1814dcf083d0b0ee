"""core.run.strict_yaml: no value changes its type in silence, and every mistake is named where it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from core.run.strict_yaml import MAX_VALUES, ConfigError, check, read


def content(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E+4", 1e4),
        (".5", 0.5),
        ("-3.", -3.0),
        ("+7", 7),
        ("0", 0),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("none", "none"),
        ("y", "y"),
        ("nan", "nan"),
        ("1.2.3", "1.2.3"),
        ("2024-05-01", "2024-05-01"),
        ("'010'", "010"),
        ('"no"', "no"),
        ("|-\n  1:30", "1:30"),
        ("=", "="),
    ],
)
def test_what_plain_text_is(tmp_path: Path, text: str, value: object) -> None:
    read_value = content(tmp_path, f"a: {text}\n")["a"]
    assert (read_value, type(read_value)) == (value, type(value))


ODD = """
010 08 -07 00 0o17 0b11 0x1F 1_000 1:30 12:30:45 190:20:30.15 1.5_0 .5_0 6_5:30 12:99 3:4 1__0 0_ 1_0e3
yes No ON off n y tRue TRUE Null 1e4 1e-4 +.5 1.e3 5. 01.5 012e3 .inf .NaN 1.0e 0o 1e 99999999999999999999 - .
"""


@pytest.mark.parametrize("text", ODD.split())
def test_dvc_reads_the_same_or_it_is_refused(tmp_path: Path, text: str) -> None:
    """DVC tracks these files by its own reading; PyYAML's differs for half of the list."""
    from dvc.utils.serialize import YAMLFileCorruptedError, load_yaml

    try:
        ours = content(tmp_path, f"a: {text}\n")["a"]
        theirs = load_yaml(str(tmp_path / "x.yaml"))["a"]
    except (ConfigError, YAMLFileCorruptedError):
        return
    assert (repr(ours), type(ours)) == (repr(theirs), type(theirs))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 010", r"line 1: readers of YAML do not agree on the number 010; .* quote it"),
        ("a:\n- b\n- 1:30", r"line 3: readers of YAML do not agree on the number 1:30"),
        ("a: yes", r"line 1: yes is true or false to some readers of YAML and text to others; .*\"yes\""),
        ("no: 1", r"line 1: no is true or false to some"),
        ("a: {2024: 1}", r"line 1: a key must be text, not 2024 \(int\); quote it"),
        ("~: 1", "a key must be text, not nothing"),
        ("? [a]\n: 1", "a key must be text"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice"),
        ("a: {b: 1, b: 2}", "key 'b' is given twice"),
        ("a: !!python/object:os.system x", "line 1: the tag .*os.system is not read"),
        ("a: !!int '010'", "the tag tag:yaml.org,2002:int is not read"),
        ("a: !!set {b}", "the tag tag:yaml.org,2002:set is not read"),
        ("a: [1", "not readable as YAML"),
        ("a: 1\n---\nb: 2", "not readable as YAML"),
        ("a:\n\t- b", "not readable as YAML"),
        ("<<: 3", "line 1: << takes a mapping"),
        ("a: *b", "not readable as YAML"),
        ("[" * 3000, "not readable as YAML"),
    ],
)
def test_what_is_refused_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        content(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "x.yaml"))


def test_everything_that_is_refused_is_listed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        content(tmp_path, "a: 010\nb: yes\nc: !x y\nc: 1\n")
    assert [line.split(", ")[1][:6] for line in str(error.value).splitlines()] == [
        f"line {number}" for number in (1, 2, 3, 4)
    ]


def test_aliases_and_merge_keys_give_values_of_their_own(tmp_path: Path) -> None:
    read_value = content(tmp_path, "a: &a {n: 1, m: [2]}\nb: *a\nc: {<<: *a, n: 3}\nd:\n  <<: [{n: 5}, *a]\n")
    assert read_value["b"] == read_value["a"] == {"n": 1, "m": [2]}
    assert read_value["b"]["m"] is not read_value["a"]["m"]
    assert read_value["c"] == {"n": 3, "m": [2]}
    assert read_value["d"] == {"n": 5, "m": [2]}


LAYERS = (f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))
BOMB = "\n".join(["a0: &a0 [x]", *LAYERS])


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]", "a: &a {b: *a}"], ids=["bomb", "list", "mapping"])
def test_aliases_without_end_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=f"aliases stand for more than {MAX_VALUES} values"):
        content(tmp_path, text)


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfa: 1\n", b"a: 1\r\n"])
def test_a_byte_order_mark_and_line_ends_of_windows(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.yaml").write_bytes(data)
    assert read(tmp_path / "x.yaml") == {"a": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_names_the_file(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "x.yaml").write_bytes("a: \u00e4\n".encode(encoding))
    with pytest.raises(ConfigError, match=r"x\.yaml: not readable as YAML"):
        read(tmp_path / "x.yaml")


@dataclass(frozen=True)
class Square:
    side: float
    kind: Literal["square"] = "square"


@dataclass(frozen=True)
class Circle:
    radius: float
    kind: Literal["circle"] = "circle"

    def __post_init__(self) -> None:
        if self.radius <= 0:
            raise ValueError("radius must be above 0")


@dataclass(frozen=True, kw_only=True)
class Everything:
    shape: Square | Circle | None = None
    number: int | float | None = None
    either: str | tuple[str, ...] = ""
    pair: tuple[int, str] = (0, "")
    paths: tuple[Path, ...] = ()
    mapping: Mapping[str, Square] = field(default_factory=dict)
    listed: Sequence[int] = ()
    level: Literal[1, 2] = 1
    free: dict[str, Any] = field(default_factory=dict)
    made: int = field(default=0, init=False)


def test_values_arrive_as_the_dataclass_says() -> None:
    raw = {
        "shape": {"radius": 2},
        "number": 3,
        "either": ["a"],
        "pair": [1, "b"],
        "paths": ["a/b"],
        "mapping": {"x": {"side": 1e-4}},
        "listed": [1],
        "level": 2,
        "free": {"a": [1, {"b": None}]},
    }
    filled = check(Everything, raw, where="x")
    assert filled == Everything(
        shape=Circle(2.0),
        number=3,
        either=("a",),
        pair=(1, "b"),
        paths=(Path("a/b"),),
        mapping={"x": Square(1e-4)},
        listed=[1],
        level=2,
        free={"a": [1, {"b": None}]},
    )
    assert isinstance(filled.shape, Circle)
    assert isinstance(filled.shape.radius, float)
    assert isinstance(filled.number, int)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"shape": {"radius": -1}}, ["shape: radius must be above 0"]),
        ({"shape": {"side": "a"}}, ["shape.side: expected float, got 'a' (str)"]),
        (
            {"shape": {"kind": "circle", "radios": 1}},
            [
                "shape.radios: unknown key; did you mean 'radius'? known: radius, kind",
                "shape.radius: missing; expected float",
            ],
        ),
        ({"shape": 3}, ["shape: expected Square | Circle | None, got 3 (int)"]),
        ({"number": True}, ["number: expected int | float | None, got True (bool)"]),
        ({"either": [1]}, ["either[0]: expected str, got 1 (int); quote it"]),
        ({"either": 1}, ["either: expected str | tuple[str, ...], got 1 (int)"]),
        ({"pair": [1]}, ["pair: expected tuple[int, str], got fewer values"]),
        (
            {"pair": ["1", "b"], "listed": [1.0]},
            [
                "pair[0]: expected int, got '1' (str)",
                "listed[0]: expected int, got 1.0 (float)",
            ],
        ),
        ({"paths": [1]}, ["paths[0]: expected Path, got 1 (int)"]),
        ({"mapping": {"a.b": {}}}, ["mapping.a.b.side: missing; expected float"]),
        ({"level": 3}, ["level: 3 (int) is not a choice; known: 1, 2"]),
        (
            {"made": 1},
            [
                "made: unknown key; known: shape, number, either, pair, paths, mapping, listed, level, free",
            ],
        ),
    ],
)
def test_a_mistake_is_named_once_and_where_it_stands(raw: Any, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        check(Everything, raw, where="x.yaml", key="k")
    assert str(error.value).splitlines() == [f"x.yaml: k.{line}" for line in expected]


def test_what_is_no_mapping_at_all() -> None:
    with pytest.raises(
        ConfigError, match=r"^x\.yaml: expected a mapping with side, kind, got \[\] \(list\)$"
    ):
        check(Square, [], where="x.yaml")


def test_floats_arrive_to_the_last_digit() -> None:
    values = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.123456789]
    assert check(tuple[float, ...], values, where="x") == tuple(values)

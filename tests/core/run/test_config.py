"""core.run.config: what a researcher mistypes is named; what is right arrives as the dataclass says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from core.run.config import flatten, load, resolve, variants
from core.run.rows import check_rows
from core.run.strict_yaml import ConfigError


@dataclass(frozen=True)
class Schedule:
    peak: float
    betas: tuple[float, float] = (0.9, 0.99)
    kind: Literal["cosine", "constant"] = "cosine"


@dataclass(frozen=True, kw_only=True)
class Config:
    epochs: int
    schedule: Schedule
    warm_up: Schedule | None = None
    stages: tuple[Schedule, ...] = ()
    globs: tuple[str, ...] = ("*",)
    weights: list[float] | None = None
    names: dict[str, int] | None = None
    folder: Path = Path("x")
    mixed: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError("epochs must be at least 1")


GOOD = """
train:
  common:
    epochs: 3
    schedule: {peak: 1e-4, betas: [0.9, 0.98]}
  vanilla: {}
  modular:
    epochs: 5
    schedule: {peak: 2}
    stages: [{peak: 1.0}, {peak: 0.5, kind: constant}]
    globs: [audio.*, text.*]
    weights: [1, 0.5]
    names: {a: 1}
    folder: some/where
  empty:
score: {}
"""


@dataclass(frozen=True)
class Nothing:
    n: int = 2


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(text)
    return path


def load_train(tmp_path: Path, line: str, *, epochs: str = "1") -> Config:
    text = f"train:\n  epochs: {epochs}\n  schedule: {{peak: 0.1}}\n  {line}\n"
    return load(Config, path=write(tmp_path, text), stage="train")


def test_variant_overrides_common_key_by_key(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    config = load(Config, path=path, stage="train", variant="modular")
    assert config == Config(
        epochs=5,
        schedule=Schedule(peak=2.0, betas=(0.9, 0.98)),
        stages=(Schedule(peak=1.0), Schedule(peak=0.5, kind="constant")),
        globs=("audio.*", "text.*"),
        weights=[1.0, 0.5],
        names={"a": 1},
        folder=Path("some/where"),
    )
    assert isinstance(config.schedule.peak, float)
    assert isinstance(config.schedule.betas, tuple)


@pytest.mark.parametrize("variant", ["vanilla", "empty"])
def test_empty_variant_is_common(tmp_path: Path, variant: str) -> None:
    config = load(Config, path=write(tmp_path, GOOD), stage="train", variant=variant)
    assert config == Config(epochs=3, schedule=Schedule(peak=1e-4, betas=(0.9, 0.98)))


def test_stage_without_variants_and_list_of_variants(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert load(Nothing, path=path, stage="score") == Nothing()
    folder = tmp_path / "demo"
    (folder / "conf").mkdir(parents=True)
    path.rename(folder / "conf" / "mini.yaml")
    assert variants(folder, profile="mini", stage="train") == ("vanilla", "modular", "empty")
    assert variants(folder, profile="mini", stage="score") == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("epoch: 3", "train.epoch: unknown key; did you mean 'epochs'?"),
        ("warm_up: {peek: 1}", "train.warm_up.peek: unknown key; did you mean 'peak'?"),
        ("warm_up: {}", "train.warm_up.peak: missing; expected float"),
        ("stages: [{peak: 1}, {peak: a}]", "train.stages[1].peak: expected float, got 'a' (str)"),
        ("warm_up: {peak: 1, kind: cosin}", "'cosin' (str) is not a choice; did you mean 'cosine'?"),
        ("warm_up: {peak: 1, betas: [1, 2, 3]}", "train.warm_up.betas: expected tuple[float, float], got"),
        ("warm_up: 3", "train.warm_up: expected a mapping with peak, betas, kind, got 3 (int)"),
        ("globs: audio.*", "train.globs: expected tuple[str, ...], got 'audio.*' (str)"),
        ("mixed: 1", "train.mixed: expected bool, got 1 (int)"),
        ("mixed: 'yes'", "train.mixed: expected bool, got 'yes' (str)"),
        ("mixed:", "train.mixed: expected bool, got nothing"),
        ("names: {a: 1.5}", "train.names.a: expected int, got 1.5 (float)"),
        ("folder: ${profile}", "train.folder: '${profile}' refers to another key"),
    ],
)
def test_mistake_is_named_with_file_and_key(tmp_path: Path, line: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_train(tmp_path, line)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "mini.yaml"))


@pytest.mark.parametrize("epochs", ["true", "1.5", "'3'", "[1]"])
def test_whole_numbers_are_not_guessed(tmp_path: Path, epochs: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.epochs: expected int, got"):
        load_train(tmp_path, "mixed: true", epochs=epochs)


def test_every_mistake_of_a_section_is_listed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Config, path=write(tmp_path, "train: {epochs: a, mixd: true}"), stage="train")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["train.mixd", "train.epochs", "train.schedule"]


def test_check_of_the_dataclass_itself_is_reported_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mini\.yaml: train: epochs must be at least 1"):
        load_train(tmp_path, "mixed: true", epochs="0")


@pytest.mark.parametrize(
    ("stage", "variant", "expected"),
    [
        ("trian", None, "no section for stage 'trian'; did you mean 'train'?"),
        ("train", None, "train: say which variant; known: vanilla, modular, empty"),
        ("train", "moduler", "unknown variant 'moduler'; did you mean 'modular'?"),
        ("train", "common", "unknown variant 'common'"),
        ("score", "vanilla", "score: has no variants, yet 'vanilla' was asked for"),
    ],
)
def test_unknown_stage_and_variant(tmp_path: Path, stage: str, variant: str | None, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Config, path=write(tmp_path, GOOD), stage=stage, variant=variant)
    assert expected in str(caught.value)


def test_unknown_profile(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(
        ConfigError, match=r"mino\.yaml: no such file, unknown profile 'mino'; did you mean 'mini'"
    ):
        load(Config, path=tmp_path / "mino.yaml", stage="train")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: {epochs: 1, epochs: 2}", "epochs"),
        ("train: [unclosed", "not readable as YAML"),
        ("- a list", "expected a mapping from stage to configuration"),
        ("train: 3", "train: expected a mapping, got 3"),
        ("train: {common: 3, vanilla: {}}", "train.common: expected a mapping, got 3"),
    ],
)
def test_file_that_is_no_configuration(tmp_path: Path, text: str, expected: str) -> None:
    variant = "vanilla" if "vanilla" in text else None
    with pytest.raises(ConfigError) as caught:
        load(Config, path=write(tmp_path, text), stage="train", variant=variant)
    assert expected in str(caught.value)


ROWS = """
sets:
  esc50: {task: classification, column: esc50}
train:
  gama: {branches: [qformer, aggregator]}
  text_only: {branches: [], reads: [features/none]}
  plain:
tune:
  gama_it: {parent: gama, schedule: {kind: constant}}
"""
MINI = """
train:
  epochs: 3
  branches: [none]
  schedule: {peak: 1e-3, kind: cosine}
  variants:
    text_only: {epochs: 9}
tune: {epochs: 1, schedule: {peak: 1}}
score: {n: 3}
"""
RECORDED = """
base: mini
train:
  schedule: {peak: 5e-4}
  variants: {gama: {schedule: {betas: [0.5, 0.6]}}, text_only: {epochs: 11}}
"""


@dataclass(frozen=True, kw_only=True)
class Train:
    epochs: int
    schedule: Schedule
    branches: tuple[str, ...] = ()
    parent: str | None = None


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """A paper's folder with rows.yaml, the stages it names, a profile and one laid over it."""
    folder = tmp_path / "demo"
    (folder / "conf").mkdir(parents=True)
    for stage in ("train", "tune", "score", "__init__"):
        (folder / f"{stage}.py").touch()
    (folder / "rows.yaml").write_text(ROWS)
    (folder / "conf" / "mini.yaml").write_text(MINI)
    (folder / "conf" / "recorded.yaml").write_text(RECORDED)
    return folder


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_variant_is_the_stage_then_its_row_then_the_profiles_own(paper: Path) -> None:
    assert resolve(paper, profile="mini", stage="train", variant="gama") == {
        "epochs": 3,
        "branches": ["qformer", "aggregator"],
        "schedule": {"peak": 1e-3, "kind": "cosine"},
    }
    assert resolve(paper, profile="mini", stage="train", variant="text_only") == {
        "epochs": 9,
        "branches": [],
        "schedule": {"peak": 1e-3, "kind": "cosine"},
    }
    assert resolve(paper, profile="mini", stage="train", variant="plain")["branches"] == ["none"]
    assert resolve(paper, profile="mini", stage="tune", variant="gama_it") == {
        "epochs": 1,
        "schedule": {"peak": 1, "kind": "constant"},
        "parent": "gama",
    }


def test_a_profile_is_laid_over_its_base(paper: Path) -> None:
    assert resolve(paper, profile="recorded", stage="train", variant="gama") == {
        "epochs": 3,
        "branches": ["qformer", "aggregator"],
        "schedule": {"peak": 5e-4, "kind": "cosine", "betas": [0.5, 0.6]},
    }
    assert resolve(paper, profile="recorded", stage="train", variant="text_only")["epochs"] == 11
    assert resolve(paper, profile="recorded", stage="score", variant=None) == {"n": 3}
    (paper / "conf" / "paper.yaml").write_text("base: recorded\nscore: {n: null}\ntrain: {epochs: 100}\n")
    assert resolve(paper, profile="paper", stage="score", variant=None) == {"n": None}
    config = load(Train, folder=paper, profile="paper", stage="train", variant="gama")
    assert config == Train(
        epochs=100,
        schedule=Schedule(peak=5e-4, betas=(0.5, 0.6)),
        branches=("qformer", "aggregator"),
    )


def test_variants_are_those_of_rows_yaml(paper: Path) -> None:
    for profile in ("mini", "recorded"):
        assert variants(paper, profile=profile, stage="train") == ("gama", "text_only", "plain")
        assert variants(paper, profile=profile, stage="score") == ()
    with pytest.raises(ConfigError, match=r"mini\.yaml: no section for stage 'scroe'; did you mean 'score'"):
        variants(paper, profile="mini", stage="scroe")


def test_common_of_a_base_and_of_what_is_laid_over_it(paper: Path) -> None:
    (paper / "rows.yaml").unlink()
    (paper / "conf" / "mini.yaml").write_text("train: {common: {a: 1, b: 1, c: 1}, one: {b: 2}, two: {}}\n")
    (paper / "conf" / "recorded.yaml").write_text(
        "base: mini\ntrain: {common: {b: 3, c: 3}, three: {a: 4}}\n"
    )
    assert variants(paper, profile="recorded", stage="train") == ("one", "two", "three")
    assert resolve(paper, profile="recorded", stage="train", variant="one") == {"a": 1, "b": 2, "c": 3}
    assert resolve(paper, profile="recorded", stage="train", variant="three") == {"a": 4, "b": 3, "c": 3}


def test_what_is_merged_shares_nothing_with_what_was_read(paper: Path) -> None:
    first = resolve(paper, profile="mini", stage="train", variant="gama")
    first["schedule"]["peak"] = 7
    assert resolve(paper, profile="mini", stage="train", variant="gama")["schedule"]["peak"] == 1e-3


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("rows", "branches: [qf", "branchs: [qf", "rows.yaml: train.gama.branchs: unknown key; did you mean"),
        ("mini", "epochs: 3", "epochs: x", "mini.yaml: train.epochs: expected int, got 'x' (str)"),
        ("mini", "kind: cosine", "kind: cosin", "mini.yaml: train.schedule.kind: 'cosin' (str) is not a cho"),
        ("recorded", "5e-4", "true", "recorded.yaml: train.schedule.peak: expected float, got True (bool)"),
        (
            "recorded",
            "[0.5, 0.6]",
            "[a, 1]",
            "recorded.yaml: train.variants.gama.schedule.betas[0]: expected",
        ),
        ("mini", "  epochs: 3\n", "", "recorded.yaml: train.epochs: missing; expected int"),
        ("mini", "epochs: 3", "epochs: ${n}", "mini.yaml: train.epochs: '${n}' refers to another key"),
        ("mini", "train:", "train: 3\nother:", "mini.yaml: train: expected a mapping, got 3 (int)"),
        ("mini", "text_only:", "text_onli:", "train.variants.text_onli: no such variant in rows.yaml; did"),
        ("recorded", "{gama: {", "{plain: {}, x: {", "recorded.yaml: train.variants.x: no such variant"),
        (
            "recorded",
            "text_only: {epochs: 11}",
            "plain: 3",
            "train.variants.plain: expected a mapping, got 3",
        ),
        ("rows", "  plain:", "  plain: 3", "rows.yaml: train.plain: expected a mapping, got 3 (int)"),
        (
            "rows",
            "  gama: {",
            "  game: {",
            "recorded.yaml: train: unknown variant 'gama'; did you mean 'game'",
        ),
        (
            "rows",
            "  gama: {",
            "  gama: {n: 010, ",
            "rows.yaml, line 5: readers of YAML do not agree on the num",
        ),
    ],
)
def test_a_mistake_names_the_file_that_the_value_came_from(
    paper: Path, file: str, old: str, new: str, expected: str
) -> None:
    change(paper / ("rows.yaml" if file == "rows" else f"conf/{file}.yaml"), old, new)
    with pytest.raises(ConfigError) as caught:
        load(Train, folder=paper, profile="recorded", stage="train", variant="gama")
    assert expected in str(caught.value)
    assert all(line.startswith(str(paper)) for line in str(caught.value).splitlines())


def test_mistakes_of_all_files_are_listed(paper: Path) -> None:
    change(paper / "rows.yaml", "[qformer, aggregator]", "qformer")
    change(paper / "conf" / "mini.yaml", "epochs: 3", "epochs: x")
    change(paper / "conf" / "recorded.yaml", "5e-4", "x")
    with pytest.raises(ConfigError) as caught:
        load(Train, folder=paper, profile="recorded", stage="train", variant="gama")
    files = [line.split(": ")[0] for line in str(caught.value).splitlines()]
    assert sorted(Path(file).name for file in files) == ["mini.yaml", "recorded.yaml", "rows.yaml"]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (None, "train: say which variant; known: gama, text_only, plain"),
        ("gamma", "train: unknown variant 'gamma'; did you mean 'gama'"),
    ],
)
def test_an_unknown_variant(paper: Path, variant: str | None, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        resolve(paper, profile="mini", stage="train", variant=variant)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("mino", r"recorded\.yaml: base: no such file, unknown profile 'mino'; did you mean 'mini'"),
        ("[mini]", r"recorded\.yaml: base: expected a profile, got '\['mini'\]'; did you mean 'mini'"),
        ("recorded", r"recorded\.yaml: base: a circle of profiles, recorded <- recorded"),
    ],
)
def test_a_base_that_is_none(paper: Path, base: str, expected: str) -> None:
    change(paper / "conf" / "recorded.yaml", "base: mini", f"base: {base}")
    with pytest.raises(ConfigError, match=expected):
        resolve(paper, profile="recorded", stage="score", variant=None)


def test_a_circle_of_bases(paper: Path) -> None:
    change(paper / "conf" / "mini.yaml", "score:", "base: recorded\nscore:")
    with pytest.raises(ConfigError, match="a circle of profiles, recorded <- mini <- recorded"):
        resolve(paper, profile="recorded", stage="score", variant=None)


def test_rows_that_are_right(paper: Path) -> None:
    check_rows(paper)
    # A row of another stage may have the name of the model that it shows, and a parent of a stage above.
    (paper / "predict.py").touch()
    more = "{gama: {}, gama_it: {parent: gama_it, reads: gama}, swapped: {like: gama_it, parent: null}}"
    (paper / "rows.yaml").write_text(f"{ROWS}predict: {more}\n")
    check_rows(paper)
    (paper / "rows.yaml").unlink()
    check_rows(paper)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "parent: gama",
            "parent: gamma",
            "tune.gama_it.parent: no variant 'gamma' (str); did you mean 'gama'",
        ),
        ("parent: gama", "parent: [gama]", "tune.gama_it.parent: no variant ['gama'] (list)"),
        ("parent: gama", "parent: esc50", "tune.gama_it.parent: no variant 'esc50' (str)"),
        ("parent: gama", "parent: gama_it", "tune.gama_it.parent: a circle, tune.gama_it <- tune.gama_it"),
        ("task: classification, ", "", "sets.esc50.task: missing; say what is asked of this data set"),
        ("task: classification", "task: 3", "sets.esc50.task: missing"),
        ("tune:", "tunes:", "tunes: no stage of this folder; did you mean 'tune'? known: sets, score, train"),
        ("  plain:", "  Plain:", "train.Plain: cannot be a name; use lower-case letters, digits and _"),
        ("  esc50:", "  esc-50:", "sets.esc-50: cannot be a name"),
        (
            "reads: [features/none]",
            "reads: [3]",
            "train.text_only.reads: expected text or a list of text, got [3] (list)",
        ),
        (
            "reads: [features/none]",
            "reads: {}",
            "train.text_only.reads: expected text or a list of text, got {} (dict)",
        ),
        ("train:", "train: 3\nscore:", "train: expected a mapping, got 3 (int)"),
    ],
)
def test_rows_that_are_wrong(paper: Path, old: str, new: str, expected: str) -> None:
    change(paper / "rows.yaml", old, new)
    with pytest.raises(ConfigError) as caught:
        check_rows(paper)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(str(paper / "rows.yaml"))


def test_a_circle_of_parents_names_each_of_them_and_all_problems_are_listed(paper: Path) -> None:
    change(paper / "rows.yaml", "gama: {", "gama: {parent: gama_it, ")
    change(paper / "rows.yaml", "  plain:", "  plain: {parent: nothing}")
    with pytest.raises(ConfigError) as caught:
        check_rows(paper)
    assert [line.split(": ", 1)[1] for line in str(caught.value).splitlines()] == [
        "train.gama.parent: a circle, train.gama <- tune.gama_it <- train.gama",
        "train.plain.parent: no variant 'nothing' (str); "
        "known: gama, text_only, plain, gama_it, score, train, tune",
        "tune.gama_it.parent: a circle, tune.gama_it <- train.gama <- tune.gama_it",
    ]


def test_a_parent_is_taken_over_by_like(paper: Path) -> None:
    change(paper / "rows.yaml", "gama: {", "gama: {parent: like_it, ")
    change(paper / "rows.yaml", "tune:", "tune_plain:\n  like_it: {like: gama_it}\ntune:")
    with pytest.raises(ConfigError) as caught:
        check_rows(paper)
    assert [line.split(": ", 1)[1] for line in str(caught.value).splitlines()] == [
        "train.gama.parent: a circle, train.gama <- tune_plain.like_it <- train.gama",
        "tune_plain.like_it.parent: a circle, tune_plain.like_it <- train.gama <- tune_plain.like_it",
    ]


def test_flatten_gives_scalars_under_dotted_keys(tmp_path: Path) -> None:
    config = load(Config, path=write(tmp_path, GOOD), stage="train", variant="modular")
    flat = flatten(config)
    assert flat["epochs"] == 5
    assert flat["schedule.betas"] == "[0.9, 0.98]"
    assert flat["stages.1.kind"] == "constant"
    assert flat["names.a"] == 1
    assert flat["folder"] == "some/where"
    assert flat["warm_up"] is None
    assert flatten({"a": {"b": [1, "x"]}}) == {"a.b": '[1, "x"]'}


def test_import_brings_no_heavy_library() -> None:
    heavy = ("numpy", "torch", "mlflow", "omegaconf", "pydantic", "yaml")
    code = "import core.run.config, core.run.stage, sys; "
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

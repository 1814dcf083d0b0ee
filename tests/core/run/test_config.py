"""core.run.config: what a researcher mistypes is named; what is right arrives as the dataclass says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from core.run.config import ConfigError, flatten, load, variants


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
    assert variants(path, "train") == ("vanilla", "modular", "empty")
    assert variants(path, "score") == ()


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
        ("score", "vanilla", "score: has no variants (no key 'common'), yet 'vanilla' was asked for"),
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
    heavy = ("numpy", "torch", "mlflow", "omegaconf")
    code = f"import core.run.config, core.run.stage, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""The stage that makes exams: mini ones from a small bank with what is true of each item, official ones."""

from __future__ import annotations

import dataclasses
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from core.data.choices import (
    SKILLS,
    file_sha256,
    mmau_doubts,
    mmau_pro_doubts,
    mmau_pro_problems,
    mmau_problems,
)
from core.data.parquet import read_dataset, read_info, why_absent
from core.data.problems import DatasetError
from core.data.schema import MMAU, MMAU_PRO
from core.run import tracking
from core.run.config import load
from core.run.stage import Context
from core.scenes.bank import Bank, BankMissingError, write_bank
from shared_data.exams import Config, exams
from shared_data.world.exams import pro
from shared_data.world.exams.exam import makers
from tests.shared_data.world.exams.worlds import RATE, make_world

REPOSITORY = Path(__file__).resolve().parents[2]
SOUND, MUSIC = "Temporal Event Reasoning", "Instrumentation"  # need no voice
FEW = Config(skills=(SOUND, MUSIC), n={"sound": 2, "music": 1})
PRO = Config(splits=("test",), n={"closed": 2, "multi": 1, "long": 1, "open": 2, "instructions": 2})
OFFICIAL = Config(source="official")


@pytest.fixture(scope="module")
def bank() -> Bank:
    """All labels, two clips of noise each in train and in test."""
    parts = [make_world(split, clips=2).bank for split in ("train", "test")]  # type: ignore[arg-type]
    clips, waves = zip(*((c, w) for part in parts for c, w in zip(part.clips, part.waveforms)))
    return Bank(clips, waves, RATE)


@pytest.fixture
def root(bank: Bank, tmp_path: Path) -> Path:
    """A repository that holds the bank."""
    write_bank(bank, tmp_path / "shared_data" / "bank" / "mini")
    return tmp_path


def make(root: Path, name: str, config: Config) -> Path:
    context = Context(
        paper="shared_data",
        stage="exams",
        variant=name,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )
    exams(config, context=context)
    return root / "shared_data" / "datasets" / "mini" / name


def facts(folder: Path, split: str) -> dict[str, str]:
    lines = map(json.loads, (folder / f"facts-{split}.jsonl").read_text(encoding="utf-8").splitlines())
    return {line["id"]: line["facts"] for line in lines}


@pytest.mark.filterwarnings("ignore::shared_data.world.exams.exam.SkillsAbsentWarning")
def test_a_mini_mmau_has_every_skill_and_says_what_is_true(root: Path) -> None:
    every = {"sound": 1, "music": 1, "speech": 1}
    folder = make(root, "mmau", Config(splits=("test-mini", "train"), n=every, n_train={"sound": 2}))
    built, _ = makers()
    wanted = {
        "testmini": dict.fromkeys(built, 1),
        "train": {skill: 2 for skill in built if SKILLS[skill].domain == "sound"},
    }
    info = read_info(folder)
    assert info["counts"] == {split: sum(counts.values()) for split, counts in wanted.items()}
    assert (info["name"], info["task"]) == ("mmau", "multiple choice")
    assert "bank of profile mini" in info["source"]
    assert "GPL" in info["licence"]
    clips = []
    for split, counts in wanted.items():
        read = read_dataset(folder, split, checksums=True)
        assert read.features == MMAU
        rows = list(read)
        assert Counter(row["sub-category"] for row in rows) == counts
        assert {row["split"] for row in rows} == {"train" if split == "train" else "test-mini"}
        for row in rows:
            assert mmau_problems(row) + mmau_doubts(row) == []
        told = facts(folder, split)
        assert list(told) == [row["id"] for row in rows]
        assert all(1 <= len(text.split()) <= 60 for text in told.values())
        assert soundfile.info(io.BytesIO(rows[0]["audio"]["bytes"])).samplerate == RATE
        clips.append({clip for row in rows for clip in row["clips"]})
    assert not clips[0] & clips[1]


def test_the_same_configuration_gives_the_same_bytes(root: Path) -> None:
    one = read_info(make(root, "mmau", FEW))
    assert one["counts"] == {"testmini": 3}
    kinds = Counter(read_dataset(root / "shared_data/datasets/mini/mmau", "testmini")["sub-category"][:])
    assert kinds == {SOUND: 2, MUSIC: 1}  # no other skill than those named
    assert read_info(make(root, "mmau", FEW)) == one
    assert read_info(make(root, "mmau", dataclasses.replace(FEW, seed=1)))["sha256"] != one["sha256"]


def test_a_mini_mmau_pro(root: Path) -> None:
    folder = make(root, "mmau_pro", PRO)
    read = read_dataset(folder, checksums=True)
    assert read.features == MMAU_PRO
    rows = list(read)
    assert Counter(row["task_classification"] for row in rows) == PRO.n
    for row in rows:
        assert mmau_pro_problems(row) + mmau_pro_doubts(row) == []
    told = facts(folder, "test")
    assert list(told) == [row["id"] for row in rows]
    by_group = {row["task_classification"]: row for row in rows}
    assert by_group["open"]["answer"] == told[by_group["open"]["id"]]
    assert len(by_group["multi"]["audios"]) > 1
    assert by_group["long"]["length_type"] == "long"


def test_without_counts_mmau_pro_is_the_usual_mixture(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pro, "COUNTS", {"closed": 1, "multi": 1, "open": 2})
    folder = make(root, "mmau_pro", dataclasses.replace(PRO, n={}))
    groups = Counter(row["task_classification"] for row in read_dataset(folder))
    assert groups == {"closed": 1, "multi": 1, "open": 2}


def test_an_exam_that_a_profile_has_not_got_says_why(root: Path) -> None:
    folder = make(root, "mmau", FEW)
    assert why_absent(folder) is None
    make(root, "mmau", dataclasses.replace(FEW, absent="no questions here"))
    assert why_absent(folder) == "no questions here"
    assert [path.name for path in folder.iterdir()] == ["not_run.txt"]


def test_what_cannot_be_made(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(DatasetError, match="no exam 'mmau_prof'; there is mmau, mmau_pro"):
        make(root, "mmau_prof", FEW)
    with pytest.raises(DatasetError, match="mmau test-mini: no items asked for; give n per domain"):
        make(root, "mmau", Config())
    with pytest.raises(DatasetError, match="no items asked for"):  # the skills left are of another domain
        make(root, "mmau", dataclasses.replace(FEW, n={"speech": 3}))
    folder = make(root, "mmau", FEW)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DatasetError, match="mmau train: no items asked for"):  # n is not that of train
        make(root, "mmau", dataclasses.replace(FEW, splits=("train",)))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(BankMissingError, match="no finished bank here"):
        make(tmp_path_factory.mktemp("empty"), "mmau", FEW)


def wav(seed: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(seed).uniform(-0.5, 0.5, 800), RATE, format="WAV")
    return buffer.getvalue()


def official_mmau(root: Path, *, answers: tuple[str, ...] = ("Flute", "two")) -> Path:
    """Two items of test-mini in the layout of GitHub's JSON."""
    raw = root / "shared_data" / "raw" / "mmau"
    (raw / "test-mini-audios").mkdir(parents=True)
    asked = [
        ("music", "Information Extraction", MUSIC, "easy", ["Drum", "Flute"]),
        ("speech", "Reasoning", "Counting", "hard", ["one", "two", "three", "four", "five"]),
    ]
    items = []
    for n, ((task, category, skill, difficulty, choices), answer) in enumerate(zip(asked, answers)):
        place = f"./test-mini-audios/0000-{n}.wav"
        (raw / place).write_bytes(wav(n))
        items.append(
            {
                "id": f"0000-{n}",
                "audio_id": place,
                "question": f"What is heard in {n}?",
                "choices": choices,
                "answer": answer,
                "dataset": "AudioSet",
                "task": task,
                "split": "test-mini",
                "category": category,
                "sub-category": skill,
                "difficulty": difficulty,
            }
        )
    path = raw / "mmau-test-mini.json"
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def official_pro(root: Path) -> Path:
    """Two rows in the layout of the Hub, the second one with two audios and neither answer nor options."""
    raw = root / "shared_data" / "raw" / "mmau_pro"
    (raw / "data").mkdir(parents=True)
    for n in range(3):
        (raw / "data" / f"{n}.wav").write_bytes(wav(n))
    shared = {"perceptual_skills": ["Pitch"], "reasoning_skills": None, "transcription": None, "sub-cat": "x"}
    rows: list[dict[str, Any]] = [
        {**shared, "id": "closed", "audio_path": ["data/0.wav"], "question": "Which?", "answer": "b",
         "choices": ["a", "b"], "category": "sound", "length_type": "short", "task_classification": None,
         "task_identifier": None, "kwargs": None},
        {**shared, "id": "rules", "audio_path": ["data/2.wav", "data/1.wav"], "question": "Describe both.",
         "answer": None, "choices": None, "category": "instruction following", "length_type": "long",
         "task_classification": "", "task_identifier": "No Commas", "kwargs": {"N": 2}},
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), raw / "test.parquet")
    return raw / "test.parquet"


@pytest.mark.parametrize("name", ["mmau", "mmau_pro"])
def test_official_files_that_are_not_there(root: Path, name: str) -> None:
    with pytest.raises(
        DatasetError,
        match=rf"{name}: .*raw/{name} is missing; `python -m core.data.doctor mmau` .*licence: .*CC BY",
    ):
        make(root, name, OFFICIAL)
    assert not (root / "shared_data" / "datasets").exists()


def test_the_official_mmau_is_taken_as_it_is(root: Path) -> None:
    path = official_mmau(root)
    folder = make(root, "mmau", OFFICIAL)
    info = read_info(folder)
    assert info["counts"] == {"testmini": 2}
    assert info["notes"]["testmini"]["sha256"] == {path.name: file_sha256(path)}
    assert info["source"] == "https://github.com/Sakshi113/MMAU"
    assert "CC BY-NC 4.0" in info["licence"]
    asked = json.loads(path.read_text())
    for row, wanted in zip(read_dataset(folder, "testmini"), asked, strict=True):
        assert {key: row[key] for key in wanted if key != "audio_id"} == {
            key: value for key, value in wanted.items() if key != "audio_id"
        }
    sound, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    assert (len(sound), rate) == (800, RATE)
    assert not list(folder.glob("facts-*"))  # nobody says what is true of it
    halved = make(root, "mmau", dataclasses.replace(OFFICIAL, sample_rate=RATE // 2))
    audio = read_dataset(halved, "testmini")[0]["audio"]["bytes"]
    assert soundfile.info(io.BytesIO(audio)).samplerate == RATE // 2


def test_official_audio_that_is_missing_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = official_mmau(root)
    (path.parent / "test-mini-audios" / "0000-1.wav").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 .*no audio"):
        make(root, "mmau", OFFICIAL)
    folder = make(root, "mmau", dataclasses.replace(OFFICIAL, allow_missing=True))
    assert capsys.readouterr().out == "mmau test-mini: 1 rows, 1 left out\n"
    assert read_dataset(folder, "testmini")["id"][:] == ["0000-0"]


def test_official_answers_outside_the_options_are_allowed_by_name_only(root: Path) -> None:
    official_mmau(root, answers=("Flute", "seven"))
    with pytest.raises(DatasetError, match="0000-1"):
        make(root, "mmau", OFFICIAL)
    folder = make(root, "mmau", dataclasses.replace(OFFICIAL, allow_defects=True))
    assert read_dataset(folder, "testmini")["answer"][:] == ["Flute", "seven"]


def test_the_official_mmau_pro_is_taken_as_it_is(root: Path) -> None:
    path = official_pro(root)
    folder = make(root, "mmau_pro", dataclasses.replace(OFFICIAL, splits=("test",), sample_rate=RATE))
    assert read_info(folder)["notes"]["test"]["sha256"] == {path.name: file_sha256(path)}
    rows = list(read_dataset(folder))
    assert [(row["id"], row["answer"], row["choices"]) for row in rows] == [
        ("closed", "b", ["a", "b"]),
        ("rules", None, []),
    ]
    heard = [soundfile.read(io.BytesIO(audio["bytes"]))[0] for audio in rows[1]["audios"]]
    for place, sound in zip((2, 1), heard, strict=True):  # in the order of the question
        wanted = soundfile.read(io.BytesIO(wav(place)))[0]
        assert np.abs(sound - wanted).max() < 1e-3


@pytest.mark.parametrize("profile", ["mini", "recorded", "paper"])
def test_the_profiles_name_splits_that_their_source_has(profile: str) -> None:
    path = REPOSITORY / "shared_data" / "conf" / f"{profile}.yaml"
    for name, splits in (("mmau", {"test-mini", "test", "train"}), ("mmau_pro", {"test"})):
        config = load(Config, path=path, stage="exams", variant=name)
        assert config.source == ("official" if profile == "paper" else "mini")
        if config.absent:
            continue
        assert set(config.splits) <= (splits - {"train"} if config.source == "official" else splits)
        if config.source == "mini" and name == "mmau":  # no skill is left without items
            assert all(config.n.get(SKILLS[skill].domain) for skill in config.skills or SKILLS)
            assert ("train" in config.splits) == bool(config.n_train)


def test_names_that_are_no_skill_and_no_domain_are_refused(root: Path) -> None:
    with pytest.raises(DatasetError, match="Singing"):
        make(root, "mmau", dataclasses.replace(FEW, skills=("Singing",)))
    with pytest.raises(DatasetError, match="speach"):
        make(root, "mmau", dataclasses.replace(FEW, n={"sound": 1, "speach": 2}))


def test_facts_of_an_exam_before_are_removed(root: Path) -> None:
    folder = make(root, "mmau", FEW)
    assert list(folder.glob("facts*"))
    official_mmau(root)
    make(root, "mmau", OFFICIAL)
    assert not list(folder.glob("facts*"))

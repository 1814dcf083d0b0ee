"""MMAU's stages from the exams to the tables, on exams of ten questions and a reader of random weights."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from core.adapters.prefix_lm import save_trained
from core.answering.cascade import with_description
from core.answering.likelihood import likelihood_answer
from core.answering.local_models import audio_lm_answer
from core.answering.question import Question, make_prompt
from core.answering.records import Record, line_of, read_predictions
from core.audio_lm.artefact import open_audio_lm, write_artefact
from core.audio_lm.branches import Bridge
from core.audio_lm.model import Architecture, load_language_model, make_model
from core.data.instructions import read_instructions
from core.data.parquet import read_dataset, read_info, write_absent, write_dataset
from core.data.schema import MMAU, MMAU_PRO
from core.foundations.language_model import LmShape, make_language_model, train_tokenizer
from core.foundations.public import record_trained
from core.language.http import Endpoint
from core.metrics.choice import RULES
from core.report.cells import Cell, read_cells, read_items, write_cells
from core.report.paper import read_paper
from core.report.scoring import PredictionError
from core.run import tracking
from core.run.config import load, variants
from core.run.stage import Context
from core.scenes.bank import Bank, write_bank
from core.train.optimisation import TrainingOptions
from projects.mmau import answer as answering
from projects.mmau import compose as composing
from projects.mmau import gold as truths
from projects.mmau import models, score, train
from shared_data import exams
from shared_data import reading as reading_
from shared_data.world.exams.exam import makers
from shared_data.world.speech import espeak as say
from tests.audio_lm_world import made_up_artefact
from tests.shared_data.world.exams.worlds import RATE, make_world

CONF = Path(__file__).resolve().parents[3] / "projects" / "mmau" / "conf"
SKILLS = {"sound": "Acoustic Source Inference", "music": "Instrumentation", "speech": "Counting"}
TYPES = {"sound": "Reasoning", "music": "Information Extraction", "speech": "Reasoning"}
INFO = {"task": "t", "licence": "l", "source": "a test", "protocol": "p"}
GOLD = truths.Config(splits={"mmau": "test-mini", "mmau_pro": "test"})
# task, difficulty, options, answer, what is said, and whether that is right under each of RULES
QUESTIONS: tuple[tuple[str, str, tuple[str, ...], str, str, str], ...] = (
    ("sound", "easy", ("the rain", "a dog", "a siren"), "a dog", "a dog", "yyyy"),
    ("sound", "medium", ("the rain", "a dog", "a siren"), "the rain", "It is the rain.", "yy.y"),
    ("sound", "medium", ("the rain", "a dog", "a siren"), "a siren", "C", "...y"),
    ("music", "easy", ("low flute", "high drum", "slow harp"), "low flute", "flute low", "y..."),
    ("music", "medium", ("man", "woman", "child"), "woman", "woman", "y.yy"),
    ("music", "hard", ("rain", "the wind", "hail"), "rain", "the rain", ".y.y"),
    ("speech", "easy", ("one", "two", "three", "four"), "two", "", "...."),
    ("speech", "medium", ("one", "two", "three", "four"), "three", "one or three", "...."),
    ("speech", "medium", ("one", "two", "three", "four"), "four", "I cannot tell", "...."),
    ("speech", "hard", ("one", "two", "three", "four"), "one", "two", "...."),
)
STATUS = {"answered": 6, "ambiguous": 1, "unparsed": 2, "silent": 1}  # of `letter_aware`
IDS = [f"q{n}" for n in range(len(QUESTIONS))]
FACTS = {id: f"The answer of number {n} is {one[3]}." for n, (id, one) in enumerate(zip(IDS, QUESTIONS))}
PRO: tuple[tuple[str, str, str | None, tuple[str, ...], str], ...] = (
    ("closed0", "sound", "a dog", ("a dog", "the rain"), ""),
    ("closed1", "sound", "the rain", ("a dog", "the rain"), ""),
    ("several", "multi", "the second", ("the first", "the second"), ""),
    ("open", "open", "A dog barks.", (), ""),
    ("rules", "instruction following", None, (), "No Commas"),
)
CONTROLS = answering.Config(
    kind="control",
    conditions=("random", "first", "longest", "most_frequent"),
    style="plain",
    batch_size=4,
    pro=True,
)


def at(root: Path, stage: str, variant: str | None = None, paper: str = "mmau") -> Context:
    return Context(
        paper=paper,
        stage=stage,
        variant=variant,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def wav(n: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.5 * np.sin(np.arange(800) / (n + 2)), 8000, format="WAV")
    return {"bytes": buffer.getvalue(), "path": None}


def write_exams(root: Path) -> None:
    """Both exams as `shared_data.exams` lays them out."""
    folder = root / "shared_data" / "datasets" / "mini"
    rows = [
        {
            "id": id,
            "audio": wav(n),
            "question": f"Which is it in number {n}?",
            "choices": list(choices),
            "answer": right,
            "dataset": "synthetic",
            "task": task,
            "split": "test-mini",
            "category": TYPES[task],
            "sub-category": SKILLS[task],
            "difficulty": difficulty,
            "clips": [],
        }
        for n, (id, (task, difficulty, choices, right, _, _)) in enumerate(zip(IDS, QUESTIONS))
    ]
    write_dataset(folder / "mmau", rows, features=MMAU, split="testmini", info={**INFO, "name": "mmau"})
    write_lines(folder / "mmau" / "facts-testmini.jsonl", [{"id": i, "facts": f} for i, f in FACTS.items()])
    asked = [
        {
            "id": id,
            "audios": [wav(n)] * (2 if category == "multi" else 1),
            "question": "What is it?",
            "answer": right,
            "choices": list(choices),
            "length_type": "short",
            "perceptual_skills": [],
            "reasoning_skills": [],
            "category": category,
            "transcription": "",
            "task_classification": "",
            "task_identifier": rule,
            "kwargs": "{}",
            "sub-cat": "",
            "clips": [],
        }
        for n, (id, category, right, choices, rule) in enumerate(PRO)
    ]
    info = {**INFO, "name": "mmau_pro"}
    write_dataset(folder / "mmau_pro", asked, features=MMAU_PRO, split="test", info=info)


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with both exams and their gold."""
    root = tmp_path_factory.mktemp("asked")
    write_exams(root)
    truths.gold(GOLD, context=at(root, "gold"))
    return root


@pytest.fixture
def root(asked: Path, tmp_path: Path) -> Path:
    """A copy of it of one's own."""
    return Path(shutil.copytree(asked, tmp_path / "repository"))


# gold


def test_gold_is_all_but_the_audio(asked: Path) -> None:
    folder = at(asked, "gold").path("predictions", "gold")
    mmau, pro = lines(folder / "mmau.jsonl"), lines(folder / "mmau_pro.jsonl")
    assert set(mmau[0]) == set(MMAU) - {"audio", "clips"}
    assert set(pro[0]) == set(MMAU_PRO) - {"audios", "clips"}
    assert [(line["id"], tuple(line["choices"]), line["answer"]) for line in mmau] == [
        (id, one[2], one[3]) for id, one in zip(IDS, QUESTIONS)
    ]
    assert [(line["id"], line["answer"], line["task_identifier"]) for line in pro] == [
        (id, right, rule) for id, _, right, _, rule in PRO
    ]
    assert {line["id"]: line["facts"] for line in lines(folder / "mmau.facts.jsonl")} == FACTS
    assert not (folder / "mmau_pro.facts.jsonl").exists()


def test_gold_says_what_it_is_from(asked: Path) -> None:
    source = json.loads(at(asked, "gold").path("predictions", "gold", "source.json").read_text())
    for name, split, items in (("mmau", "test-mini", len(IDS)), ("mmau_pro", "test", len(PRO))):
        digests = read_info(asked / "shared_data" / "datasets" / "mini" / name)["sha256"]
        assert source[name] == {
            "split": split,
            "source": "a test",
            "items": items,
            "parquet_sha256": digests,
            "sha256": None,  # there is no official file
            "version": None,
        }


def test_an_exam_that_is_not_made_names_its_command(root: Path) -> None:
    context = at(root, "gold")
    with pytest.raises(ValueError, match=r"no exam 'mmau_prof'; there is mmau, mmau_pro"):
        truths.gold(truths.Config(splits={"mmau_prof": "test"}), context=context)
    folder = truths.dataset_folder(context, "mmau_pro")
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=r"`python -m shared_data.exams mmau_pro --profile mini`"):
        truths.gold(GOLD, context=context)


def test_an_exam_that_the_profile_has_not_got_is_left_out(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = at(root, "gold")
    shutil.rmtree(context.path("predictions"))
    write_absent(truths.dataset_folder(context, "mmau_pro"), "too long for this machine")
    truths.gold(GOLD, context=context)
    assert capsys.readouterr().out == "mmau: 10 items of test-mini\nmmau_pro: too long for this machine\n"
    folder = context.path("predictions", "gold")
    assert set(json.loads((folder / "source.json").read_text())) == {"mmau"}
    assert not (folder / "mmau_pro.jsonl").exists()
    write_absent(truths.dataset_folder(context, "mmau"), "nor these")
    with pytest.raises(FileNotFoundError, match="none of the exams"):
        truths.gold(GOLD, context=context)


# answer


def ask(root: Path, variant: str, config: answering.Config) -> Path:
    context = at(root, "answer", variant)
    answering.answer(config, context=context)
    return context.path("predictions", variant)


def outputs(path: Path) -> list[str]:
    """The output of every item of mmau, in the exam's order."""
    records = read_predictions(path)
    assert [record.id for record in records] == IDS
    assert {record.errors for record in records} == {("",)}
    return [record.outputs[0] for record in records]


def files(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_controls_under_every_condition(root: Path) -> None:
    folder = ask(root, "controls", CONTROLS)
    assert {path.stem for path in folder.glob("*.jsonl")} == {*CONTROLS.conditions, "pro"}
    options = [one[2] for one in QUESTIONS]
    said = {condition: outputs(folder / f"{condition}.jsonl") for condition in CONTROLS.conditions}
    assert said["first"] == [choices[0] for choices in options]
    assert said["longest"] == [max(choices, key=len) for choices in options]
    assert said["most_frequent"] == [choices[0] for choices in options]  # 4 golds of 10 stand first
    assert all(one in choices for one, choices in zip(said["random"], options))
    assert len({choices.index(one) for one, choices in zip(said["random"], options)}) > 2
    pro = read_predictions(folder / "pro.jsonl")
    assert [record.id for record in pro] == [one[0] for one in PRO]
    for record, (_, _, _, choices, _) in zip(pro, PRO):  # the first condition
        assert record.outputs[0] in choices if choices else record.outputs == ("",)


def test_options_are_shown_in_several_orders(root: Path) -> None:
    folder = ask(root, "controls", replace(CONTROLS, conditions=("first",), shuffles=4, pro=False))
    records = read_predictions(folder / "first.jsonl")
    for record, one in zip(records, QUESTIONS, strict=True):
        assert record.outputs == tuple(one[2][order[0]] for order in record.orders)
        assert record.orders[0] == tuple(range(len(one[2])))
    assert len({order for record in records for order in record.orders}) > 3
    assert not (folder / "pro.jsonl").exists()


def test_a_variant_that_does_not_run_says_why(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lalm = answering.Config(kind="lalm", conditions=("own",), folder="raw/x")
    endpoint = answering.Config(kind="reading_endpoint", conditions=("truth",))
    cases = {
        "left_out": (replace(CONTROLS, without="not in this profile"), "not in this profile"),
        "weights": (lalm, "no checkpoint in raw/x"),
        "endpoint": (endpoint, "no language model is configured"),
    }
    for variant, (config, reason) in cases.items():
        folder = ask(root, variant, config)
        assert reason in (folder / "not_run.txt").read_text()
        assert f"{variant}: not run: {reason}" in capsys.readouterr().out
        assert not list(folder.glob("*.jsonl"))


def test_a_finished_variant_is_not_asked_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ask(root, "controls", CONTROLS)
    before = files(folder)
    with monkeypatch.context() as patch:
        patch.setattr(answering, "open_model", lambda *_, **__: pytest.fail("a model was opened"))
        capsys.readouterr()
        ask(root, "controls", CONTROLS)
    assert capsys.readouterr().out == "controls is complete\n"
    assert files(folder) == before
    ask(root, "controls", replace(CONTROLS, seed=1, conditions=("random", "first"), pro=False))
    after = files(folder)
    assert set(after) == {"identity.json", "random.jsonl", "first.jsonl"}
    assert after["random.jsonl"] != before["random.jsonl"]


def test_another_exam_is_asked_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ask(root, "controls", CONTROLS)
    data = truths.dataset_folder(at(root, "answer"), "mmau")
    rows = [{**row, "choices": row["choices"][::-1]} for row in read_dataset(data, "testmini")]
    write_dataset(data, rows, features=MMAU, split="testmini", info={**INFO, "name": "mmau"})
    ask(root, "controls", CONTROLS)
    assert "complete" not in capsys.readouterr().out
    assert outputs(folder / "first.jsonl") == [one[2][-1] for one in QUESTIONS]


def watched(seen: list[str], *, stop_after: int | None = None) -> Callable[..., models.Opened]:
    """`open_model`, its models noting what they are asked; killed when they have been asked that often."""

    def opened(*given: Any, **more: Any) -> models.Opened:
        real = models.open_model(*given, **more)

        def answer(questions: Sequence[Question]) -> list[str]:
            if stop_after is not None and len(seen) >= stop_after:
                raise KeyboardInterrupt
            seen.extend(f"{given[1]}/{one.id}" for one in questions)  # ids of mmau_pro are others
            return real.answer(questions)

        return models.Opened(answer, real.identity)

    return opened


def test_a_killed_run_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = files(ask(root, "controls", CONTROLS))
    folder = at(root, "answer").path("predictions", "controls")
    shutil.rmtree(folder)
    first: list[str] = []
    monkeypatch.setattr(answering, "open_model", watched(first, stop_after=18))
    with pytest.raises(KeyboardInterrupt):
        ask(root, "controls", CONTROLS)
    assert len(first) == 18  # all of `random`, two batches of `first`
    assert not (folder / "first.jsonl").exists()
    second: list[str] = []
    monkeypatch.setattr(answering, "open_model", watched(second))
    ask(root, "controls", CONTROLS)
    assert files(folder) == whole
    assert len({*first, *second}) == len(first) + len(second)  # nothing is asked twice


def test_a_model_hears_what_its_condition_says(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = ("own", "noise", "other", "none")
    heard: dict[str, dict[str, tuple[bytes, ...]]] = {}

    def opened(_: object, condition: str, *__: object, **___: object) -> models.Opened:
        def note(questions: Sequence[Question]) -> list[str]:
            heard.setdefault(condition, {}).update({one.id: one.audios for one in questions})
            return [""] * len(questions)

        return models.Opened(note, {})

    monkeypatch.setattr(answering, "open_model", opened)
    clap = answering.Config(kind="clap", conditions=conditions)
    folder = ask(root, "clap", clap)
    assert {path.stem for path in folder.glob("*.jsonl")} == {*conditions}
    own = {id: wav(n)["bytes"] for n, id in enumerate(IDS)}
    task = {audio: one[0] for audio, one in zip(own.values(), QUESTIONS)}
    assert heard["own"] == {id: (audio,) for id, audio in own.items()}
    assert heard["none"] == dict.fromkeys(IDS, ())
    for id, audio in own.items():
        (other,), (noise,) = heard["other"][id], heard["noise"][id]
        assert other != audio
        assert task[other] == task[audio]
        clean, noisy = (soundfile.read(io.BytesIO(one))[0] for one in (audio, noise))
        assert len(clean) == len(noisy)
        assert abs(np.corrcoef(clean, noisy)[0, 1]) < 0.2
    with pytest.raises(ValueError, match=r"answer.clap.conditions: 'loud' is none of own, noise, other"):
        ask(root, "clap", replace(clap, conditions=("own", "loud")))


READER = answering.Config(
    kind="reader",
    folder="projects/mmau/checkpoints/mini/reader",
    conditions=("nothing", "weak", "truth"),
    decode=("words", "likelihood"),
    style="plain",
    max_new_tokens=4,
    batch_size=5,
)
WEAK = {id: f"Something like {one[2][-1]}." for id, one in zip(IDS, QUESTIONS)}


@pytest.fixture(scope="module")
def reading(asked: Path, fresh: Path, bridge: Bridge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exams and gold, a language model with room for descriptions, and a reader of random weights."""
    root = tmp_path_factory.mktemp("reading")
    shutil.copytree(asked, root, dirs_exist_ok=True)
    foundations = root / "shared_data" / "foundations" / "mini"
    shutil.copytree(fresh / "shared_data" / "foundations" / "mini" / "text_tower", foundations / "text_tower")
    shape = LmShape(
        hidden_size=16, layers=1, heads=2, intermediate_size=32, max_positions=1024, initializer_range=0.3
    )
    words = train_tokenizer([*FACTS.values(), *WEAK.values()], vocab_size=360)
    language_model = foundations / "language_model"
    make_language_model(shape, words, seed=0).save_pretrained(language_model)
    words.save_pretrained(language_model)
    record_trained(language_model, root=root, name="language_model", revision="test", licence="none")
    torch.manual_seed(1)
    row = Architecture(branches=(), bridge=bridge, soft_prompt=False)
    lm, tokenizer = load_language_model(language_model)
    model = make_model(row, widths={}, lm=lm, tokenizer=tokenizer)
    for value in model.parameters():
        if value.requires_grad:
            torch.nn.init.normal_(value, std=0.5)
    artefact = made_up_artefact(root, row)
    folder = root / READER.folder / "seed0"
    write_artefact(folder, artefact)
    save_trained(model, folder / "model.safetensors", identity=artefact.identity)
    told = [{"id": id, "answers": [text]} for id, text in WEAK.items()]
    write_lines(at(root, "describe").path("predictions", "descriptions", "weak.jsonl"), told)
    return root


def test_a_reader_is_told_what_its_condition_says(reading: Path) -> None:
    folder = ask(reading, "reader", READER)
    model = open_audio_lm(reading / READER.folder / "seed0", root=reading)
    words = audio_lm_answer(model, None, max_new_tokens=4)
    likeliest = likelihood_answer(model, None, normalise="sum")
    said = {}
    for condition, told in (("nothing", dict.fromkeys(IDS, "")), ("weak", WEAK), ("truth", FACTS)):
        questions = [f"Which is it in number {n}?" for n in range(len(IDS))]
        shown = [make_prompt(text, one[2], style="plain") for text, one in zip(questions, QUESTIONS)]
        for name, reader, texts in (
            (condition, words, shown),
            (f"{condition}_likelihood", likeliest, questions),  # does not see the options
        ):
            said[name] = outputs(folder / f"{name}.jsonl")
            assert said[name] == reader(
                [
                    Question(
                        id=id,
                        prompt=with_description(told[id], text),
                        question=question,
                        choices=one[2],
                        audios=(),
                    )
                    for id, text, question, one in zip(IDS, texts, questions, QUESTIONS)
                ]
            )
    assert len({tuple(said[condition]) for condition in READER.conditions}) == 3  # what is told matters
    assert len({tuple(said[f"{condition}_likelihood"]) for condition in READER.conditions}) > 1
    for condition in READER.conditions:
        assert all(text in one[2] for text, one in zip(said[f"{condition}_likelihood"], QUESTIONS))


def test_a_reader_reads_again_what_was_described_again(
    reading: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(reading, tmp_path / "repository"))
    config = replace(READER, conditions=("weak",), decode=("words",))
    folder = ask(root, "cascade", config)
    before = files(folder)
    ask(root, "cascade", config)
    assert capsys.readouterr().out.endswith("cascade is complete\n")
    assert files(folder) == before
    told = [{"id": id, "answers": [FACTS[id]]} for id in IDS]
    path = at(root, "describe").path("predictions", "descriptions", "weak.jsonl")
    write_lines(path, told)
    ask(root, "cascade", config)
    truth = ask(root, "other", replace(config, conditions=("truth",)))
    assert outputs(folder / "weak.jsonl") == outputs(truth / "truth.jsonl")
    assert files(folder)["weak.jsonl"] != before["weak.jsonl"]


def test_descriptions_that_are_not_there_name_their_stage(reading: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"descriptions.shouted.jsonl: run the stage `describe`"):
        ask(reading, "shouted", replace(READER, conditions=("shouted",)))
    with pytest.raises(FileNotFoundError, match="run the stage `train` of this row first"):
        ask(reading, "nobody", replace(READER, folder="projects/mmau/checkpoints/mini/nobody"))


# score


def predict(root: Path, place: str, said: Sequence[str | Sequence[str]], **other: Any) -> Path:
    """Predictions of mmau by hand; an item with several outputs has its options turned one place further in
    each."""
    records = []
    for id, one, given in zip(other.get("ids", IDS), QUESTIONS, said, strict=True):
        texts = (given,) if isinstance(given, str) else tuple(given)
        n = len(one[2])
        orders = tuple(tuple((k + j) % n for j in range(n)) for k in range(len(texts)))
        records.append(Record(id=id, hash="h", orders=orders, outputs=texts, errors=("",) * len(texts)))
    path = at(root, "score").path("predictions", f"{place}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(line_of, records)))
    return path


SAID = tuple(one[4] for one in QUESTIONS)
LAST = tuple(one[2][-1] for one in QUESTIONS)
RIGHT = {rule: [float(one[5][place] == "y") for one in QUESTIONS] for place, rule in enumerate(RULES)}
SCORES = score.Shown(
    rows={"ours": "ours/own", "noisy": "ours/noise", "gone": "gone/own"},
    noise={"ours": ("ours", "noisy"), "gone": ("gone", "gone")},
    skills=("ours", "gone"),
    sharp=("ours", "gone"),
)


def tables(shown: score.Shown, context: Context, **options: Any) -> None:
    score.score_tables(shown, score.Config(**options), context=context)


@pytest.fixture
def scored(root: Path) -> Context:
    """Outputs with the audio and with noise, and a variant that was not run."""
    context = at(root, "score")
    predict(root, "ours/own", SAID)
    predict(root, "ours/noise", LAST)
    ask(root, "gone", replace(CONTROLS, without="no such model"))
    tables(SCORES, context)
    return context


def table(context: Context, name: str) -> dict[tuple[str, str], Cell]:
    """The cells of a table, each with items that belong to it."""
    folder = context.path("results")
    cells, items = read_cells(folder, name), read_items(folder, name)
    assert set(cells) == set(items)
    write_cells(folder.parent / "again", name, cells.values(), items.values())  # refuses what does not agree
    return cells


def values(context: Context, name: str) -> dict[tuple[str, str], tuple[float, int]]:
    return {key: (round(cell.value, 2), cell.n) for key, cell in table(context, name).items()}


def test_accuracy_by_task_and_difficulty(scored: Context) -> None:
    assert values(scored, "main") == {
        ("ours", "sound_mini"): (66.67, 3),
        ("ours", "music_mini"): (66.67, 3),
        ("ours", "speech_mini"): (0.0, 4),
        ("noisy", "sound_mini"): (33.33, 3),
        ("noisy", "music_mini"): (0.0, 3),
        ("noisy", "speech_mini"): (25.0, 4),
    }
    assert values(scored, "difficulty") == {
        ("ours", "easy"): (66.67, 3),
        ("ours", "medium"): (40.0, 5),
        ("ours", "hard"): (0.0, 2),
        ("noisy", "easy"): (0.0, 3),
        ("noisy", "medium"): (40.0, 5),
        ("noisy", "hard"): (0.0, 2),
    }


def test_accuracy_by_skill(scored: Context) -> None:
    assert values(scored, "skills") == {
        ("acoustic_source_inference", "ours"): (66.67, 3),
        ("instrumentation", "ours"): (66.67, 3),
        ("counting", "ours"): (0.0, 4),
    }
    assert values(scored, "skill_difficulty") == {  # there is no hard one of the first skill
        ("acoustic_source_inference", "ours__easy"): (100.0, 1),
        ("acoustic_source_inference", "ours__medium"): (50.0, 2),
        ("instrumentation", "ours__easy"): (100.0, 1),
        ("instrumentation", "ours__medium"): (100.0, 1),
        ("instrumentation", "ours__hard"): (0.0, 1),
        ("counting", "ours__easy"): (0.0, 1),
        ("counting", "ours__medium"): (0.0, 2),
        ("counting", "ours__hard"): (0.0, 1),
    }


def test_every_rule_and_how_much_could_be_read(scored: Context) -> None:
    found = values(scored, "rules")
    assert {column: value for (row, column), value in found.items() if row == "ours"} == {
        "official_2025": (40.0, 10),
        "official_2024": (30.0, 10),
        "option_exact": (20.0, 10),
        "letter_aware": (50.0, 10),
        **{status: (10.0 * count, 10) for status, count in STATUS.items()},
    }
    items = read_items(scored.path("results"), "rules")
    for rule in RULES:
        assert items["ours", rule].scores[0].tolist() == RIGHT[rule]
    assert found["noisy", "answered"] == (100.0, 10)


def test_noise_is_compared_item_by_item(scored: Context) -> None:
    assert values(scored, "noise") == {
        ("ours", "clean"): (40.0, 10),
        ("ours", "noise"): (20.0, 10),
        ("ours", "drop"): (20.0, 10),
    }
    items = {
        column: one.scores[0] for (_, column), one in read_items(scored.path("results"), "noise").items()
    }
    assert items["clean"].tolist() == RIGHT["official_2025"]
    assert (items["drop"] == items["clean"] - items["noise"]).all()
    assert set(items["drop"].tolist()) == {-1.0, 0.0, 1.0}


def test_protocols_name_rule_orders_split_and_version(scored: Context) -> None:
    (digest,) = read_info(truths.dataset_folder(scored, "mmau"))["sha256"].values()
    asked = f"options as filed; test-mini sha256 {digest[:12]}"
    for name in ("main", "difficulty", "skills", "skill_difficulty"):
        assert {cell.protocol for cell in table(scored, name).values()} == {
            f"official_2025, {asked}; resampled: items"
        }
    for (_, column), cell in table(scored, "rules").items():
        rule = "letter_aware" if column in STATUS else column
        assert cell.protocol == f"{rule}, {asked}; resampled: items"
    for cell in table(scored, "noise").values():
        assert cell.protocol.startswith(f"official_2025, {asked}; noise: Gaussian")
    source = {"parquet_sha256": {"x": "0" * 64}, "sha256": {"mmau-test-mini.json": "abcdef012345" + "6" * 52}}
    assert score.version_of(source) == "sha256 abcdef012345"  # the official file's, where there is one


def test_another_rule_is_that_of_all_tables(scored: Context) -> None:
    tables(SCORES, scored, rule="letter_aware")
    assert values(scored, "main")["ours", "sound_mini"] == (100.0, 3)
    assert values(scored, "noise")["ours", "drop"] == (30.0, 10)
    assert table(scored, "skills")["counting", "ours"].protocol.startswith("letter_aware, options as filed")


def test_a_variant_that_was_not_run_is_left_out(scored: Context, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    tables(SCORES, scored)
    assert "gone: not run: no such model" in capsys.readouterr().out
    for name in ("main", "difficulty", "rules", "noise"):
        assert "gone" not in {row for row, _ in table(scored, name)}
    only = replace(SCORES, rows={"gone": "gone/own"})
    with pytest.raises(PredictionError, match=r"no predictions in .*: run the stage `answer`"):
        tables(only, scored)


def test_outputs_of_other_items_are_refused(scored: Context) -> None:
    path = predict(scored.root, "ours/own", SAID, ids=[*IDS[:-1], "q77"])
    before = files(scored.path("results"))
    said = (
        r"own.jsonl: 1 items have no output and 1 outputs are of other items \(q9, q77\): run its answer st"
    )
    with pytest.raises(PredictionError, match=said):
        tables(SCORES, scored)
    path.unlink()
    with pytest.raises(PredictionError, match=r"own.jsonl is missing: run its answer stage again"):
        tables(SCORES, scored)
    assert files(scored.path("results")) == before


def test_the_majority_of_several_orders_decides(root: Path) -> None:
    # the first output is wrong, the others are right; then so by letters, that of one option moving
    silent = [("", "", "")] * (len(IDS) - 2)
    predict(root, "voted/own", [("a siren", "a dog", "a dog"), ("B", "C", "B"), *silent])
    context = at(root, "score")
    tables(score.Shown(rows={"voted": "voted/own"}, noise={}, skills=()), context)
    cells = table(context, "rules")
    assert {rule: cells["voted", rule].value for rule in RULES} == {
        "official_2025": 10.0,
        "official_2024": 10.0,
        "option_exact": 10.0,
        "letter_aware": 20.0,
    }
    assert cells["voted", "silent"].value == 80.0
    assert "options majority of 3 orders;" in cells["voted", "letter_aware"].protocol


SAID_PRO = {
    "closed0": "a dog",
    "closed1": "the rain",
    "several": "the first",
    "open": "A dog.",
    "rules": "no mark of that kind here",
}


def predict_pro(root: Path, variant: str, said: Mapping[str, str]) -> None:
    orders = {one[0]: [[*range(len(one[3]))]] for one in PRO}
    told = [
        {"id": id, "hash": "h", "orders": orders.get(id, [[]]), "answers": [text]}
        for id, text in said.items()
    ]
    write_lines(at(root, "score").path("predictions", variant, "pro.jsonl"), told)


def test_mmau_pro_is_weighted_by_count_and_says_what_has_no_score(
    reading: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(reading, tmp_path / "repository"))
    predict(root, "ours/own", SAID)
    predict_pro(root, "ours", SAID_PRO)
    context = at(root, "score")
    config = replace(SCORES, rows={"ours": "ours/own"}, pro={"ours": "ours", "deaf": "deaf"})
    tables(config, context, encoder="text_tower")
    assert "pro/deaf: not run: its stage has not run in this profile" in capsys.readouterr().out
    assert values(context, "pro") == {
        ("ours", "sound"): (100.0, 2),
        ("ours", "multi"): (0.0, 1),
        ("ours", "instruction_following"): (100.0, 1),
        ("ours", "overall"): (75.0, 4),  # of items, not of categories
    }
    cells = table(context, "pro")
    assert cells["ours", "sound"].protocol == "closed, ours; 2 of 2 items; resampled: items"
    told = "weighted by count, 4 of 5 items; 1 without score: no verdict; resampled: items"
    assert cells["ours", "overall"].protocol == told
    tables(config, context)  # without an encoder
    assert values(context, "pro") == {
        ("ours", "instruction_following"): (100.0, 1),
        ("ours", "overall"): (100.0, 1),
    }
    protocol = table(context, "pro")["ours", "overall"].protocol
    assert "1 of 5 items" in protocol
    assert "3 without score: no embedding model" in protocol
    predict_pro(root, "ours", {**SAID_PRO, "alien": ""})
    with pytest.raises(PredictionError, match=r"1 of other items \(alien\)"):
        tables(config, context)


def test_outputs_of_the_answer_stage_are_scored(root: Path) -> None:
    ask(root, "controls", CONTROLS)
    rows = {name: f"controls/{name}" for name in CONTROLS.conditions}
    context = at(root, "score")
    tables(score.Shown(rows=rows, noise={}, skills=("first",), pro={"r": "controls"}), context)
    rules = table(context, "rules")
    for rule in RULES:
        assert rules["first", rule].value == 40.0
    assert all(rules[row, "answered"].value == 100.0 for row in rows)
    assert table(context, "pro")["r", "instruction_following"].value == 0.0  # says nothing


# compose and train


def test_a_profile_without_a_row_trains_none(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    composing.compose(
        composing.Config(without="this profile trains no row of its own"), context=at(root, "compose")
    )
    context = at(root, "train", "reader")
    data, folder = context.path("data", "training"), context.path("checkpoints", "reader")
    assert files(data) == {"not_run.txt": b"this profile trains no row of its own\n"}
    with monkeypatch.context() as second:  # of two processes the first says so
        second.setenv("RANK", "1")
        train.train(train.Config(phases={}), context=context)
    assert not folder.exists()
    capsys.readouterr()
    train.train(train.Config(phases={}), context=context)
    assert files(folder) == files(data)
    assert capsys.readouterr().out == "reader: not run: this profile trains no row of its own\n"


@pytest.mark.filterwarnings("ignore::shared_data.world.exams.exam.SkillsAbsentWarning")
def test_a_reader_from_the_bank_to_the_tables(
    reading: Path, bridge: Bridge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exam, gold, instructions, two steps of training, answers, scores: each reads what others wrote."""
    if say.why_absent():
        pytest.skip("no synthetic voice, so that no speech is asked about")
    root = Path(shutil.copytree(reading, tmp_path / "repository"))
    parts = [make_world(split, clips=2).bank for split in ("train", "test")]  # type: ignore[arg-type]
    clips, waves = zip(*((c, w) for part in parts for c, w in zip(part.clips, part.waveforms)))
    write_bank(Bank(clips, waves, RATE), root / "shared_data" / "bank" / "mini")
    skills = ("Temporal Event Reasoning", "Instrumentation", "Counting")
    few = exams.Config(skills=skills, n={"sound": 4, "music": 2, "speech": 2})
    exams.exams(few, context=at(root, "exams", "mmau", paper="shared_data"))
    truths.gold(replace(GOLD, splits={"mmau": "test-mini"}), context=at(root, "gold"))

    config = load(composing.Config, path=CONF / "mini.yaml", stage="compose")
    reading_.reading(reading_.Config(told=2), context=at(root, "reading", paper="shared_data"))
    composing.compose(replace(config, untold=0.3), context=at(root, "compose"))
    data = at(root, "compose").path("data", "training")
    items = read_instructions(data / "instructions" / "reading.json")
    built, _ = makers()
    assert {skill: sum(one.task == skill for one in items) for skill in built} == dict.fromkeys(built, 2)
    assert len({one.audio_id for one in items}) == len(items)
    assert not any("Options:" in one.instruction for one in items)
    untold = [one for one in items if one.instruction.startswith(with_description("", ""))]
    assert 0.1 < len(untold) / len(items) < 0.5
    before = files(data / "instructions")
    composing.compose(replace(config, untold=0.3), context=at(root, "compose"))
    assert files(data / "instructions") == before

    settings = load(train.Config, path=CONF / "mini.yaml", stage="train", variant="reader")
    options = TrainingOptions(steps=2, learning_rate=0.1)
    few: dict[str, Any] = {"options": options, "batch_size": 4, "max_tokens": 900}
    phases = {name: replace(one, **few) for name, one in settings.phases.items()}
    settings = replace(settings, phases=phases)
    context = at(root, "train", "learnt")
    train.train(settings, context=context)
    folder = context.path("checkpoints", "learnt", "seed0")
    trained = files(folder)
    model = open_audio_lm(folder, root=root)
    assert model.artefact.architecture.branches == ()
    updates = [value for name, value in model.model.named_parameters() if "lora_B" in name]
    assert updates
    assert all(value.abs().max() > 0 for value in updates)
    capsys.readouterr()
    train.train(settings, context=context)
    assert capsys.readouterr().out == "learnt seed 0 is complete\n"
    assert files(folder) == trained

    learnt = f"projects/mmau/checkpoints/mini/{folder.parent.name}"
    conditions = ("nothing", "truth")
    ask(root, "learnt", replace(READER, folder=learnt, conditions=conditions, decode=("likelihood",)))
    rows = {name: f"learnt/{name}_likelihood" for name in conditions}
    tables(
        score.Shown(rows=rows, noise={"reader": ("truth", "nothing")}, skills=("truth",)), at(root, "score")
    )
    found = table(at(root, "score"), "rules")
    assert {(row, cell.n) for (row, _), cell in found.items()} == {("nothing", 8), ("truth", 8)}
    assert found["truth", "answered"].value == 100.0
    assert ("reader", "drop") in table(at(root, "score"), "noise")


# the profiles


@pytest.mark.parametrize("profile", ["mini", "recorded", "paper"])
def test_every_row_of_the_tables_is_asked(profile: str) -> None:
    folder = CONF.parent
    asked_ = {
        name: load(answering.Config, folder=folder, profile=profile, stage="answer", variant=name)
        for name in variants(folder, profile=profile, stage="answer")
    }
    shown = score.shown(read_paper(folder))
    for place in shown.rows.values():
        variant, name = place.split("/")
        config = asked_[variant]
        made = {
            condition if decode == "words" else f"{condition}_{decode}"
            for condition in config.conditions
            for decode in config.decode
        }
        assert name in made, place
        assert set(config.decode) == {"words"} or config.kind in ("audio_lm", "reader")
    known = {*shown.rows}
    assert {row for pair in shown.noise.values() for row in pair} <= known
    assert {*shown.skills, *shown.sharp} <= known
    assert all(asked_[variant].pro for variant in (shown.pro or {}).values())


def stand_in(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """Every model says the same, which may be changed in `said`."""
    opened = models.Opened(lambda questions: said * len(questions), {})
    monkeypatch.setattr(answering, "open_model", lambda *_, **__: opened)


def test_a_variant_runs_when_what_it_lacked_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = answering.Config(kind="lalm", conditions=("none",), folder="raw/x")
    folder = ask(root, "lalm", config)
    assert "no checkpoint" in (folder / "not_run.txt").read_text()
    (root / "raw" / "x").mkdir(parents=True)
    (root / "raw" / "x" / "config.json").write_text("{}")
    said = ["x"]
    stand_in(monkeypatch, said)
    ask(root, "lalm", config)
    assert not (folder / "not_run.txt").exists()
    assert set(outputs(folder / "none.jsonl")) == {"x"}
    said[:] = ["y"]
    ask(root, "lalm", config)
    assert set(outputs(folder / "none.jsonl")) == {"x"}  # complete
    (root / "raw" / "x" / "model.safetensors").write_bytes(b"other weights")
    ask(root, "lalm", config)
    assert set(outputs(folder / "none.jsonl")) == {"y"}


def test_a_key_that_is_set_later_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(url="http://127.0.0.1:1/v1", model="m", key_variable="A_KEY_OF_THIS_TEST")
    config = answering.Config(kind="reading_endpoint", conditions=("truth",), endpoint=endpoint)
    folder = ask(root, "e", config)
    assert "A_KEY_OF_THIS_TEST" in (folder / "not_run.txt").read_text()
    monkeypatch.setenv("A_KEY_OF_THIS_TEST", "secret")
    stand_in(monkeypatch, ["x"])
    ask(root, "e", config)
    assert (folder / "truth.jsonl").is_file()


def test_what_cannot_be_asked_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="no control 'loudest'"):
        ask(root, "c", replace(CONTROLS, conditions=("loudest",)))
    with pytest.raises(ValueError, match="nothing is described of mmau_pro"):
        ask(root, "r", answering.Config(kind="reader", conditions=("nothing",), folder="r", pro=True))
    shutil.rmtree(truths.dataset_folder(at(root, "x"), "mmau_pro"))
    with pytest.raises(FileNotFoundError, match=r"shared_data\.exams mmau_pro"):
        ask(root, "controls", CONTROLS)
    write_absent(truths.dataset_folder(at(root, "x"), "mmau"), "not here")
    with pytest.raises(FileNotFoundError, match="no mmau: not here"):
        ask(root, "other", CONTROLS)


def test_withheld_answers_are_not_scored(root: Path) -> None:
    path = at(root, "score").path("predictions", "gold", "mmau.jsonl")
    write_lines(path, [{**line, "answer": ""} for line in lines(path)])
    predict(root, "ours/own", ["nothing of these"] * 10)
    with pytest.raises(PredictionError, match=r"10 of 10 answers are withheld .* projects.mmau.submit"):
        tables(score.Shown(rows={"ours": "ours/own"}, noise={}, skills=()), at(root, "score"))


def test_an_exam_without_one_of_the_tasks_is_scored(root: Path) -> None:
    gold = at(root, "score").path("predictions", "gold", "mmau.jsonl")
    write_lines(gold, lines(gold)[:6])
    predict(root, "ours/own", SAID)
    path = at(root, "score").path("predictions", "ours", "own.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:6]))
    tables(score.Shown(rows={"ours": "ours/own"}, noise={}, skills=()), at(root, "score"))
    found = read_cells(at(root, "score").path("results"), "main")
    assert {column for _, column in found} == {"sound_mini", "music_mini"}


def test_gold_of_exams_that_are_not_asked_is_removed(root: Path) -> None:
    truths.gold(replace(GOLD, splits={"mmau": "test-mini"}), context=at(root, "gold"))
    assert not at(root, "gold").path("predictions", "gold", "mmau_pro.jsonl").exists()

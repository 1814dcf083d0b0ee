"""Answers to the test sets: the same in any batch, of other audio when swapped, with the hints of the row."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.adapters.prefix_lm import AdapterMismatch, AudioPrefixLM, Sampling, save_trained
from core.answering.harness import HarnessError
from core.audio_lm.artefact import AudioLm, open_audio_lm, write_artefact
from core.audio_lm.batches import Hints
from core.audio_lm.branches import Bridge
from core.audio_lm.features import Store, open_store
from core.audio_lm.model import Architecture, load_language_model, make_model
from core.report.predictions import read_predictions
from core.run.files import write_json
from core.run.stage import Context
from projects.gama import predict
from projects.gama.predict import Config, read_questions, swapped
from projects.gama.sets import TestSet
from tests.audio_lm_world import made_up_artefact

At = Callable[..., Context]
WIDTHS = {"ast": 8, "listener": 6, "clap": 5, "tags": 4}
CONFIG = Config(
    checkpoint="heard",
    sets={"clothoaqa": TestSet("answer"), "audiocaps": TestSet("caption")},
    tasks=("answer",),
    answer_tokens={"answer": 9, "caption": 3},
    seeds=(0, 1),
    batch_size=3,
)
HINTS = Hints(threshold=0.3, limit=2)


@pytest.fixture(scope="module")
def rows(fresh: Path, bridge: Bridge, at: At, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of random weights of two rows; LoRA's B is not 0 in them, as after training."""
    root = tmp_path_factory.mktemp("rows")
    shutil.copytree(fresh, root, dirs_exist_ok=True)
    shutil.rmtree(root / "projects" / "gama" / "checkpoints", ignore_errors=True)
    context = at(root, "predict")
    for name, soft in (("heard", False), ("hinted", True)):
        row = Architecture(branches=("qformer", "window_qformer"), bridge=bridge, soft_prompt=soft)
        for seed in (0, 1):
            torch.manual_seed(seed)
            lm, tokenizer = load_language_model(
                root / "shared_data" / "foundations" / "mini" / "language_model"
            )
            model = make_model(row, widths=WIDTHS, lm=lm, tokenizer=tokenizer)
            for value in model.parameters():
                if value.requires_grad:
                    torch.nn.init.normal_(value, std=0.5)
            folder = context.path("checkpoints", name, f"seed{seed}")
            artefact = made_up_artefact(root, row)
            write_artefact(folder, artefact)
            save_trained(model, folder / "model.safetensors", identity=artefact.identity)
    return root


def answers(root: Path, at: At, variant: str, *, condition: str = "own", **how: Any) -> list[list[str]]:
    context = at(root, "predict", variant)
    predict.predict(dataclasses.replace(CONFIG, **how), context=context)
    folder = context.path("predictions", variant)
    assert not list(folder.rglob(".*"))  # nothing of the work is left
    asked = read_questions(context.path("predictions", "gold", "clothoaqa.jsonl"))
    found = read_predictions(folder / condition / "clothoaqa.jsonl", ids=[one.id for one in asked])
    return [list(one.answers) for one in found]


def alone(root: Path, audios: list[str], *, seed: int) -> list[str]:
    """What the model says without a harness, all questions in their order at once."""
    model = open_audio_lm(root / "projects/gama/checkpoints/mini/heard" / f"seed{seed}", root=root)
    names = [encoder.name for encoder in model.artefact.encoders]
    store = open_store(root / "projects/gama/data/mini/features/test", ("sounds",), names)
    asked = read_questions(root / "projects/gama/predictions/mini/gold/clothoaqa.jsonl")
    return model.answer(
        [one.instruction for one in asked],
        {name: store.read(name, audios) for name in names},
        ids=audios,
        max_new_tokens=9,
    )


def test_a_line_holds_the_answer_of_every_seed(rows: Path, at: At) -> None:
    made = answers(rows, at, "heard")
    assert len(made) == 6
    assert all(len(each) == 2 for each in made)
    assert len({each[0] for each in made}) > 1  # what is heard matters
    assert any(one != other for one, other in made)
    assert answers(rows, at, "again") == made
    for seed in (0, 1):
        assert [each[seed] for each in made] == alone(rows, [f"sounds:so{i}" for i in range(6)], seed=seed)
    assert [[one] for _, one in made] == answers(rows, at, "second", seeds=(1,))


def test_a_batch_answers_as_its_items_do_alone(rows: Path, at: At) -> None:
    made = answers(rows, at, "heard")
    assert answers(rows, at, "alone", batch_size=1) == made
    assert answers(rows, at, "whole", batch_size=100) == made


def test_answers_are_no_longer_than_their_set_allows(
    rows: Path, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    generate = AudioPrefixLM.generate

    def notes(*given: Any, **options: Any) -> list[list[int]]:
        made = generate(*given, **options)
        lengths.extend(map(len, made))
        return made

    monkeypatch.setattr(AudioPrefixLM, "generate", notes)
    for how, longest in (({}, 9), ({"answer_tokens": {}, "max_new_tokens": 2}, 2)):
        lengths.clear()
        answers(rows, at, "short", **how)
        assert max(lengths) == longest


def test_drawn_answers_are_a_function_of_the_seed(rows: Path, at: At) -> None:
    drawn = {"sampling": Sampling(temperature=2.0, top_p=1.0, top_k=0)}
    made = answers(rows, at, "drawn", **drawn)
    assert made == answers(rows, at, "drawn_again", **drawn)
    assert made != answers(rows, at, "heard")


@pytest.mark.parametrize("seed", range(20))
def test_swapped_keeps_no_audio(seed: int) -> None:
    audios = [f"a{i % 7}" for i in range(30)]
    other = swapped(audios, seed=seed)
    assert all(a != b for a, b in zip(audios, other))
    assert sorted(set(other)) == sorted(set(audios))  # every audio is still asked about
    pairs = dict(zip(audios, other))
    assert [pairs[audio] for audio in audios] == other  # questions of one audio stay together
    assert swapped(audios, seed=seed) == other
    assert swapped(["a", "b", "a"], seed=seed) == ["b", "a", "b"]
    assert swapped(["a"], seed=seed) == ["a"]


def test_conditions_stand_beside_each_other(rows: Path, at: At) -> None:
    both = {"conditions": ("own", "swapped"), "seeds": (0,)}
    audios = [f"sounds:so{i}" for i in range(6)]
    assert answers(rows, at, "both", **both) == [[one] for one in alone(rows, audios, seed=0)]
    other = swapped(audios)
    assert not {*zip(audios, audios)} & {*zip(audios, other)}
    found = answers(rows, at, "both", condition="swapped", **both)
    assert found == [[one] for one in alone(rows, other, seed=0)]
    assert found != answers(rows, at, "both", **both)


def test_batches_hold_audios_of_like_length(rows: Path, at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[list[int]] = []
    read = Store.read

    def notes(store: Store, encoder: str, audios: list[str]) -> Any:
        lengths.extend([[store.steps("ast", audio) for audio in audios]] if encoder == "ast" else [])
        return read(store, encoder, audios)

    monkeypatch.setattr(Store, "read", notes)
    answers(rows, at, "sorted", seeds=(0,))
    assert lengths == [[5, 5, 5], [4, 4, 4]]


def test_a_killed_run_asks_only_what_is_left(rows: Path, at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answers(rows, at, "whole")
    answer, calls = AudioLm.answer, 0

    def dies(model: AudioLm, *given: Any, **options: Any) -> list[str]:
        nonlocal calls
        calls += 1
        if calls == 4:  # in the second seed
            raise KeyboardInterrupt
        return answer(model, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(AudioLm, "answer", dies)
        with pytest.raises(KeyboardInterrupt):
            answers(rows, at, "killed")
    assert not at(rows, "predict").path("predictions", "killed", "own").exists()
    calls = 10
    monkeypatch.setattr(AudioLm, "answer", dies)
    assert answers(rows, at, "killed") == whole
    assert calls == 11  # the second half of the second seed
    assert answers(rows, at, "killed") == whole
    assert calls == 11  # complete


def test_hints_belong_to_models_with_a_soft_prompt(rows: Path, at: At) -> None:
    with pytest.raises(ValueError, match=r"trained without a soft prompt: remove predict.x.hints"):
        answers(rows, at, "x", hints=HINTS)
    with pytest.raises(ValueError, match=r"trained with a soft prompt: give predict.x.hints"):
        answers(rows, at, "x", checkpoint="hinted")
    with pytest.raises(ValueError, match=r"random_tags from predict.x.conditions"):
        answers(rows, at, "x", conditions=("own", "random_tags"))
    hinted = {"checkpoint": "hinted", "hints": HINTS, "conditions": ("own", "random_tags")}
    made = answers(rows, at, "hinted", **hinted)
    assert made != answers(rows, at, "hinted", condition="random_tags", **hinted)
    none = answers(rows, at, "no_tags", checkpoint="hinted", hints=Hints(source="none"))
    assert made != none
    with pytest.raises(HarnessError, match="no true tags"):
        answers(rows, at, "x", checkpoint="hinted", hints=Hints(source="gold"))
    features = at(rows, "predict").path("data", "features", "test")
    write_json(features / "tags" / "sounds" / "truth.json", {f"so{i}": ["siren"] for i in range(6)})
    true = answers(rows, at, "true", checkpoint="hinted", hints=Hints(source="gold"))
    assert true not in (made, none)


def test_the_hints_of_the_training_are_told_again(rows: Path, at: At) -> None:
    folder = at(rows, "predict").path("checkpoints", "told")
    shutil.copytree(at(rows, "predict").path("checkpoints", "hinted"), folder)
    for path in folder.glob("*/artefact.json"):
        held = json.loads(path.read_text())
        path.write_text(json.dumps(held | {"hints": dataclasses.asdict(HINTS)}))
    given = answers(rows, at, "given", checkpoint="hinted", hints=HINTS)
    assert answers(rows, at, "told", checkpoint="") == given


def test_what_is_missing_names_the_stage(rows: Path, at: At, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="stage `train`"):
        answers(rows, at, "x", checkpoint="nobody")
    with pytest.raises(FileNotFoundError, match="stage `gold`"):
        answers(rows, at, "x", sets={"gtzan": TestSet("answer")})
    with pytest.raises(FileNotFoundError, match="seed5"):
        answers(rows, at, "x", seeds=(0, 5))
    folder = at(rows, "predict").path("checkpoints", "other")
    shutil.copytree(at(rows, "predict").path("checkpoints", "heard"), folder)
    for path in folder.glob("*/artefact.json"):
        held = json.loads(path.read_text())
        held["architecture"]["bridge"]["lora_alpha"] = 4.0
        path.write_text(json.dumps(held))
    with pytest.raises(AdapterMismatch, match="another configuration"):
        answers(rows, at, "x", checkpoint="other")

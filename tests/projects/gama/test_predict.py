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
from core.audio_lm.artefact import write_artefact
from core.audio_lm.batches import Hints, MixError
from core.audio_lm.branches import Bridge
from core.audio_lm.features import Store
from core.audio_lm.model import Architecture, load_language_model, make_model
from core.run.files import write_json
from core.run.stage import Context
from projects.gama import predict
from projects.gama.predict import Config, read_questions, swapped
from tests.audio_lm_world import made_up_artefact

At = Callable[..., Context]
WIDTHS = {"ast": 8, "listener": 6, "clap": 5, "tags": 4}
CONFIG = Config(
    checkpoint="heard", sets=("clothoaqa",), answer_tokens={"clothoaqa": 9}, seeds=(0, 1), batch_size=3
)


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


def answers(root: Path, at: At, variant: str, **how: Any) -> list[list[str]]:
    context = at(root, "predict", variant)
    predict.predict(dataclasses.replace(CONFIG, **how), context=context)
    lines = context.path("predictions", variant, "clothoaqa.jsonl").read_text().splitlines()
    asked = read_questions(context.path("predictions", "gold", "clothoaqa.jsonl"))
    found = [json.loads(line) for line in lines]
    assert [line["id"] for line in found] == [question.id for question in asked]
    return [line["answers"] for line in found]


def test_a_line_holds_the_answer_of_every_seed(rows: Path, at: At) -> None:
    made = answers(rows, at, "heard")
    assert len(made) == 6
    assert all(len(each) == 2 for each in made)
    assert len({each[0] for each in made}) > 1  # what is heard matters
    assert any(one != other for one, other in made)
    assert answers(rows, at, "again") == made
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
    assert made == answers(rows, at, "drawn", **drawn)
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


def test_a_swapped_row_hears_another_audio(rows: Path, at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    read = Store.read

    def notes(store: Any, encoder: Any, audios: Any) -> Any:
        heard.extend(audios if encoder == "ast" else [])
        return read(store, encoder, audios)

    monkeypatch.setattr(Store, "read", notes)
    plain = answers(rows, at, "plain", seeds=(0,))
    right, heard[:] = list(heard), []
    other = answers(rows, at, "swapped", seeds=(0,), swap=True)
    assert right == [f"sounds:so{i}" for i in range(6)]
    assert sorted(heard) == right
    assert all(one != two for one, two in zip(heard, right))
    assert other != plain


def test_hints_belong_to_rows_with_a_soft_prompt(rows: Path, at: At) -> None:
    hints = Hints(threshold=0.3, limit=2)
    with pytest.raises(ValueError, match=r"trained without a soft prompt: remove predict.x.hints"):
        answers(rows, at, "x", hints=hints)
    with pytest.raises(ValueError, match=r"trained with a soft prompt: give predict.x.hints"):
        answers(rows, at, "x", checkpoint="hinted")
    made = answers(rows, at, "hinted", checkpoint="hinted", hints=hints)
    none = answers(rows, at, "no_tags", checkpoint="hinted", hints=Hints(source="none"))
    assert made != none
    with pytest.raises(MixError, match="no true tags"):
        answers(rows, at, "x", checkpoint="hinted", hints=Hints(source="gold"))
    features = at(rows, "predict").path("data", "features")
    write_json(features / "tags" / "sounds" / "truth.json", {f"so{i}": ["siren"] for i in range(6)})
    true = answers(rows, at, "true", checkpoint="hinted", hints=Hints(source="gold"))
    assert true not in (made, none)


def test_what_is_missing_names_the_stage(rows: Path, at: At, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="stage `train`"):
        answers(rows, at, "x", checkpoint="nobody")
    with pytest.raises(FileNotFoundError, match="stage `gold`"):
        answers(rows, at, "x", sets=("gtzan",))
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

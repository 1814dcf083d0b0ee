"""Pre-training, the curriculum and instruction tuning on made-up features: what trains, and exact resumes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from core.adapters.prefix_lm import AdapterMismatch, ContextTooLong
from core.audio_lm import phases
from core.audio_lm.artefact import read_artefact
from core.audio_lm.batches import Hints, MixError, read_mix
from core.audio_lm.branches import Bridge, make_branch
from core.audio_lm.features import open_store
from core.audio_lm.model import Architecture, load_language_model, make_model
from core.audio_lm.phases import Phase, load_parent, steps_of
from core.run import strict_yaml
from core.run.stage import Context
from core.train import saving
from core.train.checkpoints import load_model
from core.train.history import read_history
from core.train.optimisation import TrainingOptions
from projects.gama import pretrain, train, tune
from tests.audio_lm_world import made_up_artefact
from tests.two_processes import Job, run_stages

At = Callable[..., Context]
OPTIONS = TrainingOptions(steps=3, learning_rate=1e-2, checkpoint_every=1, log_every=1)
FIRST = Phase(
    mix={"classification": 1.0, "captions": 1.0},
    parts=("branches.*projector*", "branches.aggregator.*"),
    options=OPTIONS,
    batch_size=4,
)
SECOND = dataclasses.replace(FIRST, mix={"closed": 1.0, "open": 2.0}, parts=("branches.*", "*lora_*"))
TUNING = Phase(mix={"compa_r_train": 1.0}, parts=("*lora_*", "soft_prompt.*"), options=OPTIONS, batch_size=4)
HINTS = Hints(threshold=0.3, limit=2)
WIDTHS = {"ast": 8, "listener": 6, "clap": 5, "tags": 4}


class Noted:
    """A tracker that keeps what is logged."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    @contextlib.contextmanager
    def child(self, *_: Any, **__: Any) -> Iterator[Noted]:
        yield self

    def log_metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self.values |= values


def curriculum(bridge: Bridge, *branches: str, **how: Any) -> train.Config:
    return train.Config(
        branches=branches,  # type: ignore[arg-type]
        bridge=bridge,
        phases=how.pop("phases", {"stage1": FIRST, "stage2": SECOND}),
        sets=how.pop("sets", ("scenes",)),
        **how,
    )


def pretraining(bridge: Bridge) -> pretrain.Config:
    return pretrain.Config(
        shape=bridge.qformer,
        sets=("scenes",),
        bridging=OPTIONS,
        generative=OPTIONS,
        batch_size=4,
        generative_batch_size=4,
    )


def folder(root: Path, row: str, seed: int = 0) -> Path:
    return root / "projects" / "gama" / "checkpoints" / "mini" / row / f"seed{seed}"


def weights(root: Path, row: str, name: str = "model") -> dict[str, torch.Tensor]:
    return load_file(folder(root, row) / f"{name}.safetensors")


def changed(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> set[str]:
    """Names of the parts that differ, "branches.qformer.projector" or "lora"."""
    assert set(one) == set(two)
    return {
        "lora" if "lora_" in name else ".".join(name.split(".")[:3])
        for name in one
        if not torch.equal(one[name], two[name])
    }


@pytest.fixture(scope="module")
def trained(fresh: Path, bridge: Bridge, at: At) -> Path:
    """Pre-training, two rows and an instruction-tuned one."""
    pretrain.pretrain(pretraining(bridge), context=at(fresh, "pretrain"))
    train.train(curriculum(bridge, "qformer", "aggregator"), context=at(fresh, "train", "gama"))
    tune.tune(
        tune.Config(parent="gama", phases={"tuning": TUNING}, sets=("scenes",), hints=HINTS),
        context=at(fresh, "tune", "gama_it"),
    )
    return fresh


def test_pretraining_starts_from_the_text_tower_and_feeds_the_language_model(
    trained: Path, bridge: Bridge, at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    out = trained / "projects" / "gama" / "checkpoints" / "mini" / "pretrain"
    assert not list(out.glob("*/step*"))
    for stage in ("bridging", "generative"):
        assert [row["step"] for row in read_history(out / stage / "history.jsonl").rows] == [1, 2, 3]
    assert {"contrastive", "matching", "generation"} <= set(
        read_history(out / "bridging" / "history.jsonl").rows[0]
    )
    bridged, spoken = (load_file(out / f"{stage}.safetensors") for stage in ("bridging", "generative"))
    assert any(name.startswith("text.") for name in bridged)
    assert not any(".text." in name for name in spoken)
    branch = make_branch("qformer", bridge, widths=WIDTHS, out_width=16)
    assert not load_model(branch, out / "generative.safetensors")
    moved = [
        name
        for name in bridged
        if f"qformer.{name}" in spoken and not bridged[name].equal(spoken[f"qformer.{name}"])
    ]
    assert moved  # the second stage trains on
    capsys.readouterr()
    pretrain.pretrain(pretraining(bridge), context=at(trained, "pretrain"))
    assert "is complete" in capsys.readouterr().out


def test_two_processes_train_as_one_and_the_first_writes(
    fresh: Path, bridge: Bridge, at: At, tmp_path: Path
) -> None:
    qformer = dataclasses.replace(bridge.qformer, dropout=0.0)  # dropout is drawn by each process
    still = dataclasses.replace(bridge, qformer=qformer, dropout=0.0, lora_dropout=0.0)
    # a large eps: Adam would make a whole step of a gradient that is rounding
    options = dataclasses.replace(OPTIONS, eps=1e-3)
    phases = [dataclasses.replace(phase, options=options, loss_on="all") for phase in (FIRST, SECOND, TUNING)]
    pretraining_ = dataclasses.replace(pretraining(still), bridging=options, generative=options)
    row = curriculum(still, "qformer", "aggregator", phases=dict(zip(("stage1", "stage2"), phases)))
    tuning = tune.Config(parent="gama", phases={"tuning": phases[2]}, sets=("scenes",), hints=HINTS)
    jobs = [
        Job(pretrain.pretrain, pretraining_, "gama", "pretrain"),
        Job(train.train, row, "gama", "train", "gama"),
        Job(tune.tune, tuning, "gama", "tune", "gama_it"),
    ]
    one, two = tmp_path / "one", tmp_path / "two"
    for root in (one, two):
        shutil.copytree(fresh, root)
    for job in jobs:
        job.function(job.config, context=at(one, job.stage, job.variant))
    wrote, others = run_stages([*jobs, *jobs], root=two, folder=tmp_path)
    assert others == []
    assert wrote.count(f"os.rename {folder(two, 'gama_it') / 'model.safetensors'}") == 1
    left = [path.relative_to(two) for path in two.rglob("*")]
    assert sorted(left) == sorted(path.relative_to(one) for path in one.rglob("*"))
    histories = [path.relative_to(one) for path in one.rglob("history.jsonl")]
    assert len(histories) == 5
    for file in histories:
        losses, wanted = (read_history(root / file).losses for root in (two, one))
        assert losses == pytest.approx(wanted, rel=1e-5), file


def test_nothing_that_a_training_leaves_holds_the_frozen_language_model(
    fresh: Path, bridge: Bridge, at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its checkpoints nor what it exports: 7 billion weights are not written every thousand steps."""
    root = tmp_path / "repository"
    shutil.copytree(fresh, root)
    kept: set[str] = set()
    commit = saving.commit_checkpoint

    def noting(draft: Path, *, keep: int) -> Path:
        kept.update(load_file(draft / "model.safetensors"))
        optimizer = torch.load(draft / "optimizer.pt", weights_only=True)["optimizer"]
        assert len(optimizer["state"]) == len(load_file(draft / "model.safetensors"))
        return commit(draft, keep=keep)

    monkeypatch.setattr(saving, "commit_checkpoint", noting)
    pretrain.pretrain(pretraining(bridge), context=at(root, "pretrain"))
    assert not [name for name in kept if name.startswith("lm.")]
    train.train(curriculum(bridge, "qformer", "aggregator"), context=at(root, "train", "gama"))
    for file in (root / "projects" / "gama" / "checkpoints").rglob("*.safetensors"):
        kept.update(load_file(file))
    assert {name for name in kept if name.startswith("lm.")}
    assert all("lora_" in name for name in kept if name.startswith("lm."))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pretraining_reads_the_language_model_in_its_own_number_format(
    fresh: Path, bridge: Bridge, at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any
) -> None:
    root = tmp_path / "repository"
    shutil.copytree(fresh, root)
    seen = set()
    opened = pretrain.load_language_model

    def noting(*given: Any, **how: Any) -> Any:
        lm, tokenizer = opened(*given, **how)
        seen.update(str(value.dtype) for value in lm.parameters())
        return lm, tokenizer

    monkeypatch.setattr(pretrain, "load_language_model", noting)
    config = dataclasses.replace(
        pretraining(bridge), dtype=dtype, generative=dataclasses.replace(OPTIONS, gradient_checkpointing=True)
    )
    pretrain.pretrain(config, context=at(root, "pretrain"))
    assert seen == {f"torch.{dtype}"}
    made = load_file(root / "projects/gama/checkpoints/mini/pretrain/generative.safetensors")
    assert {str(value.dtype) for value in made.values()} == {"torch.float32"}


def test_the_paper_profile_fits_a_language_model_of_7_billion_weights() -> None:
    conf = strict_yaml.read(Path(pretrain.__file__).parent / "conf" / "paper.yaml")
    assert conf["pretrain"]["dtype"] == conf["train"]["bridge"]["dtype"] == "bfloat16"
    options = [phase["options"] for part in ("train", "tune") for phase in conf[part]["phases"].values()]
    assert all(each["gradient_checkpointing"] for each in [*options, conf["pretrain"]["generative"]])


def test_the_same_caption_has_the_same_number(trained: Path, bridge: Bridge) -> None:
    """Which is how processes tell that two audios of one caption are no negatives of each other."""
    data = trained / "projects" / "gama" / "data" / "mini"
    tower = trained / "shared_data" / "foundations" / "mini" / "text_tower"
    config = dataclasses.replace(pretraining(bridge), batch_size=12)
    mix = read_mix(data / "instructions", {"captions": 1.0, "closed": 1.0}, known=lambda _: True)
    batch = next(
        pretrain.caption_batches(
            mix,
            open_store(data / "features" / "train", ("scenes",), ("ast",)),
            AutoTokenizer.from_pretrained(tower, local_files_only=True),
            step=0,
            config=config,
        )
    )
    texts = [tuple(row) for row in batch["input_ids"].tolist()]
    pairs = set(zip(texts, batch["captions"].tolist()))
    assert len(pairs) == len(set(texts)) == len(set(batch["captions"].tolist())) == 2
    assert batch["features"].shape == (12, 5, 8)


def test_every_phase_trains_its_parts_only(trained: Path) -> None:
    out = folder(trained, "gama")
    assert {path.name for path in out.iterdir()} == {
        "artefact.json",
        "identity.json",
        "model.safetensors",
        "stage1",
        "stage1.safetensors",
        "stage2",
        "stage2.safetensors",
    }
    assert not list(out.glob("*/step*"))
    first, second = weights(trained, "gama", "stage1"), weights(trained, "gama", "stage2")
    assert not any(value.any() for name, value in first.items() if "lora_B" in name)
    start = load_file(trained / "projects/gama/checkpoints/mini/pretrain/generative.safetensors")
    qformer = {
        name.removeprefix("branches.qformer."): v for name, v in first.items() if "branches.qformer" in name
    }
    moved = {name.split(".")[0] for name in start if not torch.equal(start[name], qformer[name])}
    assert moved == {"projector"}  # the Q-Former waits for the second phase
    assert changed(first, second) == {
        "lora",
        "branches.qformer.qformer",
        "branches.qformer.projector",
        "branches.aggregator.aggregator",
        "branches.aggregator.projector",
    }
    assert changed(second, weights(trained, "gama")) == set()
    assert not any(name.startswith("lm.") and "lora_" not in name for name in second)


def test_tuning_continues_its_parent_and_trains_lora_and_the_soft_prompt(trained: Path, at: At) -> None:
    parent, tuned = weights(trained, "gama"), weights(trained, "gama_it")
    assert set(tuned) - set(parent) == {"soft_prompt.vector"}
    vector = tuned.pop("soft_prompt.vector")
    assert changed(parent, tuned) == {"lora"}
    lm, _ = load_language_model(trained / "shared_data" / "foundations" / "mini" / "language_model")
    assert not torch.allclose(vector, lm.get_input_embeddings().weight.mean(dim=0))
    assert read_artefact(folder(trained, "gama_it")).architecture.soft_prompt
    tune.tune(
        tune.Config(parent="gama", phases={"tuning": TUNING}, sets=("scenes",)),
        context=at(trained, "tune", "it_wo_soft_prompt"),
    )
    assert set(weights(trained, "it_wo_soft_prompt")) == set(parent)
    assert not read_artefact(folder(trained, "it_wo_soft_prompt")).architecture.soft_prompt


def test_a_row_without_audio_skips_the_phase_that_trains_projectors(
    trained: Path, bridge: Bridge, at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = Noted()
    train.train(curriculum(bridge), context=at(trained, "train", "text_only", tracker))
    assert "stage1: nothing of branches.*projector*" in capsys.readouterr().out
    assert not (folder(trained, "text_only") / "stage1").exists()
    assert all("lora_" in name for name in weights(trained, "text_only"))
    assert changed(weights(trained, "text_only", "stage1"), weights(trained, "text_only", "stage2")) == {
        "lora"
    }
    size = sum(value.numel() for value in weights(trained, "text_only").values())
    assert {k: v for k, v in tracker.values.items() if "trainable" in k} == {"stage2/trainable/lora": size}
    assert tracker.values["stage2/prefix_tokens"] == 0
    assert tracker.values["stage2/answer_tokens"] > 0


@pytest.mark.parametrize("dies_in", ["stage1", "stage2"])
def test_a_killed_run_ends_with_the_same_weights(
    trained: Path, bridge: Bridge, at: At, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    config, row = curriculum(bridge, "qformer", "aggregator"), f"killed_in_{dies_in}"
    left = 2 if dies_in == "stage1" else 4
    whole = phases.text_loss

    def dies(*given: Any) -> Any:
        nonlocal left
        if not left:
            raise MemoryError("killed")
        left -= 1
        return whole(*given)

    with monkeypatch.context() as patch:
        patch.setattr(phases, "text_loss", dies)
        with pytest.raises(MemoryError):
            train.train(config, context=at(trained, "train", row))
    out = folder(trained, row)
    assert not (out / "model.safetensors").exists()
    assert (out / "stage1.safetensors").exists() is (dies_in == "stage2")

    train.train(config, context=at(trained, "train", row))
    resumed = {name: read_history(out / name / "history.jsonl").resumed_at for name in ("stage1", "stage2")}
    assert resumed["stage1"] == ((2,) if dies_in == "stage1" else resumed["stage1"])
    assert resumed["stage2"] == (() if dies_in == "stage1" else (1,))
    for name in ("stage1", "stage2"):
        losses = read_history(folder(trained, "gama") / name / "history.jsonl").losses
        assert read_history(out / name / "history.jsonl").losses == losses
    for name in ("stage1", "stage2", "model"):
        assert (out / f"{name}.safetensors").read_bytes() == (
            folder(trained, "gama") / f"{name}.safetensors"
        ).read_bytes()


def test_a_finished_row_is_left_alone_and_another_one_starts_anew(
    trained: Path, bridge: Bridge, at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    config, context = curriculum(bridge, "clap_prefix"), at(trained, "train", "again")
    train.train(config, context=context)
    before = (folder(trained, "again") / "model.safetensors").read_bytes()
    capsys.readouterr()
    train.train(config, context=context)
    assert "again seed 0 is complete" in capsys.readouterr().out
    (folder(trained, "again") / "left_over").touch()
    faster = dataclasses.replace(SECOND, options=dataclasses.replace(OPTIONS, learning_rate=2e-2))
    train.train(
        dataclasses.replace(config, phases={"stage1": FIRST, "stage2": faster}, seeds=(0, 1)), context=context
    )
    assert not (folder(trained, "again") / "left_over").exists()
    after = (folder(trained, "again") / "model.safetensors").read_bytes()
    assert after != before
    assert (folder(trained, "again", 1) / "model.safetensors").read_bytes() != after


def test_weights_of_another_configuration_are_refused(trained: Path, bridge: Bridge) -> None:
    lm, tokenizer = load_language_model(trained / "shared_data" / "foundations" / "mini" / "language_model")
    row = Architecture(branches=("qformer", "aggregator"), bridge=bridge, soft_prompt=True)
    model = make_model(row, widths=WIDTHS, lm=lm, tokenizer=tokenizer)
    path = folder(trained, "gama")
    before = {name: value.clone() for name, value in model.named_parameters()}
    prompt = model.soft_prompt
    assert prompt is not None
    for other in (
        dataclasses.replace(row, bridge=dataclasses.replace(bridge, lora_alpha=4.0)),
        dataclasses.replace(row, branches=("aggregator", "qformer")),
    ):
        with pytest.raises(AdapterMismatch, match="another configuration"):
            load_parent(model, path, identity=made_up_artefact(trained, other).identity)
    lost = made_up_artefact(trained, row).identity | {"language_model": {"model.safetensors": "0"}}
    with pytest.raises(AdapterMismatch, match="another configuration"):
        load_parent(model, path, identity=lost)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    model.soft_prompt = prompt
    load_parent(model, path, identity=made_up_artefact(trained, row).identity)
    assert model.soft_prompt is prompt
    assert torch.equal(prompt.vector, before["soft_prompt.vector"])
    assert any(not torch.equal(before[name], value) for name, value in model.named_parameters())


def test_a_checkpoint_of_another_configuration_is_not_continued(
    trained: Path, bridge: Bridge, at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of checkpoints that was copied in from elsewhere."""
    with monkeypatch.context() as patch:
        patch.setattr(phases, "save_trained", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train.train(curriculum(bridge, "clap"), context=at(trained, "train", "half"))
    shutil.copytree(folder(trained, "half") / "stage1", tmp_path / "stage1")
    lm, tokenizer = load_language_model(trained / "shared_data" / "foundations" / "mini" / "language_model")
    other = Architecture(branches=("ast_linear",), bridge=bridge, soft_prompt=False)
    model = make_model(other, widths=WIDTHS, lm=lm, tokenizer=tokenizer)
    with pytest.raises(ValueError, match="made by another configuration"):
        phases.run_phase(
            model,
            FIRST,
            batches=lambda step: iter(()),
            steps=3,
            folder=tmp_path / "stage1",
            seed=0,
            run=Noted(),  # type: ignore[arg-type]
        )


def test_what_does_not_fit_is_told_before_training(trained: Path, bridge: Bridge, at: At) -> None:
    config = curriculum(bridge, "clap")
    phases = {name: dataclasses.replace(one, max_tokens=20) for name, one in config.phases.items()}
    with pytest.raises(ContextTooLong, match=r"scenes:sc0 \(classification"):
        train.train(dataclasses.replace(config, phases=phases), context=at(trained, "train", "short"))
    with pytest.raises(MixError, match="no features"):
        train.train(curriculum(bridge, "clap", sets=("sounds",)), context=at(trained, "train", "deaf"))
    assert not list((folder(trained, "short").parent).glob("*/stage*"))
    with pytest.raises(FileNotFoundError, match="stage `train`"):
        tune.tune(
            tune.Config(parent="nobody", phases={"tuning": TUNING}, sets=("scenes",)),
            context=at(trained, "tune", "orphan"),
        )


def test_epochs_count_items_of_all_batches() -> None:
    assert steps_of(FIRST, 100) == 3
    assert steps_of(dataclasses.replace(FIRST, epochs=1.0), 101) == 26
    assert steps_of(dataclasses.replace(FIRST, epochs=0.5, batch_size=1000), 100) == 1
    twice = dataclasses.replace(OPTIONS, accumulation=2)
    assert steps_of(dataclasses.replace(FIRST, epochs=2.0, options=twice), 100) == 25


def test_artefact_json_says_what_was_trained(trained: Path, bridge: Bridge) -> None:
    raw = json.loads((folder(trained, "gama") / "artefact.json").read_text())["architecture"]
    assert raw["branches"] == ["qformer", "aggregator"]
    assert read_artefact(folder(trained, "gama")).architecture.bridge == bridge

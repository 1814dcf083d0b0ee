"""The whole pipeline on a few clips: bank, data sets, prepare, init, train, predict, score."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.parquet import read_dataset
from core.encoders.clap_folder import ModelError, Shape, make_model, read_shape, weights_of
from core.report.cells import read_cells
from core.run import tracking
from core.run.stage import Context
from core.train.checkpoints import load_model
from core.train.history import History, read_history
from core.train.optimisation import TrainingOptions
from projects.compa import init, predict, prepare, score, train
from projects.compa.batches import SceneMix
from projects.compa.objectives import compa_loss
from projects.compa.sets import EvalSet
from shared_data import bank as banks
from shared_data import datasets
from tests.two_processes import Job, run_stages

LABELS = ("baby_cry", "baby_laugh", "woman_cry", "woman_laugh", "dog_bark", "church_bell")
SETS = {
    "compa_order": EvalSet("comparison"),
    "audiocaps": EvalSet("retrieval"),
    "esc50": EvalSet("zero_shot"),
    "fsd50k": EvalSet("zero_shot"),
}
OPTIONS = TrainingOptions(steps=2, learning_rate=1e-3, checkpoint_every=1, log_every=1)
SINGLES = SceneMix(singles=0.3, sizes=(1.0,))
TWINS = SceneMix(sizes=(0.8, 0.2), twins=True, attribute_share=0.2)
VANILLA = train.Config(
    parent="init",
    objective="contrastive",
    options=OPTIONS,
    seeds=(0,),
    batch_size=4,
    mix=SINGLES,
    validation_scenes=4,
)
HARD = dataclasses.replace(VANILLA, parent="vanilla", objective="hard_negatives", mix=TWINS)
MODULAR = dataclasses.replace(HARD, parent="hard_negatives", objective="modular", positives_as="mean_logprob")
VARIANTS = {"vanilla": VANILLA, "hard_negatives": HARD, "compa_clap": MODULAR}
FULL = predict.Config(sets=SETS, tasks=("comparison", "retrieval", "shuffled", "zero_shot"), batch_size=5)


def at(root: Path, stage: str, variant: str | None = None, *, paper: str = "compa") -> Context:
    return Context(
        paper=paper,
        stage=stage,
        variant=variant,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def folder(root: Path, *parts: str) -> Path:
    return root.joinpath("projects", "compa", *parts)


def seed_folder(root: Path, variant: str, seed: int = 0) -> Path:
    return folder(root, "checkpoints", "mini", variant, f"seed{seed}")


def weights(root: Path, variant: str) -> bytes:
    return (seed_folder(root, variant) / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, shape: Shape) -> Path:
    """A repository up to the stage `init`."""
    root = tmp_path_factory.mktemp("repository")
    banks.bank(
        banks.Config(sample_rate=8000, train=3, valid=2, test=3, music=False, labels=list(LABELS)),
        context=at(root, "bank", paper="shared_data"),
    )
    for name in SETS:
        datasets.datasets(
            datasets.Config(n=7, duration=3.0, captions=2),
            context=at(root, "datasets", name, paper="shared_data"),
        )
    prepare.prepare(
        prepare.Config(
            sets=SETS,
            front_end=shape.front_end,
            vocab_size=300,
            tokenizer_captions=200,
            batch_size=5,
        ),
        context=at(root, "prepare"),
    )
    detector = dataclasses.replace(OPTIONS, steps=3)
    init.init(
        init.Config(shape=shape, detector=detector, mix=SINGLES, batch_size=4), context=at(root, "init")
    )
    return root


@pytest.fixture(scope="module")
def trained(prepared: Path) -> Path:
    """The same with three variants, each the child of the one before."""
    for name, config in VARIANTS.items():
        train.train(config, context=at(prepared, "train", name))
    return prepared


@pytest.fixture(scope="module")
def scored(trained: Path) -> Path:
    """The same with predictions and scores."""
    few = predict.Config(sets=SETS)
    for name, config in {
        "init": dataclasses.replace(few, seeds=(0,)),
        "vanilla": FULL,
        "hard_negatives": few,
        "compa_clap": FULL,
        "clap_laion": dataclasses.replace(FULL, weights="shared_data/raw/checkpoints/laion"),
    }.items():
        predict.predict(config, context=at(trained, "predict", name))
    rows = {
        "clap_laion": "clap_laion",
        "clap_ours": "vanilla",
        "compa_clap": "compa_clap",
        "wo_modular": "hard_negatives",
        "init": "init",
    }
    score.score_rows(rows, score.Config(), context=at(trained, "score"))
    return trained


def test_of_two_processes_the_first_writes(prepared: Path, shape: Shape, tmp_path: Path) -> None:
    """Batch normalisation differs between processes, so a file must not be that of whoever is last."""
    root = tmp_path / "repository"
    shutil.copytree(prepared, root)
    shutil.rmtree(folder(root, "checkpoints"))
    first = Job(
        init.init, init.Config(shape=shape, detector=OPTIONS, mix=SINGLES, batch_size=4), "compa", "init"
    )
    twice = dataclasses.replace(VANILLA, seeds=(0, 1))
    jobs = [first, *(Job(train.train, twice, "compa", "train", "vanilla") for _ in range(2))]
    wrote, others = run_stages(jobs, root=root, folder=tmp_path)
    assert others == []
    for seed in (0, 1):
        weights = seed_folder(root, "vanilla", seed) / "model.safetensors"
        assert wrote.count(f"os.rename {weights}") == 1
        left = {path.name for path in weights.parent.iterdir()}
        assert left == {"model.safetensors", "history.jsonl", "identity.json"}


def test_prepare_analyses_every_test_audio(prepared: Path, shape: Shape) -> None:
    data = folder(prepared, "data", "mini")
    report = json.loads((data / "contamination.json").read_text())
    assert report["tests"] == dict.fromkeys(SETS, 7)
    assert (data / "tokenizer.json").is_file()
    front_end = shape.front_end
    for name in SETS:
        index = json.loads((data / "features" / name / "index.json").read_text())
        audio = np.load(data / "features" / name / "audio.npy")
        longer = np.load(data / "features" / name / "longer.npy")
        assert audio.shape == (len(index), 1, front_end.frames, front_end.n_mels)
        assert longer.shape == (len(index), 1)
        assert np.isfinite(audio).all()
        columns = {column for _, column in index}
        if name == "compa_order":
            assert {"pair_audio", "reversed_audio"} <= columns
            assert len(index) >= 14
        else:
            assert columns == {"audio"}
            assert len(index) == 7


def test_init_writes_what_every_variant_starts_from(prepared: Path, shape: Shape) -> None:
    out = folder(prepared, "checkpoints", "mini", "init")
    assert sorted(path.name for path in out.iterdir()) == [
        "identity.json",
        "model.safetensors",
        "shape.json",
        "tokenizer.json",
    ]
    read, tokenizer = read_shape(out)
    assert read == shape
    assert (
        tokenizer.to_str()
        == tokenizer.from_file(str(folder(prepared, "data", "mini", "tokenizer.json"))).to_str()
    )
    torch.manual_seed(0)
    fresh, made = make_model(shape), make_model(shape)
    assert not load_model(made, weights_of(out.parent, "init", 0))
    moved = {
        part: any(
            not torch.equal(x, dict(getattr(fresh, part).named_parameters())[name])
            for name, x in getattr(made, part).named_parameters()
        )
        for part in ("audio", "text")
    }
    assert moved == {"audio": True, "text": False}  # the detector trains one tower only


def test_init_is_not_made_twice(
    prepared: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(init, "train_detector", _refuse)
    config = init.Config(
        shape=shape, detector=dataclasses.replace(OPTIONS, steps=3), mix=SINGLES, batch_size=4
    )
    init.init(config, context=at(prepared, "init"))
    assert "is complete" in capsys.readouterr().out


def test_every_variant_is_trained_from_its_parent(trained: Path, shape: Shape) -> None:
    for name in VARIANTS:
        out = seed_folder(trained, name)
        assert sorted(path.name for path in out.iterdir()) == [
            "history.jsonl",
            "identity.json",
            "model.safetensors",
        ]
        history = read_history(out / "history.jsonl")
        assert [row["step"] for row in history.rows] == [1, 2]
        assert history.resumed_at == ()
        assert {"valid/text", "valid/audio", "valid/group", "valid/t2a_r1"} <= set(history.evaluations[-1])
        assert not load_model(make_model(shape), out / "model.safetensors")
    different = {weights(trained, name) for name in VARIANTS}
    different.add((folder(trained, "checkpoints", "mini", "init") / "model.safetensors").read_bytes())
    assert len(different) == 4


def test_training_starts_from_the_parents_weights(
    trained: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, dict[str, torch.Tensor]]] = []

    def fit(model: torch.nn.Module, *, options: TrainingOptions, **_: Any) -> History:
        seen.append((options.seed, {name: x.clone() for name, x in model.state_dict().items()}))
        return History(rows=(), evaluations=(), resumed_at=())

    monkeypatch.setattr(train, "fit", fit)
    train.train(dataclasses.replace(VANILLA, seeds=(0, 3)), context=at(trained, "train", "start"))
    parent = make_model(shape)
    load_model(parent, weights_of(folder(trained, "checkpoints", "mini"), "init", 0))
    assert [seed for seed, _ in seen] == [0, 3]
    for _, found in seen:
        assert all(torch.equal(found[name], x) for name, x in parent.state_dict().items())


def test_a_finished_variant_is_not_trained_again(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = weights(trained, "vanilla")
    monkeypatch.setattr(train, "fit", _refuse)
    train.train(VANILLA, context=at(trained, "train", "vanilla"))
    assert "vanilla seed 0 is complete" in capsys.readouterr().out
    assert weights(trained, "vanilla") == before


def test_another_seed_leaves_the_first_alone(trained: Path) -> None:
    context = at(trained, "train", "seeds")
    train.train(VANILLA, context=context)
    first = (seed_folder(trained, "seeds") / "identity.json").read_text()
    train.train(dataclasses.replace(VANILLA, seeds=(0, 1)), context=context)
    assert (seed_folder(trained, "seeds") / "identity.json").read_text() == first
    assert weights(trained, "seeds") == weights(trained, "vanilla")  # a variant's name decides nothing
    other = (seed_folder(trained, "seeds", 1) / "model.safetensors").read_bytes()
    assert other != weights(trained, "seeds")


def test_another_learning_rate_starts_anew(trained: Path) -> None:
    context = at(trained, "train", "rate")
    train.train(VANILLA, context=context)
    (seed_folder(trained, "rate") / "left_over").touch()
    changed = dataclasses.replace(VANILLA, options=dataclasses.replace(OPTIONS, learning_rate=2e-3))
    train.train(changed, context=context)
    assert not (seed_folder(trained, "rate") / "left_over").exists()
    assert read_history(seed_folder(trained, "rate") / "history.jsonl").resumed_at == ()
    assert weights(trained, "rate") != weights(trained, "vanilla")


@pytest.mark.parametrize("config", [VANILLA, MODULAR], ids=["contrastive", "modular"])
def test_a_killed_run_ends_with_the_same_weights(
    trained: Path, monkeypatch: pytest.MonkeyPatch, config: train.Config
) -> None:
    config = dataclasses.replace(config, options=dataclasses.replace(OPTIONS, steps=4, warmup_steps=2))
    whole, killed = f"whole_{config.objective}", f"killed_{config.objective}"
    train.train(config, context=at(trained, "train", whole))
    steps = 0

    def dies(*given: Any, **options: Any) -> Any:
        nonlocal steps
        if steps == 2:
            raise MemoryError("killed")
        steps += 1
        return compa_loss(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(train, "compa_loss", dies)
        with pytest.raises(MemoryError):
            train.train(config, context=at(trained, "train", killed))
    out = seed_folder(trained, killed)
    assert [path.name for path in sorted(out.glob("step_*"))] == ["step_00000001", "step_00000002"]
    assert not (out / "model.safetensors").exists()
    with pytest.raises(ModelError, match=f"trains '{killed}' with seed 0"):
        weights_of(folder(trained, "checkpoints", "mini"), killed, 0)

    train.train(config, context=at(trained, "train", killed))
    history = read_history(out / "history.jsonl")
    assert history.resumed_at == (2,)
    assert history.losses == read_history(seed_folder(trained, whole) / "history.jsonl").losses
    assert weights(trained, killed) == weights(trained, whole)
    assert not list(out.glob("step_*"))


def test_a_killed_run_of_another_configuration_is_not_continued(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(train, "save_model", _refuse)
        with pytest.raises(AssertionError):
            train.train(VANILLA, context=at(trained, "train", "changed"))
    assert (seed_folder(trained, "changed") / "step_00000002").is_dir()
    changed = dataclasses.replace(VANILLA, options=dataclasses.replace(OPTIONS, learning_rate=2e-3))
    train.train(changed, context=at(trained, "train", "changed"))
    assert read_history(seed_folder(trained, "changed") / "history.jsonl").resumed_at == ()


def test_predictions_hold_an_item_a_line(scored: Path) -> None:
    out = folder(scored, "predictions", "mini", "vanilla")
    assert {path.name for path in out.iterdir()} == {
        "compa_order.jsonl",
        "audiocaps.jsonl",
        "audiocaps_shuffled.jsonl",
        "esc50.jsonl",
        "fsd50k.jsonl",
        "fsd50k.classes.json",
    }
    lines = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in out.glob("*.jsonl")
    }
    assert {len(rows) for rows in lines.values()} == {7}
    for row in lines["compa_order"]:
        (block,) = row["similarity"]
        assert len(block) == len(block[0]) in (2, 3)
        assert np.abs(block).max() <= 1
    assert {len(row["text_to_audio"][0]) for row in lines["audiocaps"]} == {2}
    assert all(0 <= rank < 7 for row in lines["audiocaps"] for rank in row["text_to_audio"][0])
    assert [row["id"] for row in lines["audiocaps"]] == [row["id"] for row in lines["audiocaps_shuffled"]]
    for row in lines["esc50"]:
        assert (row["rank"] == [0]) == (row["predicted"] == [row["label"]])
    classes = json.loads((out / "fsd50k.classes.json").read_text())
    assert classes == sorted(label.replace("_", " ") for label in LABELS)
    assert all(len(row["scores"][0]) == 6 and set(row["labels"]) <= set(classes) for row in lines["fsd50k"])


def test_similarities_are_those_of_the_model(scored: Path) -> None:
    """One item, embedded on its own, from the weights on disk."""
    from datasets import Dataset

    from core.encoders.clap_folder import tokenize

    shape, tokenizer = read_shape(folder(scored, "checkpoints", "mini", "init"))
    model = predict.load_variant(shape, weights_of(folder(scored, "checkpoints", "mini"), "compa_clap", 0))
    rows: Dataset = read_dataset(scored / "shared_data" / "datasets" / "mini" / "compa_order")
    features = folder(scored, "data", "mini", "features", "compa_order")
    index = [tuple(key) for key in json.loads((features / "index.json").read_text())]
    row = rows[3]
    mels = np.load(features / "audio.npy")
    heard = torch.from_numpy(
        np.stack([mels[index.index((row["id"], f"{kind}_audio"))] for kind in ("pair", "reversed")])
    )
    said = [row["pair_caption"], row["reversed_caption"]]
    ids, mask = tokenize(tokenizer, said, max_tokens=shape.text.max_tokens, pad_to_max=False)
    with torch.inference_mode():
        text, audio = model.embed_text(ids, mask), model.embed_audio(heard)
    wanted = torch.nn.functional.cosine_similarity(text[:, None], audio[None], dim=2).numpy()
    path = folder(scored, "predictions", "mini", "compa_clap", "compa_order.jsonl")
    line = json.loads(path.read_text().splitlines()[3])
    assert line["id"] == row["id"]
    np.testing.assert_allclose(np.array(line["similarity"][0])[:2, :2], wanted, atol=1e-5)


def test_public_weights_that_are_not_there(scored: Path) -> None:
    out = folder(scored, "predictions", "mini", "clap_laion")
    assert [path.name for path in out.iterdir()] == ["not_run.txt"]
    text = (out / "not_run.txt").read_text()
    assert text.startswith("not run: the weights are not in shared_data/raw/checkpoints/")
    assert "core.data.doctor compa" in text


def test_weights_of_ours_that_are_not_there(trained: Path) -> None:
    with pytest.raises(ModelError, match="trains 'vanilla' with seed 5"):
        predict.predict(dataclasses.replace(FULL, seeds=(0, 5)), context=at(trained, "predict", "vanilla"))


def test_tables_hold_the_rows_that_were_run(scored: Path) -> None:
    results = folder(scored, "results", "mini")
    cells = {name: read_cells(results, name) for name in ("benchmark", "retrieval", "zero_shot", "shuffle")}
    parts = [f"order_{part}" for part in ("text", "audio", "group")]
    rows = ("clap_ours", "compa_clap", "wo_modular", "init", "random")
    assert set(cells["benchmark"]) == {(row, column) for row in rows for column in parts}
    full = ("clap_ours", "compa_clap")
    assert set(cells["zero_shot"]) == {(row, column) for row in full for column in ("esc50", "fsd50k")}
    assert {row for row, _ in cells["retrieval"]} == set(full)
    assert {column for _, column in cells["retrieval"]} == {
        f"audiocaps_{way}_r{k}" for way in ("t2a", "a2t") for k in (1, 5, 10)
    }
    assert {column for _, column in cells["shuffle"]} == {
        f"audiocaps_{way}_r1{suffix}" for way in ("t2a", "a2t") for suffix in ("", "_shuffled")
    }
    datasets_of = scored / "shared_data" / "datasets" / "mini"
    recordings = len({tuple(clips) for clips in read_dataset(datasets_of / "fsd50k")["clips"]})
    assert recordings == 6  # two of the seven clips are cut from one
    for table in cells.values():
        for (_, column), cell in table.items():
            assert (cell.n, cell.scale) == (recordings if column == "fsd50k" else 7, "mini")
    assert (results / "shuffle.png").stat().st_size > 1000


def test_predicting_again_gives_the_same_bytes(scored: Path) -> None:
    out = folder(scored, "predictions", "mini")
    before = {path.name: path.read_bytes() for path in (out / "vanilla").iterdir()}
    predict.predict(FULL, context=at(scored, "predict", "vanilla"))
    assert {path.name: path.read_bytes() for path in (out / "vanilla").iterdir()} == before


def test_a_run_takes_back_that_it_was_not_run(scored: Path) -> None:
    context = at(scored, "predict", "vanilla")
    said = folder(scored, "predictions", "mini", "vanilla", "not_run.txt")
    predict.predict(dataclasses.replace(FULL, weights="shared_data/raw/checkpoints/laion"), context=context)
    assert said.is_file()
    predict.predict(FULL, context=context)
    assert not said.exists()


@pytest.mark.parametrize("change", ["tokenizer", "front end"])
def test_a_variant_of_another_tokenizer_or_front_end_starts_anew(
    trained: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """Neither need change the weights that the variant starts from."""
    name = f"other_{change.split()[0]}"
    train.train(VANILLA, context=at(trained, "train", name))
    path = folder(trained, "checkpoints", "mini", "init") / (
        "tokenizer.json" if change == "tokenizer" else "shape.json"
    )
    before = path.read_text()
    content = json.loads(before)
    if change == "tokenizer":
        content["model"]["merges"] = content["model"]["merges"][:-20]
    else:
        content["front_end"]["fmin"] = 100.0
    capsys.readouterr()
    try:
        path.write_text(json.dumps(content))
        train.train(VANILLA, context=at(trained, "train", name))
    finally:
        path.write_text(before)
    assert "is complete" not in capsys.readouterr().out


def _refuse(*_: Any, **__: Any) -> Callable[..., None]:
    raise AssertionError("this should not run")

"""What the frozen encoders hear, once and for all rows, and what a CLAP makes of the test sets."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

import projects.gama.features as stage
from core.audio.read import write_flac
from core.audio_lm.encoders import EncoderError, read_record
from core.audio_lm.features import open_store, read_truth
from core.data.parquet import read_dataset, write_dataset
from core.data.schema import SCHEMAS
from core.encoders.ast import AstShape, encode_long, load_ast, make_ast, read_fbank, write_front_end
from core.encoders.clap_folder import Shape, make_front_end, make_model, tokenize, write_shape
from core.encoders.whisper import WhisperShape, make_whisper
from core.foundations.public import FoundationMissingError, record_trained
from core.run.stage import Context
from core.scenes.bank import Bank, write_bank
from core.scenes.timeline import scene_to_json
from core.train.checkpoints import save_model
from projects.gama.compose import Config as ComposeConfig
from projects.gama.compose import draw_scenes
from projects.gama.contrast import Config as ContrastConfig
from projects.gama.contrast import contrast
from projects.gama.features import Config, dataset_batches, features
from projects.gama.sets import TestSet
from shared_data.world.sounds.procedural import make_bank

RATE = 16_000
LABELS = ("dog_bark", "rain", "siren")
SETS: dict[str, Any] = {
    "train_sets": ("esc50",),
    "sets": {"esc50": TestSet("accuracy")},
    "batch_size": 3,
}
CONFIGS = {
    "ast": Config(kind="ast", foundation="tagger", options={"taps": [3, 1, 2]}, **SETS),
    "listener": Config(kind="whisper", foundation="listener", **SETS),
    "clap": Config(kind="clap", checkpoints="compa", options={"variant": "compa_clap"}, **SETS),
    "tags": Config(kind="tagger", foundation="tagger", **SETS),
}
INFO = {"name": "esc50", "task": "t", "licence": "l", "source": "s", "protocol": "p"}
SECONDS = (1.0, 0.5, 1.7, 1.0)  # a window holds 1.0
ENCODERS = ("ast", "listener", "clap", "tags")
At = Callable[..., Context]


@pytest.fixture(scope="module")
def scenes_bank() -> Bank:
    return make_bank(
        sample_rate=RATE, clips_per_class={"train": 1, "valid": 1, "test": 1}, labels=list(LABELS)
    )


@pytest.fixture(scope="module")
def heard(
    tmp_path_factory: pytest.TempPathFactory, scenes_bank: Bank, shape: Shape, tokenizer: Tokenizer, at: At
) -> Path:
    """Random encoders, five scenes, a data set of four sounds and the features of all."""
    root = tmp_path_factory.mktemp("features")
    foundations = root / "shared_data" / "foundations" / "mini"
    ast = make_ast(
        AstShape(
            hidden_size=16,
            layers=3,
            heads=2,
            intermediate_size=32,
            n_mels=16,
            max_frames=98,
            patch_size=14,
            frequency_stride=14,
            time_stride=14,
            labels=LABELS,
            initializer_range=0.3,
        ),
        seed=0,
    )
    listener = make_whisper(
        WhisperShape(
            hidden_size=12, layers=1, heads=2, intermediate_size=16, n_mels=16, max_frames=100,
            initializer_range=0.3,
        ),
        seed=0,
    )  # fmt: skip
    fronts: dict[str, dict[str, Any]] = {
        "tagger": {"n_mels": 16, "max_frames": 98},
        "listener": {"n_mels": 16, "max_seconds": 1.0},
    }
    for name, model in (("tagger", ast), ("listener", listener)):
        model.save_pretrained(foundations / name)
        write_front_end(foundations / name, fronts[name])
        record_trained(foundations / name, root=root, name=name, revision="test", licence="none")
    compa = root / "projects" / "compa" / "checkpoints" / "mini"
    write_shape(compa / "init", shape, tokenizer)
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_model(make_model(shape), compa / "compa_clap" / f"seed{seed}" / "model.safetensors")
    write_bank(scenes_bank, root / "shared_data" / "bank" / "mini")
    rng = np.random.default_rng(0)
    sounds = [0.2 * rng.standard_normal(round(s * RATE)).astype(np.float32) for s in SECONDS]
    for split in ("train", "test"):
        write_dataset(
            root / "shared_data" / "datasets" / "mini" / "esc50",
            [
                {"id": f"{split}{i}", "audio": {"bytes": write_flac(sound, RATE), "path": None}}
                | {"label": LABELS[i % 3], "fold": 1, "clips": ["x"]}
                for i, sound in enumerate(sounds)
            ],
            features=SCHEMAS["esc50"],
            split=split,
            info=INFO,
        )
    context = at(root, "features")
    scenes = draw_scenes(scenes_bank.split("train"), ComposeConfig(scenes=5, duration=1.0, placed=0.0))
    path = context.path("data", "scenes.jsonl")
    path.parent.mkdir(parents=True)
    path.write_text("".join(scene_to_json(scene) + "\n" for scene in scenes))
    for name, config in CONFIGS.items():
        features(config, context=at(root, "features", name))
    return root


def test_every_set_is_heard_by_every_encoder(heard: Path, at: At) -> None:
    folder = at(heard, "features").path("data", "features")
    for part in ("train", "test"):
        assert read_record(folder / part / "tags").labels == LABELS
        assert {path.name for path in (folder / part).iterdir()} == set(ENCODERS)
    assert [path.relative_to(folder).parts[:3] for path in folder.rglob("truth.json")] == [
        ("train", "tags", "scenes")
    ]
    truth = read_truth(folder / "train", ("scenes", "esc50_train"))
    assert len(truth) == 5
    assert all(audio.startswith("scenes:") and set(told) <= set(LABELS) for audio, told in truth.items())
    heard_for_training = open_store(folder / "train", ("scenes", "esc50_train"), ENCODERS)
    store = open_store(folder / "test", ("esc50",), ENCODERS)
    for each in (heard_for_training, store):
        assert each.widths() == {"ast": 16, "listener": 12, "clap": 16, "tags": 3}
    assert (len(heard_for_training.place), len(store.place)) == (5 + 4, 4)
    audios = [f"esc50:test{i}" for i in range(4)]
    ast, listener = store.read("ast", audios), store.read("listener", audios)
    assert ast.values.shape == (4, 3, 12, 16)  # the longest one needs a second window
    assert ast.mask.sum(dim=1).tolist() == [7, 4, 12, 7]
    assert listener.mask.sum(dim=1).tolist() == [25, 13, 43, 25]
    clap = store.read("clap", audios)
    assert clap.values.shape == (4, 1, 16)
    torch.testing.assert_close(clap.values.norm(dim=2), torch.ones(4, 1), atol=1e-3, rtol=0)
    for each in (heard_for_training, store):
        for encoder in ENCODERS:
            assert each.read(encoder, list(each.place)).values.isfinite().all()


def test_features_are_those_of_the_encoder_alone(heard: Path, at: At) -> None:
    context = at(heard, "features")
    tagger = heard / "shared_data" / "foundations" / "mini" / "tagger"
    store = open_store(context.path("data", "features", "test"), ("esc50",), ("ast", "tags"))
    dataset = heard / "shared_data" / "datasets" / "mini" / "esc50"
    batches = list(dataset_batches(dataset, "test", RATE, 3))
    assert [ids for ids, _ in batches] == [["test0", "test1", "test2"], ["test3"]]
    alone = encode_long(load_ast(tagger, taps=(3, 1, 2)), [batches[0][1][1]], read_fbank(tagger))
    found = store.read("ast", ["esc50:test1"]).values[0]
    assert found.shape[1] == int(alone.mask.sum()) == 4
    for layer in range(3):
        torch.testing.assert_close(found[layer], alone.features[layer][0, :4], atol=5e-3, rtol=1e-2)
    torch.testing.assert_close(
        store.read("tags", ["esc50:test1"]).values[:, 0], alone.logits, atol=5e-3, rtol=1e-2
    )


def test_long_audio_may_be_refused_but_is_not_cut(heard: Path, at: At) -> None:
    refuse = replace(CONFIGS["ast"], options={"taps": [3], "long_audio": "refuse"})
    with pytest.raises(ValueError, match="train2"):
        features(refuse, context=at(heard, "features", "refusing"))


def test_what_is_unchanged_is_not_heard_again(
    heard: Path,
    at: At,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(heard, tmp_path, dirs_exist_ok=True)
    context = at(tmp_path, "features", "clap")
    train, test = (context.path("data", "features", part, "clap") for part in ("train", "test"))

    def kept(config: Config) -> set[str]:
        capsys.readouterr()
        features(config, context=context)
        said = capsys.readouterr().out.splitlines()
        assert {path.name for out in (train, test) for path in out.iterdir() if path.is_dir()} == {
            line.partition(":")[0] for line in said if "removed" not in line
        }
        return {line.removesuffix(": kept") for line in said if line.endswith(": kept")}

    config = CONFIGS["clap"]
    every = {"scenes", "esc50_train", "esc50"}
    assert kept(config) == every
    assert kept(replace(config, train_sets=())) == {"scenes", "esc50"}
    assert kept(config) == {"scenes", "esc50"}  # esc50_train alone is heard
    assert kept(replace(config, options={"variant": "compa_clap", "seed": 1})) == set()
    for out in (train, test):
        assert read_record(out).options == {"variant": "compa_clap", "seed": 1}
    assert kept(config) == set()
    monkeypatch.setattr(stage, "code_of", lambda *_, **__: ({"another": "code"}, {}))
    assert kept(config) == set()
    assert kept(config) == every
    dataset = tmp_path / "shared_data" / "datasets" / "mini" / "esc50"
    rows = read_dataset(dataset, "train").select(range(2)).to_list()
    write_dataset(dataset, rows, features=SCHEMAS["esc50"], split="train", info=INFO)
    assert kept(config) == {"scenes", "esc50"}
    scenes = context.path("data", "scenes.jsonl")
    scenes.write_text("".join(scenes.read_text().splitlines(keepends=True)[:3]))
    assert kept(config) == {"esc50_train", "esc50"}


def test_a_run_that_was_stopped_leaves_no_mixture(heard: Path, at: At, tmp_path: Path) -> None:
    """Where another encoder has heard some of the sets, nobody may read them beside the others."""
    shutil.copytree(heard, tmp_path, dirs_exist_ok=True)
    context = at(tmp_path, "features", "ast")
    other = replace(CONFIGS["ast"], options={"taps": [3, 2], "long_audio": "refuse"})
    with pytest.raises(ValueError, match="train2"):
        features(other, context=context)
    out = context.path("data", "features", "train", "ast")
    with pytest.raises(EncoderError, match="stage `features ast`"):
        read_record(out)
    assert not list(out.glob(".*"))
    features(replace(other, options={"taps": [3, 2]}), context=context)
    store = open_store(out.parent, ("scenes", "esc50_train"), ("ast",))
    assert store.read("ast", ["esc50_train:train0"]).values.shape[1] == 2


def test_an_encoder_has_one_place(heard: Path) -> None:
    wrong: tuple[dict[str, Any], ...] = ({}, {"foundation": "tagger", "checkpoints": "compa"})
    for places in wrong:
        with pytest.raises(ValueError, match="either foundation or checkpoints"):
            Config(kind="ast", **SETS, **places)


def test_a_foundation_that_is_not_there_names_its_stage(heard: Path, at: At, tmp_path: Path) -> None:
    with pytest.raises(FoundationMissingError, match=r"shared_data\.tagger"):
        features(CONFIGS["tags"], context=at(tmp_path, "features", "tags"))


def test_a_bank_of_a_lower_rate_is_refused(heard: Path, at: At, tmp_path: Path, bank: Bank) -> None:
    for name in ("foundations", "datasets"):
        (tmp_path / "shared_data").mkdir(exist_ok=True)
        (tmp_path / "shared_data" / name).symlink_to(heard / "shared_data" / name)
    (tmp_path / "projects").symlink_to(heard / "projects")
    write_bank(bank, tmp_path / "shared_data" / "bank" / "mini")
    with pytest.raises(ValueError, match="8000 Hz, the encoder hears 16000 Hz"):
        features(CONFIGS["ast"], context=at(tmp_path, "features", "ast"))


def test_public_weights_that_are_absent_are_said(heard: Path, at: At) -> None:
    context = at(heard, "contrast", "clap_laion")
    contrast(ContrastConfig(sets={}, weights="shared_data/raw/checkpoints/laion"), context=context)
    note = context.path("predictions", "clap_laion", "not_run.txt").read_text()
    assert note.startswith("the weights are not in shared_data/raw/checkpoints/laion;")


def test_a_profile_without_scenes_hears_its_sets_alone(heard: Path, at: At, tmp_path: Path) -> None:
    """Official data: compose wrote no scene, so that no bank is needed."""
    (tmp_path / "shared_data").mkdir()
    for name in ("datasets", "foundations"):
        (tmp_path / "shared_data" / name).symlink_to(heard / "shared_data" / name)
    context = at(tmp_path, "features", "ast")
    context.path("data").mkdir(parents=True)
    context.path("data", "scenes.jsonl").write_text("")
    features(CONFIGS["ast"], context=context)
    out = context.path("data", "features")
    assert not (out / "train" / "ast" / "scenes").exists()
    assert list((out / "test" / "ast").glob("*/set.json"))


def test_a_clap_scores_every_class(heard: Path, at: At, shape: Shape, tokenizer: Tokenizer) -> None:
    context = at(heard, "contrast", "compa_clap")
    gold = context.path("predictions", "gold")
    gold.mkdir(parents=True, exist_ok=True)
    order = [2, 0, 3, 1]
    (gold / "esc50.jsonl").write_text(
        "".join(json.dumps({"id": f"test{i}", "audio": f"esc50:test{i}"}) + "\n" for i in order)
    )
    (gold / "esc50.classes.json").write_text(json.dumps(LABELS))
    contrast(
        ContrastConfig(
            variant="compa_clap",
            sets={name: TestSet("accuracy") for name in ("esc50", "gtzan")},
            seeds=(0, 1),
            batch_size=3,
        ),
        context=context,
    )
    out = context.path("predictions", "compa_clap")
    # the profile has no gtzan
    assert [str(path.relative_to(out)) for path in out.rglob("*.jsonl")] == ["own/esc50.jsonl"]
    text = (out / "own" / "esc50.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert max(len(number) for number in re.findall(r"\d\.\d+", text)) == 5  # three digits, not sixteen
    assert [line["id"] for line in lines] == [f"test{i}" for i in order]
    assert np.array([line["scores"] for line in lines]).shape == (4, 2, 3)
    torch.manual_seed(1)
    model, mel = make_model(shape).eval(), make_front_end(shape.front_end)
    dataset = heard / "shared_data" / "datasets" / "mini" / "esc50"
    (_, waves), *_ = dataset_batches(dataset, "test", shape.front_end.sample_rate, 4)
    ids, mask = tokenize(
        tokenizer,
        [f"This is a sound of {label}" for label in LABELS],
        max_tokens=shape.text.max_tokens,
        pad_to_max=False,
    )
    with torch.inference_mode():
        audio, text = model.embed_audio(mel([waves[3]]).input_features), model.embed_text(ids, mask)
    wanted = torch.nn.functional.cosine_similarity(audio, text).numpy()
    np.testing.assert_allclose(lines[2]["scores"][1], wanted, atol=1e-3)

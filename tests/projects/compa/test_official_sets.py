"""Training on official caption sets with fusion: clips beyond the window, one of them, or none in a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from core.audio.read import write_flac
from core.data.parquet import write_dataset
from core.data.schema import CAPTIONED
from core.encoders.batch_norm import SyncedBatchNorm2d
from core.encoders.clap_folder import ModelError, Shape, make_model, write_shape
from core.run import tracking
from core.run.stage import Context
from core.scenes.bank import Bank
from core.train.checkpoints import load_model, save_model
from core.train.history import read_history
from core.train.optimisation import TrainingOptions
from projects.compa import predict, prepare, train
from tests.small_clap import released
from tests.two_ranks import spawn

RATE, WINDOW = 8000, 3.0
INFO = {"name": "audiocaps", "task": "t", "licence": "l", "source": "s", "protocol": "p"}
OPTIONS = TrainingOptions(steps=4, learning_rate=1e-3, log_every=1)
CONFIG = train.Config(
    parent="init",
    objective="contrastive",
    options=OPTIONS,
    seeds=(0,),
    batch_size=4,
    source="datasets",
    validation_scenes=0,
)


def context(root: Path, variant: str | None = None) -> Context:
    return Context(
        paper="compa",
        stage="train",
        variant=variant,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


@pytest.fixture(scope="module")
def fused(shape: Shape) -> Shape:
    """The small shape with fusion, as the paper has it."""
    return dataclasses.replace(
        shape,
        front_end=dataclasses.replace(shape.front_end, truncation="fusion", padding="repeatpad"),
        audio=dataclasses.replace(shape.audio, enable_fusion=True, position_std=0.0),
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, fused: Shape, tokenizer: Tokenizer) -> Path:
    """A data set a number of long clips among four (a batch), and the towers to start from."""
    root = tmp_path_factory.mktemp("official")
    for long in (0, 1, 2):
        seconds = [5.0] * long + [2.0] * (4 - long)
        write_captions(root / "shared_data" / "datasets" / "mini" / f"long{long}", seconds)
    init = root / "projects" / "compa" / "checkpoints" / "mini" / "init"
    init.mkdir(parents=True)
    write_shape(init, fused, tokenizer)
    torch.manual_seed(0)
    save_model(make_model(fused), init / "model.safetensors")
    return root


def write_captions(folder: Path, seconds: Sequence[float]) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "id": f"clip{place}",
            "audio": {
                "bytes": write_flac(rng.uniform(-0.3, 0.3, round(length * RATE)).astype(np.float32), RATE),
                "path": "x.flac",
            },
            "captions": [f"a dog barking {place}"],
            "clips": [],
        }
        for place, length in enumerate(seconds)
    ]
    write_dataset(folder, rows, features=CAPTIONED, split="train", info=INFO)


def marked(root: Path, fused: Shape, tokenizer: Tokenizer, bank: Bank, **options: object) -> list[list[bool]]:
    """Which clips of three batches are marked as longer than the window."""
    config = dataclasses.replace(CONFIG, **options)  # type: ignore[arg-type]
    batches = train.batch_source(config, fused, tokenizer, bank, context=context(root))(0)
    drawn = list(islice(batches(0), 3))
    assert all(batch["features"].shape == (4, 4, fused.front_end.frames, 16) for batch in drawn)
    return [batch["is_longer"][:, 0].tolist() for batch in drawn]


@pytest.mark.parametrize("long", [0, 1, 2])
def test_clips_beyond_the_window_are_marked(
    root: Path, fused: Shape, tokenizer: Tokenizer, bank: Bank, long: int
) -> None:
    plain = marked(root, fused, tokenizer, bank, train_sets=(f"long{long}",))
    assert [sum(row) for row in plain] == [long] * 3
    release = marked(root, fused, tokenizer, bank, train_sets=(f"long{long}",), mark_longer=True)
    if long:
        assert release == plain
    else:
        assert [sum(row) for row in release] == [1] * 3  # as the release marks one at random
        assert release == marked(root, fused, tokenizer, bank, train_sets=("long0",), mark_longer=True)


@pytest.mark.parametrize("long", [0, 1, 2])
@pytest.mark.parametrize("release", [False, True])
def test_the_stage_trains_whatever_number_is_long(
    root: Path, fused: Shape, bank: Bank, monkeypatch: pytest.MonkeyPatch, long: int, release: bool
) -> None:
    monkeypatch.setattr(train, "read_bank", lambda *_, **__: bank)
    variant = f"long{long}_{release}"
    seen: list[int] = []
    fit = train.fit

    def noted(model: torch.nn.Module, **options: object) -> object:
        seen.append(sum(isinstance(layer, SyncedBatchNorm2d) for layer in model.modules()))
        return fit(model, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "fit", noted)
    config = dataclasses.replace(
        CONFIG, train_sets=(f"long{long}",), sync_batch_norm=release, mark_longer=release
    )
    train.train(config, context=context(root, variant))
    assert seen == [5 if release else 0]
    init = root / "projects" / "compa" / "checkpoints" / "mini" / "init" / "model.safetensors"
    before, after = make_model(fused), make_model(fused)
    load_model(before, init)
    load_model(after, init.parents[1] / variant / "seed0" / "model.safetensors")
    name = "audio.audio_encoder.patch_embed.fusion_model.local_att.4.bias"
    learnt = not torch.equal(before.state_dict()[name], after.state_dict()[name])
    assert learnt == (long > 0 or release)


class NoBank:
    """Official sets need none."""

    clips = ()

    def only(self, _: object) -> NoBank:
        return self

    split = only


def train_both(_: int, root: Path) -> None:
    train.read_bank = lambda *_, **__: NoBank()  # type: ignore[assignment, return-value]
    for release in (False, True):
        config = dataclasses.replace(
            CONFIG, train_sets=("long1",), sync_batch_norm=release, mark_longer=release
        )
        train.train(config, context=context(root, f"parallel_{release}"))


def test_the_stage_trains_in_two_processes_of_which_one_has_a_long_clip(root: Path) -> None:
    spawn(train_both, root)
    for release in (False, True):
        folder = root / "projects" / "compa" / "checkpoints" / "mini" / f"parallel_{release}" / "seed0"
        assert len(read_history(folder / "history.jsonl").losses) == OPTIONS.steps
        assert all(value.isfinite().all() for value in load_file(folder / "model.safetensors").values())


def test_a_tokenizer_that_only_sentencepiece_opens(tmp_path: Path, bank: Bank) -> None:
    config = prepare.Config(sets={}, tokenizer="t5")
    with pytest.raises(ModelError, match=r"no tokenizer at .*t5/tokenizer\.json: get the tokenizer\.json"):
        prepare.make_tokenizer(bank, config, root=tmp_path)
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "spiece.model").touch()
    with pytest.raises(ModelError, match=r"spiece\.model there is not read: get the tokenizer\.json"):
        prepare.make_tokenizer(bank, config, root=tmp_path)


@pytest.mark.parametrize("fusion", [True, False])
def test_public_weights_may_be_laions_own_file(tmp_path: Path, tokenizer: Tokenizer, fusion: bool) -> None:
    released(tmp_path, fusion=fusion)
    config = predict.Config(sets={}, weights="best.pt")
    with pytest.raises(ModelError, match=r"no tokenizer at .*tokenizer\.json"):
        predict.make_embedder(config, context=context(tmp_path, "clap_laion"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    embedder = predict.make_embedder(config, context=context(tmp_path, "clap_laion"))
    assert embedder.front_end is not None
    assert embedder.front_end.truncation == ("fusion" if fusion else "rand_trunc")
    assert not embedder.models[0].training

"""The stages that make tagger and listener: trained and loaded again, finished once, or resolved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.data.card import CheckpointCard
from core.encoders.ast import AstShape, encode_long, load_ast, read_fbank
from core.encoders.whisper import WhisperShape, hear_long, load_whisper, read_whisper_mel
from core.foundations.hearing import Hearing, validation
from core.foundations.public import FoundationMissingError, foundation_path, read_record
from core.run import tracking
from core.run.stage import Context
from core.scenes.bank import Bank, BankMissingError, write_bank
from core.train.optimisation import TrainingOptions
from shared_data import listener, tagger
from shared_data.world.sounds.procedural import make_bank
from tests.two_processes import Job, run_stages

LABELS = ["church_bell", "dog_bark", "rain"]
HEARING = Hearing(duration=1.0, singles=1.0, batch_size=4, valid=8)
TRAINING = TrainingOptions(steps=3, learning_rate=1e-3, optimizer="adam")
TAGGER = tagger.Config(
    shape=AstShape(
        hidden_size=8,
        layers=2,
        heads=2,
        intermediate_size=8,
        n_mels=16,
        max_frames=98,
        frequency_stride=16,
        time_stride=16,
    ),
    hearing=HEARING,
    training=TRAINING,
)
LISTENER = listener.Config(
    shape=WhisperShape(hidden_size=8, layers=1, heads=2, intermediate_size=8, n_mels=16, max_frames=50),
    n_fft=512,
    hop=320,
    hearing=HEARING,
    training=TRAINING,
)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return make_bank(sample_rate=16_000, clips_per_class={"train": 2, "valid": 2, "test": 1}, labels=LABELS)


@pytest.fixture
def root(tmp_path: Path, bank: Bank) -> Path:
    """A repository with a bank."""
    write_bank(bank, tmp_path / "shared_data" / "bank" / "mini")
    return tmp_path


def context(root: Path, stage: str) -> Context:
    return Context(
        paper="shared_data",
        stage=stage,
        variant=None,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def test_the_tagger_is_written_as_the_hub_would(root: Path, bank: Bank) -> None:
    tagger.tagger(TAGGER, context=context(root, "tagger"))
    folder = foundation_path(root, "mini", "tagger")
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "front_end.json",
        "identity.json",
        "model.safetensors",
        "record.json",
    }
    encoder = load_ast(folder, taps=(2, 1))
    assert encoder.labels == tuple(LABELS)
    _, waveforms = validation(bank.split("valid"), HEARING, labels=LABELS, seed=0)
    encoded = encode_long(encoder, waveforms, read_fbank(folder), long_audio="refuse")
    assert encoded.features[0].shape == (8, 6, 8)
    record = read_record(root, "mini", "tagger")
    assert set(record.sha256) == {"config.json", "front_end.json", "model.safetensors"}
    assert record.licence == "; ".join(sorted({clip.license for clip in bank.clips}))


def test_the_listener_is_written_as_the_hub_would(root: Path, bank: Bank) -> None:
    listener.listener(LISTENER, context=context(root, "listener"))
    folder = foundation_path(root, "mini", "listener")
    _, waveforms = validation(bank.split("valid"), HEARING, labels=LABELS, seed=0)
    heard = hear_long(load_whisper(folder, pool=5), waveforms, read_whisper_mel(folder), long_audio="refuse")
    assert heard.features.shape == (8, 5, 8)
    assert heard.mask.all()


def test_training_is_done_once_and_again_for_another_configuration(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tagger.tagger(TAGGER, context=context(root, "tagger"))
    weights = root / "shared_data" / "foundations" / "mini" / "tagger" / "model.safetensors"
    first = weights.read_bytes()
    assert "valid/map" in capsys.readouterr().out
    tagger.tagger(TAGGER, context=context(root, "tagger"))
    assert "is complete" in capsys.readouterr().out
    weights.write_bytes(b"")
    tagger.tagger(replace(TAGGER, threshold=0.4), context=context(root, "tagger"))
    assert weights.read_bytes() == first  # the same seed gives the same weights


def test_labels_restrict_what_is_learnt(root: Path) -> None:
    tagger.tagger(replace(TAGGER, labels=("rain", "dog_bark")), context=context(root, "tagger"))
    assert load_ast(foundation_path(root, "mini", "tagger"), taps=(1,)).labels == ("dog_bark", "rain")


@pytest.mark.parametrize(("module", "name"), [(tagger, "tagger"), (listener, "listener")])
def test_a_checkpoint_is_resolved_and_nothing_trained(
    root: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    card = CheckpointCard(
        name="someone/something",
        what="a test",
        licence="MIT",
        homepage="",
        revision="r1",
        size="",
        files=("config.json",),
        command="fetch it",
    )
    monkeypatch.setattr(module, "card_of", lambda wanted: {card.name: card}[wanted])
    stage: Any = getattr(module, name)
    config = module.Config(checkpoint=card.name)
    with pytest.raises(FoundationMissingError, match="fetch it"):
        stage(config, context=context(root, name))
    folder = root / card.folder
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "revision.txt").write_text("r1")
    stage(config, context=context(root, name))
    assert foundation_path(root, "mini", name) == folder


def test_what_is_missing_is_said(root: Path) -> None:
    with pytest.raises(ValueError, match="name a checkpoint"):
        tagger.tagger(tagger.Config(), context=context(root, "tagger"))
    with pytest.raises(ValueError, match="name a checkpoint"):
        listener.listener(listener.Config(), context=context(root, "listener"))
    (root / "shared_data" / "bank" / "mini" / "bank.json").unlink()
    with pytest.raises((BankMissingError, FileNotFoundError), match=r"bank\.json"):
        tagger.tagger(TAGGER, context=context(root, "tagger"))


def test_of_two_processes_the_first_writes(
    root: Path, bank: Bank, tmp_path_factory: pytest.TempPathFactory
) -> None:
    coloured = replace(TAGGER, hearing=replace(HEARING, colour_db=3.0))
    jobs = [
        Job(tagger.tagger, coloured, "shared_data", "tagger"),
        Job(listener.listener, LISTENER, "shared_data", "listener"),
    ]
    one = tmp_path_factory.mktemp("one")
    write_bank(bank, one / "shared_data" / "bank" / "mini")
    tagger.tagger(coloured, context=context(one, "tagger"))
    wrote, others = run_stages([*jobs, *jobs], root=root, folder=tmp_path_factory.mktemp("jobs"))
    assert others == []
    for job in jobs:
        record = root / "shared_data" / "foundations" / "mini" / job.stage / "record.json"
        assert wrote.count(f"os.rename {record}") == 1
        assert not [path for path in record.parent.iterdir() if path.is_dir()]
    # what the network is told of the level of its input is measured on the same scenes
    ends = [each / "shared_data" / "foundations" / "mini" / "tagger" for each in (one, root)]
    assert ends[0].joinpath("front_end.json").read_text() == ends[1].joinpath("front_end.json").read_text()


def test_a_public_checkpoint_is_recorded_by_the_first_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    tagger.tagger(replace(TAGGER, checkpoint="one that nobody has"), context=context(tmp_path, "tagger"))
    listener.listener(replace(LISTENER, checkpoint="none"), context=context(tmp_path, "listener"))
    assert not list(tmp_path.iterdir())

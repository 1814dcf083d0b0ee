"""The stages that make tagger and listener: what they train is saved, loaded again and scored."""

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
from core.foundations.public import FoundationMissingError, foundation_path
from core.foundations.transcribing import Speaking
from core.run import tracking
from core.run.stage import Context
from core.scenes.bank import Bank, BankMissingError, write_bank
from core.train.optimisation import TrainingOptions
from shared_data import foundation, listener, tagger
from shared_data.hearing_scores import GOAL, kinds_of, recorded
from shared_data.world.sounds.procedural import make_bank
from tests.two_processes import Job, run_stages

LABELS = ["church_bell", "dog_bark", "man_cry", "rain"]
HEARING = Hearing(duration=2.0, singles=1.0, sizes=(1.0,), batch_size=4, valid=20, colour_db=2.0, warp=0.05)
TRAINING = TrainingOptions(steps=3, learning_rate=1e-3, optimizer="adam")
TAGGER = tagger.Config(
    shape=AstShape(
        hidden_size=8,
        layers=2,
        heads=2,
        intermediate_size=8,
        n_mels=16,
        max_frames=198,
        frequency_stride=16,
        time_stride=16,
    ),
    hearing=HEARING,
    training=TRAINING,
)
LISTENER = listener.Config(
    shape=WhisperShape(hidden_size=8, layers=1, heads=2, intermediate_size=8, n_mels=16, max_frames=250),
    n_fft=512,
    hop=320,
    hearing=HEARING,
    training=TRAINING,
)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return make_bank(sample_rate=16_000, clips_per_class={"train": 2, "valid": 1, "test": 2}, labels=LABELS)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, bank: Bank) -> Context:
    """Of a repository with a bank."""
    root = tmp_path_factory.mktemp("root")
    write_bank(bank, root / "shared_data" / "bank" / "mini")
    return Context(
        paper="shared_data",
        stage="tagger",
        variant=None,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def test_the_tagger_is_saved_as_the_hub_would(context: Context, bank: Bank, tmp_path: Path) -> None:
    made = tagger.train(TAGGER, context=context, folder=tmp_path / "run")
    out = tmp_path / "out"
    made.save(out)
    assert {path.name for path in out.iterdir()} == {"config.json", "front_end.json", "model.safetensors"}
    encoder = load_ast(out, taps=(2, 1))
    assert encoder.labels == tuple(LABELS)
    _, waveforms = validation(bank.split("test"), HEARING, labels=LABELS, seed=0)
    encoded = encode_long(encoder, waveforms, read_fbank(out), long_audio="refuse")
    assert encoded.features[0].shape == (20, 12, 8)
    names = [score.name for score in made.scores]
    assert names[:4] == ["mAP", "mAP, sounds", "mAP, voices", "mAP, recorded"]
    assert names[-2:] == ["tag precision", "tag recall"]
    assert made.scores[0].goal == GOAL
    assert all(score.low <= score.value <= score.high for score in made.scores)
    assert made.licence == "; ".join(sorted({clip.license for clip in bank.clips}))


def test_a_finished_training_is_not_done_again(context: Context, tmp_path: Path) -> None:
    first = tagger.train(TAGGER, context=context, folder=tmp_path / "run")
    again = tagger.train(replace(TAGGER, threshold=0.4), context=context, folder=tmp_path / "run")
    assert first.scores[0] == again.scores[0]
    first.save(tmp_path / "a")
    again.save(tmp_path / "b")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_labels_restrict_what_is_learnt(context: Context, tmp_path: Path) -> None:
    chosen = replace(TAGGER, labels=("rain", "dog_bark"))
    tagger.train(chosen, context=context, folder=tmp_path / "run").save(tmp_path / "out")
    assert load_ast(tmp_path / "out", taps=(1,)).labels == ("dog_bark", "rain")


def test_the_listener_is_saved_as_the_hub_would(context: Context, bank: Bank, tmp_path: Path) -> None:
    made = listener.train(LISTENER, context=context, folder=tmp_path / "run")
    made.save(tmp_path / "out")
    _, waveforms = validation(bank.split("test"), HEARING, labels=LABELS, seed=0)
    heard = hear_long(
        load_whisper(tmp_path / "out", pool=5),
        waveforms,
        read_whisper_mel(tmp_path / "out"),
        long_audio="refuse",
    )
    assert heard.features.shape == (20, 25, 8)
    assert {score.name.split(",")[0] for score in made.scores} == {"mAP"}


def test_the_listener_reads_where_there_is_speech(context: Context, tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    speaking = replace(LISTENER, utterances=16, scored_utterances=24, speaking=Speaking(batch_size=4))
    made = listener.train(speaking, context=context, folder=tmp_path / "run")
    scores = {score.name: score for score in made.scores}
    assert {"word error rate", "word error rate, recorded", "man or woman", "pitch, R²", "rate, R²"} <= {
        *scores
    }
    assert scores["word error rate"].goal == listener.GOAL
    assert "16 utterances" in made.data
    made.save(tmp_path / "out")
    assert load_whisper(tmp_path / "out").hidden_size == 8


def test_kinds_of_labels_and_clips_under_conditions(bank: Bank) -> None:
    assert kinds_of(bank) == {"sounds": ("church_bell", "dog_bark", "rain"), "voices": ("man_cry",)}
    under = recorded(bank.split("test"), ("telephone", "hum"), seed=0)
    assert [len(w) for w in under.waveforms] == [len(w) for w in bank.split("test").waveforms]
    assert all((a != b).any() for a, b in zip(under.waveforms, bank.split("test").waveforms))


@pytest.mark.parametrize(("module", "name"), [(tagger, "tagger"), (listener, "listener")])
def test_a_checkpoint_is_resolved_and_nothing_trained(
    tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
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
    monkeypatch.setattr(foundation, "card_of", lambda wanted: {card.name: card}[wanted])
    stage: Any = getattr(module, name)
    config, here = module.Config(checkpoint=card.name), replace(context, root=tmp_path)
    with pytest.raises(FoundationMissingError, match="fetch it"):
        stage(config, context=here)
    folder = tmp_path / card.folder
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "revision.txt").write_text("r1")
    stage(config, context=here)
    assert foundation_path(tmp_path, "mini", name) == folder


def test_what_is_missing_is_said(tmp_path: Path, context: Context) -> None:
    here = replace(context, root=tmp_path)
    with pytest.raises(ValueError, match="name a checkpoint"):
        tagger.tagger(tagger.Config(), context=here)
    with pytest.raises(BankMissingError, match=r"bank\.json"):
        tagger.tagger(TAGGER, context=here)


def test_of_two_processes_the_first_writes(
    tmp_path: Path, bank: Bank, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write_bank(bank, tmp_path / "shared_data" / "bank" / "mini")
    jobs = [
        Job(tagger.tagger, TAGGER, "shared_data", "tagger"),
        Job(listener.listener, LISTENER, "shared_data", "listener"),
    ]
    wrote, others = run_stages([*jobs, *jobs], root=tmp_path, folder=tmp_path_factory.mktemp("jobs"))
    assert others == []
    for job in jobs:
        card = tmp_path / "shared_data" / "foundations" / "mini" / "cards" / f"{job.stage}.json"
        assert wrote.count(f"os.rename {card}") == 1  # once: the second time it is kept
        assert not [path for path in card.parents[1].joinpath(job.stage).iterdir() if path.is_dir()]
    assert not list((tmp_path / "shared_data" / "foundations" / "mini" / "training").iterdir())

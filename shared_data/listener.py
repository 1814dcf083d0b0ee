"""Train the listener, keep the shipped one, or name a public Whisper. Reads: shared_data/bank/<profile>/, or
shared_data/raw/checkpoints/; writes: shared_data/foundations/<profile>/listener/ with weights, front_end.json
and record.json.

`python -m shared_data.listener`. The listener is a Whisper encoder: papers take its features beside others.
It learns what sounds when in scenes of the bank, and, with `utterances`, to read a small spoken language
(`shared_data.world.speech.sentences`). With `checkpoint` nothing is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from core.encoders.ast import write_front_end
from core.encoders.whisper import WhisperShape
from core.foundations.hearing import Hearing, share
from core.foundations.listener import Listener, hear_waveforms, train_listener
from core.foundations.probing import explained, probe
from core.foundations.transcribing import Speaking, Utterance, at_peak, errors, read
from core.metrics.bootstrap import mean_interval
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.bank import Bank, read_bank
from core.train.optimisation import TrainingOptions
from shared_data.foundation import Score, Trained, bank_input, halve, make
from shared_data.hearing_scores import map_scores
from shared_data.world.speech.sentences import Said, utterances

GOAL = 0.10  # of the word error rate
WORDS, SOUNDS, MANNER = "words", "phonemes", "manner"


@dataclass(frozen=True)
class Config:
    """checkpoint: a public one by its card's name (core/data/cards.py); empty trains here, and then
    shape: of the encoder; n_fft, hop: of its mel front end, in samples; hearing: the scenes; training: the
    optimisation; labels: only these of the bank, empty is all; utterances: how many are said for training,
    conditioned: which share of them under a recording condition; speaking: how they are put together;
    dropout: while it learns; scored, scored_utterances: split of the bank, and number, that scores are of.
    """

    checkpoint: str = ""
    shape: WhisperShape = field(default_factory=WhisperShape)
    n_fft: int = 400
    hop: int = 160
    hearing: Hearing = field(default_factory=Hearing)
    training: TrainingOptions | None = None
    labels: tuple[str, ...] = ()
    utterances: int = 0
    conditioned: float = 0.4
    speaking: Speaking = field(default_factory=Speaking)
    dropout: float = 0.0
    scored: str = "test"
    scored_utterances: int = 300
    seed: int = 0


def listener(config: Config, *, context: Context) -> None:
    """Resolve, keep or train the listener."""
    inputs = {} if config.checkpoint or config.training is None else bank_input(context)
    make("listener", config, context=context, inputs=inputs, train=train)


def train(config: Config, *, context: Context, folder: Path) -> Trained:
    """Train the listener and score it on clips, voices and sentences that training never heard."""
    assert config.training is not None
    bank = read_bank(context.path("bank"), splits=["train", config.scored]).only(config.labels)
    said = spoken(config, "train", bank.sample_rate, n=config.utterances, conditioned=config.conditioned)
    made = train_listener(
        bank.split("train"),
        [as_utterance(one, bank.sample_rate) for one in said],
        shape=config.shape,
        n_fft=config.n_fft,
        hop=config.hop,
        hearing=config.hearing,
        speaking=config.speaking,
        options=config.training,
        dropout=config.dropout,
        folder=folder,
        seed=config.seed,
        log=context.tracker.log_metrics,
    )
    halve(made.features)
    scores = event_scores(made, bank.split(config.scored), config.hearing, seed=config.seed + 1)
    if said:
        scores += speech_scores(made, said, config, sample_rate=bank.sample_rate)
    sentences = f" and {len(said)} utterances of espeak-ng" if said else ""
    return Trained(
        save=lambda out: save(made, out),
        scores=tuple(scores),
        data=f"scenes of {len(bank.split('train').clips)} clips of {len(made.labels)} classes{sentences}",
        licence="; ".join(sorted({clip.license for clip in bank.clips})),
    )


def save(made: Listener, out: Path) -> None:
    """The encoder in the Hub's layout, and front_end.json; its heads are dropped."""
    made.features.encoder.cpu().save_pretrained(out)
    write_front_end(out, made.front_end)


def as_utterance(said: Said, sample_rate: int) -> Utterance:
    """What the listener learns of an utterance: its words, its phonemes, and how it is said."""
    units = {WORDS: said.words, SOUNDS: said.phonemes, MANNER: said.manner(sample_rate)}
    return Utterance(said.sound, units)


def spoken(
    config: Config, split: Literal["train", "test"], sample_rate: int, *, n: int, conditioned: float
) -> list[Said]:
    """Utterances of a split; those of "test" have voices and sentences of their own."""
    made = utterances(n, split=split, sample_rate=sample_rate, seed=config.seed, conditioned=conditioned)
    return list(progress(made, desc="speak", unit="utterance", total=n))


def event_scores(made: Listener, bank: Bank, hearing: Hearing, *, seed: int) -> list[Score]:
    """mAP of clips, of which the logits are the largest of all steps."""

    def listen(waveforms: list[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(made.head(hear_waveforms(made, waveforms)).amax(dim=1).numpy())

    scores, _, _ = map_scores(bank, listen, hearing, labels=made.labels, seed=seed)
    return scores


def speech_scores(made: Listener, said: Sequence[Said], config: Config, *, sample_rate: int) -> list[Score]:
    """Word error rates of greedy transcripts, and what linear probes read out of the mean features."""
    on = "held-out voices, unseen sentences"
    n, scores, new = config.scored_utterances, [], []
    for share_of, how in ((0.0, ""), (1.0, ", recorded")):
        heard = spoken(config, "test", sample_rate, n=n, conditioned=share_of)
        features = hear_waveforms(made, [at_peak(one.sound) for one in heard])
        with torch.inference_mode():
            found = read(made.readers[WORDS](features), made.units[WORDS])
        wrong = np.array([errors(one.words, words) for one, words in zip(heard, found)], dtype=float)
        value, low, high = share(wrong, np.array([len(one.words) for one in heard], dtype=float))
        where = on + (", under recording conditions" if how else "")
        scores.append(
            Score(name=f"word error rate{how}", value=value, low=low, high=high, n=n, on=where,
                  goal=None if how else GOAL)
        )  # fmt: skip
        new.append((heard, features))
    known = list(said[: 2 * n])
    return scores + probe_scores(
        known,
        pooled(hear_waveforms(made, [at_peak(one.sound) for one in known]), known, made),
        [one for heard, _ in new for one in heard],
        np.concatenate([pooled(features, heard, made) for heard, features in new]),
        on=f"linear probe of mean features, {on}",
    )


def pooled(features: torch.Tensor, said: Sequence[Said], made: Listener) -> np.ndarray:
    """Mean over the steps that hold the utterance, (B, D)."""
    step = features.shape[1] / made.front_end["max_seconds"] / made.front_end["sample_rate"]
    return np.stack(
        [row[: max(1, round(len(one.sound) * step))].mean(dim=0).numpy() for row, one in zip(features, said)]
    )


def probe_scores(
    known: Sequence[Said], features: np.ndarray, heard: Sequence[Said], new: np.ndarray, *, on: str
) -> list[Score]:
    """Probes for man or woman, pitch and rate of speech learn from `known` voices, those for which voice from
    the even utterances that are heard, to answer for the odd ones.
    """

    def traits(said: Sequence[Said]) -> dict[str, np.ndarray]:
        return {
            "woman": np.array([one.voice.kind == "woman" for one in said], dtype=float),
            "pitch": np.log([one.hertz for one in said]),
            "rate": np.array([len(one.phonemes) / len(one.sound) for one in said]),
        }

    truth, scores = traits(heard), []
    guesses = {name: probe(features, values[:, None], new)[:, 0] for name, values in traits(known).items()}
    names = sorted({one.voice.name for one in heard})
    voices = np.array([names.index(one.voice.name) for one in heard])
    ranked = probe(new[::2], np.eye(len(names))[voices[::2]], new[1::2])
    hits = {
        "man or woman": (guesses["woman"] > 0.5) == (truth["woman"] > 0.5),
        f"which of {len(names)} voices": ranked.argmax(axis=1) == voices[1::2],
    }
    for name, right in hits.items():
        found = mean_interval([right.astype(float)], seed=0)
        scores.append(Score(name=name, value=found.value, low=found.low, high=found.high, n=found.n, on=on))
    for name in ("pitch", "rate"):
        value, low, high = explained(truth[name], guesses[name])
        scores.append(Score(name=f"{name}, R²", value=value, low=low, high=high, n=len(heard), on=on))
    return scores


if __name__ == "__main__":
    from core.run.stage import run

    run(listener, Config, processes=True)

"""Make ready what every variant shares. Reads: bank and data sets of the profile; writes: data/<profile>/
with the tokenizer, the log-mels of every test clip and the contamination report.

Test audio is decoded and analysed once; every variant and seed is then evaluated on the same arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import Tokenizer

from core.audio.read import read_many
from core.data.contamination import check_contamination
from core.data.manifest import manifest_of
from core.data.parquet import read_dataset
from core.encoders.clap_folder import FrontEnd, ModelError, make_front_end, train_tokenizer
from core.run.arrays import array_writer
from core.run.files import write_json, write_text_atomic
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.bank import Bank, read_bank
from core.scenes.captions import CARRIERS, NOISY, PAPER, QUIET, TRAIN, draw_wording, phrase_book, write
from core.scenes.draw import SceneSource, voice_attributes
from projects.compa.sets import EvalSet

AUDIO = ("pair_audio", "reversed_audio", "triplet_audio", "audio")


@dataclass(frozen=True)
class Config:
    """sets: those of rows.yaml, under shared_data/datasets; train_sets: official data sets that training
    reads.

    tokenizer: "grammar" trains one on captions of training scenes, anything else is the folder of a public
    tokenizer, such as shared_data/raw/checkpoints/google--flan-t5-large: its tokenizer.json is read, and no
    spiece.model, which only SentencePiece opens.
    """

    sets: dict[str, EvalSet]
    front_end: FrontEnd = field(default_factory=FrontEnd)
    train_sets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # of the bank; empty is all
    train_on_bank: bool = True
    tokenizer: str = "grammar"
    vocab_size: int = 512
    tokenizer_captions: int = 4000
    tolerance: float = 0.0  # seconds of a video that training and test may share
    batch_size: int = 64
    seed: int = 0


def prepare(config: Config, *, context: Context) -> None:
    """Check the splits, make the tokenizer, and analyse the test audio."""
    shared = context.root / "shared_data"
    sets = {name: shared / "datasets" / context.profile / name for name in config.sets}
    out = context.path("data")
    bank = read_bank(shared / "bank" / context.profile, splits=["train", "valid"]).only(config.labels)
    report = contamination(bank, sets, shared, config, profile=context.profile)
    write_json(out / "contamination.json", report)
    print(f"contamination: none in {sum(report['tests'].values())} test rows of {len(sets)} sets")
    tokenizer = make_tokenizer(bank.split("train"), config, root=context.root)
    write_text_atomic(out / "tokenizer.json", tokenizer.to_str(pretty=False))
    for name, folder in sets.items():
        clips = features(
            folder, out / "features" / name, front_end=config.front_end, batch_size=config.batch_size
        )
        context.tracker.log_metrics({f"{name}/clips": float(clips)})


def contamination(
    bank: Bank, sets: dict[str, Path], shared: Path, config: Config, *, profile: str
) -> dict[str, Any]:
    """Refuse test clips that any training manifest holds; see `core.data.contamination`."""
    tests = {name: manifest_of(read_dataset(folder), source_dataset=name) for name, folder in sets.items()}
    manifests: dict[str, pd.DataFrame] = {}
    if config.train_on_bank:
        rows = ({"id": clip.id, "clips": [clip.id]} for clip in bank.clips)
        manifests["bank"] = manifest_of(rows, source_dataset="bank")
    for name in config.train_sets:
        rows = read_dataset(shared / "datasets" / profile / name, "train")
        manifests[name] = manifest_of(rows, source_dataset=name)
    return check_contamination(tests, manifests, tolerance=config.tolerance)


def make_tokenizer(bank: Bank, config: Config, *, root: Path) -> Tokenizer:
    """A public tokenizer, or one trained on captions of training scenes (never of test items)."""
    if config.tokenizer != "grammar":
        path = root / config.tokenizer / "tokenizer.json"
        if not path.is_file():
            beside = (
                "; the spiece.model there is not read" if (path.parent / "spiece.model").is_file() else ""
            )
            raise ModelError(
                f"no tokenizer at {path}{beside}: get the tokenizer.json of the same revision; `python -m "
                "core.data.doctor compa` says where"
            )
        return Tokenizer.from_file(str(path))
    book = phrase_book(bank)
    rng = np.random.default_rng(config.seed)
    source = SceneSource(
        bank=bank,
        seed=config.seed,
        attribute_share=0.2,
        attribute_kind="voices" if voice_attributes(bank) else "loudness",
    )
    drawn = source.draw(0, config.tokenizer_captions)
    words = [PAPER, TRAIN]  # both grammars, so that a change of connectives needs no other tokenizer
    texts = [
        write(tree, draw_wording([tree], book, rng=rng, connectives=words[place % 2], same_words=0.25))
        for place, (_, tree) in enumerate(drawn)
    ]
    texts += [carrier.format(clause) for carrier in CARRIERS for clause in (*NOISY, *QUIET)] * 40
    texts += [f"this is a sound of {label.replace('_', ' ')}" for label in book]
    return train_tokenizer(texts, vocab_size=config.vocab_size)


def features(folder: Path, out: Path, *, front_end: FrontEnd, batch_size: int) -> int:
    """Log-mels of every audio of the test split in reading order, as audio.npy (N, C, T, F) float32.

    index.json says which audio of which row each is; longer.npy (N, 1) which exceed the window.
    """
    mel = make_front_end(front_end)
    columns = [c for c in read_dataset(folder).column_names if c in AUDIO]
    index: list[tuple[str, str]] = []
    with array_writer(out / "audio.npy") as mels, array_writer(out / "longer.npy", dtype=bool) as longer:
        for names, contents in progress(
            _in_batches(folder, columns, batch_size), desc=f"analyse {folder.name}", unit="batch"
        ):
            read = read_many(
                contents,
                sample_rate=front_end.sample_rate,
                names=[f"{folder.name} {row} {column}" for row, column in names],
            )
            heard = mel([waveform for waveform, _ in read], items=[row for row, _ in names])
            mels.append(heard.input_features.numpy())
            longer.append(heard.is_longer.numpy())
            index += names
    write_json(out / "index.json", index)
    return len(index)


def _in_batches(
    folder: Path, columns: list[str], size: int
) -> Iterator[tuple[list[tuple[str, str]], list[bytes]]]:
    """Names (row id, column) and bytes of the audios, `size` at a time."""
    names: list[tuple[str, str]] = []
    contents: list[bytes] = []
    for row in read_dataset(folder, columns=["id", *columns]):
        for column in columns:
            if row[column] is not None and row[column]["bytes"]:
                names.append((row["id"], column))
                contents.append(row[column]["bytes"])
        if len(names) >= size:
            yield names, contents
            names, contents = [], []
    if names:
        yield names, contents


if __name__ == "__main__":
    from core.run.stage import run

    run(prepare, Config)

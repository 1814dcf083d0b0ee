"""A repository of tiny random foundations and made-up features, for all that trains or opens audio models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.adapters.prefix_lm import Features, save_trained
from core.adapters.qformer import QFormerShape
from core.audio_lm.artefact import Artefact, write_artefact
from core.audio_lm.branches import Bridge
from core.audio_lm.encoders import EncoderRecord, write_record
from core.audio_lm.features import write_set
from core.audio_lm.model import Architecture, heard_by, load_language_model, make_model
from core.data.instructions import Instruction, alpaca, write_instructions
from core.foundations.language_model import LmShape, make_language_model, train_tokenizer
from core.foundations.public import read_record, record_trained
from core.foundations.text_tower import TowerShape, make_text_tower, train_text_tokenizer
from core.run import tracking
from core.run.stage import Context

LABELS = ("dog_bark", "rain", "siren", "church_bell")
ENCODERS = ("ast", "listener", "clap", "tags")
WIDTHS = {"ast": 8, "listener": 6, "clap": 5, "tags": len(LABELS)}
LAYERS = 3  # of AST
AUDIOS = 6
QUESTIONS = (
    ("classification", "Closed-ended question: Classify the sound events.", "Dog bark."),
    ("captions", "Write a caption.", "A dog barks."),
    ("closed", "Which sound comes first?", "The rain."),
    ("open", "Where is this?", "On a street, as a siren passes."),
    ("compa_r_train", "Why does the dog bark?", "A siren rings before it."),
)
MADE_UP = {
    name: EncoderRecord(
        name=name, kind="none", folder="none", sha256="0" * 64, labels=LABELS if name == "tags" else ()
    )
    for name in ENCODERS
}
At = Callable[..., Context]


@pytest.fixture(scope="session")
def at() -> At:
    def context(root: Path, stage: str, variant: str | None = None, tracker: object = None) -> Context:
        return Context(
            paper="gama",
            stage=stage,
            variant=variant,
            profile="mini",
            root=root,
            tracker=tracker or tracking.off(),  # type: ignore[arg-type]
            seed=0,
        )

    return context


@pytest.fixture(scope="session")
def bridge() -> Bridge:
    """Dropout, so that a resume must restore the random state."""
    return Bridge(
        qformer=QFormerShape(
            queries=3,
            hidden_size=16,
            layers=2,
            heads=2,
            intermediate_size=32,
            max_tokens=64,
            joint_size=8,
            initializer_range=0.2,
        ),
        aggregator_heads=2,
        aggregator_intermediate=16,
        initializer_range=0.2,
        clap_tokens=4,
        window=2,
        lora_rank=2,
    )


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Foundations, features of `scenes` and `sounds` (tested on `sounds`), and instructions on `scenes`."""
    root = tmp_path_factory.mktemp("gama")
    foundations = root / "shared_data" / "foundations" / "mini"
    texts = [alpaca(instruction) + output for _, instruction, output in QUESTIONS] * 3
    words = train_tokenizer(texts, vocab_size=340)
    lm = make_language_model(
        LmShape(hidden_size=16, layers=1, heads=2, intermediate_size=32, initializer_range=0.3), words, seed=0
    )
    pieces = train_text_tokenizer([output for *_, output in QUESTIONS], vocab_size=290)
    shape = TowerShape(hidden_size=16, layers=2, heads=2, intermediate_size=32, initializer_range=0.2)
    tower = make_text_tower(shape, pieces, seed=0)
    for name, model, tokenizer in (("language_model", lm, words), ("text_tower", tower, pieces)):
        model.save_pretrained(foundations / name)
        tokenizer.save_pretrained(foundations / name)
        record_trained(foundations / name, root=root, name=name, revision="test", licence="none")
    data = root / "projects" / "gama" / "data" / "mini"
    for encoder in ENCODERS:
        for part in ("train", "test"):
            write_record(data / "features" / part / encoder, MADE_UP[encoder])
        for part, number, name in (("train", 0, "scenes"), ("train", 1, "sounds"), ("test", 1, "sounds")):
            with write_set(data / "features" / part / encoder / name) as writer:
                for first in range(0, AUDIOS, 2):
                    ids = [f"{name[:2]}{first}", f"{name[:2]}{first + 1}"]
                    writer.append(ids, made_up(first + 100 * number)[encoder])
    for file, instruction, output in QUESTIONS:
        items = [
            Instruction(audio_id=f"scenes:sc{i}", instruction=instruction, output=output, task=file)
            for i in range(AUDIOS)
        ]
        write_instructions(data / "instructions" / f"{file}.json", items)
    gold = root / "projects" / "gama" / "predictions" / "mini" / "gold"
    gold.mkdir(parents=True)
    lines = [
        {"id": f"q{i}", "audio": f"sounds:so{i}", "instruction": QUESTIONS[i % 5][1], "answers": ["rain"]}
        for i in range(AUDIOS)
    ]
    (gold / "clothoaqa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def made_up_artefact(root: Path, architecture: Architecture) -> Artefact:
    """What a stage would write beside the weights of a model."""
    record = read_record(root, "mini", "language_model")
    return Artefact(
        architecture=architecture,
        encoders=tuple(MADE_UP[name] for name in heard_by(architecture)),
        widths=WIDTHS,
        language_model=record.path,
        language_model_sha256=record.sha256,
        hints=None,
    )


def made_up(seed: int) -> dict[str, Features]:
    """Two audios, the second one shorter, their two encoders of time in the ratio of 2 to 1 steps."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in {"ast": (5, LAYERS), "listener": (10,), "clap": (1,), "tags": (1,)}.items():
        values = torch.randn(2, *shape, WIDTHS[name], generator=rng)
        mask = torch.ones(2, shape[0], dtype=torch.bool)
        mask[1, -(shape[0] // 4) or shape[0] :] = False
        found[name] = Features(values * (3 if name == "tags" else 1), mask)
    return found


@pytest.fixture(scope="session")
def noise() -> Callable[[tuple[int, ...]], torch.Tensor]:
    return lambda shape: torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).float()


def write_random_row(root: Path, folder: str, row: Architecture) -> None:
    """An artefact of `row` with random weights in `root / folder`; the small language model is in `root`."""
    torch.manual_seed(1)
    lm, tokenizer = load_language_model(root / "shared_data" / "foundations" / "mini" / "language_model")
    model = make_model(row, widths=WIDTHS, lm=lm, tokenizer=tokenizer)
    for value in model.parameters():
        if value.requires_grad:
            torch.nn.init.normal_(value, std=0.5)
    artefact = made_up_artefact(root, row)
    write_artefact(root / folder, artefact)
    save_trained(model, root / folder / "model.safetensors", identity=artefact.identity)

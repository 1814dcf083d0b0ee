"""A step is the same however its items are dealt out: to batches one after the other, and to processes.

Run as a script (by the tests of two processes) it trains every kind of loss in a folder.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from safetensors.torch import load_file
from torch import Tensor, nn

from core.adapters.lora import add_lora
from core.adapters.prefix_lm import IGNORED, AudioPrefixLM, Features, TextBatch
from core.adapters.projector import LinearProjector, Projector
from core.adapters.qformer import AudioQFormer, QFormerShape
from core.audio_lm.branches import LastLayerBranch, QFormerBranch
from core.audio_lm.phases import text_loss
from core.foundations.language_model import TokenPredictor, corpus_loss
from core.train.history import History, read_history
from core.train.loop import LossNotFinite, fit
from core.train.optimisation import TrainingOptions
from core.train.terms import Mean
from projects.compa.objectives import compa_loss
from projects.gama.pretrain import Bridging, bridging_loss
from tests.two_processes import finish, start

ITEMS = 8  # of a step, of all processes and batches together
VOCABULARY, WIDTH = 64, 16
# a large eps keeps Adam from making a whole step of a gradient that is rounding; the clipping is felt
OPTIONS = TrainingOptions(
    steps=4, learning_rate=1e-2, eps=1e-2, gradient_clip=0.5, log_every=1, checkpoint_every=1, seed=3
)


@pytest.fixture(scope="module", autouse=True)
def on_cpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        yield


@dataclass(frozen=True)
class Kind:
    """A training: its network, its loss and the batch of some items. alike: also batch after batch."""

    network: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Any], Any]
    batch: Callable[[Sequence[int]], dict[str, Any]]
    alike: bool


def numbers(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texts(items: Sequence[int]) -> TextBatch:
    """Texts of 3 to 11 tokens, each with its own number of labels; one in five has none."""
    rows = []
    for item in items:
        draw = numbers(item)
        length = int(torch.randint(3, 12, (), generator=draw))
        labelled = 0 if item % 5 == 3 else int(torch.randint(1, length, (), generator=draw))
        rows.append((torch.randint(3, VOCABULARY, (length,), generator=draw), labelled))
    longest = max(len(ids) for ids, _ in rows)
    ids, mask = torch.zeros(len(rows), longest).long(), torch.zeros(len(rows), longest).long()
    labels = torch.full_like(ids, IGNORED)
    for at, (row, labelled) in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = row, 1
        labels[at, len(row) - labelled : len(row)] = row[len(row) - labelled :]
    return TextBatch(ids, mask, labels)


def heard(items: Sequence[int]) -> Features:
    values = torch.stack([torch.randn(4, 8, generator=numbers(10_000 + item)) for item in items])
    mask = torch.ones(len(items), 4, dtype=torch.bool)
    mask[[item % 3 == 0 for item in items], 2:] = False
    return Features(values, mask)


def spoken(items: Sequence[int]) -> dict[str, Any]:
    values, mask = heard(items)
    return {
        "ids": list(items),
        "features": {"linear": Features(values, mask), "qformer": Features(values[:, None], mask)},
        "text": texts(items),
    }


def written(items: Sequence[int]) -> dict[str, Any]:
    text = texts(items)
    parts = torch.where(text.attention_mask.bool(), 1, -1)
    positions = torch.arange(parts.shape[1]).expand(parts.shape)
    return {
        "input_ids": text.input_ids,
        "position_ids": positions,
        "parts": parts,
        "labels": text.labels,
    }


def captioned(items: Sequence[int]) -> dict[str, Any]:
    values, mask = heard(items)
    text = texts(items)
    return {
        "features": values,
        "mask": mask,
        "input_ids": text.input_ids,
        "attention_mask": text.attention_mask,
        "captions": torch.tensor(list(items)) % 7,
    }


def contrasted(items: Sequence[int]) -> dict[str, Any]:
    """Captions, then the positives and negatives of all items, of which each has its own numbers."""
    vectors = [torch.randn(8, generator=numbers(20_000 + item)) for item in items]
    places: dict[str, list[list[int]]] = {"positives": [], "negatives": []}
    for item in items:
        for kind, most in (("positives", 1 + item % 4), ("negatives", (2 * item) % 5)):
            drawn = torch.randn(most, 8, generator=numbers(30_000 + item + len(kind) * (kind == "negatives")))
            places[kind].append(list(range(len(vectors), len(vectors) + most)))
            vectors.extend(drawn)
    padded = {
        kind: torch.tensor([row + [-1] * (max(map(len, rows)) - len(row)) for row in rows])
        for kind, rows in places.items()
    }
    heard_vectors = torch.stack([torch.randn(8, generator=numbers(40_000 + item)) for item in items])
    return {
        "features": heard_vectors,
        "is_longer": None,
        "input_ids": torch.stack(vectors),
        "attention_mask": None,
        **padded,
    }


def language_model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config)


def former() -> AudioQFormer:
    torch.manual_seed(1)
    shape = QFormerShape(
        feature_size=8,
        queries=3,
        hidden_size=WIDTH,
        layers=2,
        heads=2,
        intermediate_size=24,
        vocab_size=VOCABULARY,
        max_tokens=16,
        joint_size=8,
        dropout=0.0,
        initializer_range=0.3,
    )
    return AudioQFormer(shape)


def curriculum(dropout: float = 0.0) -> nn.Module:
    """What GAMA trains: LoRA in a frozen language model, and what reads the features."""
    lm = add_lora(language_model(), rank=2, dropout=dropout)
    return AudioPrefixLM(lm, {"linear": LastLayerBranch(LinearProjector(8, WIDTH, scale=1.0))})


def generative() -> nn.Module:
    lm = language_model().requires_grad_(False)
    qformer = former()
    qformer.drop_text()
    return AudioPrefixLM(lm, {"qformer": QFormerBranch(qformer, Projector(WIDTH, WIDTH, scale=1.0))})


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.audio, self.text = nn.Linear(8, 6), nn.Linear(8, 6)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, features: Tensor, ids: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
        return self.audio(features), self.text(ids), self.scale.exp()


def objective(name: Any, **how: Any) -> Kind:
    return Kind(Towers, partial(compa_loss, objective=name, **how), contrasted, alike=False)


KINDS = {
    "curriculum": Kind(curriculum, text_loss, spoken, alike=True),
    "generative": Kind(generative, text_loss, spoken, alike=True),
    "language_model": Kind(
        lambda: TokenPredictor(language_model()), partial(corpus_loss, prompt_share=0.0), written, alike=True
    ),
    "bridging": Kind(lambda: Bridging(former(), label_smoothing=0.1), bridging_loss, captioned, alike=False),
    "contrastive": objective("contrastive"),
    "hard_negatives": objective("hard_negatives"),
    "hard_negatives_of_all": objective("hard_negatives", neg_scope="all"),
    "hard_negatives_release": objective("hard_negatives", masking="multiplicative"),
    "modular": objective("modular"),
    "modular_release": objective("modular", positives_as="mean_logprob", masking="multiplicative"),
}


def dealt(kind: Kind, accumulation: int) -> Callable[[int], Iterator[dict[str, Any]]]:
    """This process's batches: items of a step in order, its share of each of `accumulation` parts."""

    def batches(step: int) -> Iterator[dict[str, Any]]:
        state = PartialState()
        size = ITEMS // accumulation // state.num_processes
        for number in itertools.count(step * accumulation):
            at, part = divmod(number, accumulation)
            first = at * ITEMS + (part * state.num_processes + state.process_index) * size
            yield kind.batch(range(first, first + size))

    return batches


@dataclass(frozen=True)
class Made:
    history: History
    weights: dict[str, Tensor]


def train(kind: Kind, folder: Path, *, accumulation: int = 1, **changes: Any) -> Made:
    network = kind.network()
    history = fit(
        network,
        loss=changes.pop("loss", kind.loss),
        batches=dealt(kind, accumulation),
        options=replace(OPTIONS, accumulation=accumulation, **changes),
        folder=folder,
        progress=False,
    )
    return Made(history, {name: p.detach().clone() for name, p in network.named_parameters()})


def assert_same(made: Made, wanted: Made) -> None:
    for key in {"loss", "gradient_norm", "matching", "matched", "generation", "answer"} & set(
        wanted.history.rows[0]
    ):
        assert [row[key] for row in made.history.rows] == pytest.approx(
            [row[key] for row in wanted.history.rows], rel=1e-5
        ), key
    for name, value in wanted.weights.items():
        torch.testing.assert_close(made.weights[name], value, rtol=1e-5, atol=1e-5, msg=name)


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Every kind in one process, a step one batch."""
    return {name: train(kind, tmp_path_factory.mktemp(name)) for name, kind in KINDS.items()}


@pytest.mark.parametrize("accumulation", [2, 4, 8])
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.alike])
def test_batches_one_after_the_other_are_one(
    tmp_path: Path, wholes: dict[str, Made], name: str, accumulation: int
) -> None:
    assert_same(train(KINDS[name], tmp_path, accumulation=accumulation), wholes[name])


def unweighted(network: nn.Module, batch: Any) -> dict[str, Tensor]:
    return {"loss": text_loss(network, batch)["loss"].value}  # type: ignore[union-attr]


def test_a_plain_mean_is_weighted_by_nothing(tmp_path: Path, wholes: dict[str, Made]) -> None:
    """So these texts tell a weighted mean from a plain one, and a plain one stays what it was."""
    kind = KINDS["curriculum"]
    alone = train(kind, tmp_path / "alone", loss=unweighted)
    assert alone.history.losses == wholes["curriculum"].history.losses
    assert all(
        torch.equal(alone.weights[name], value) for name, value in wholes["curriculum"].weights.items()
    )
    halves = train(kind, tmp_path / "halves", loss=unweighted, accumulation=2)
    gaps = [abs(a - b) for a, b in zip(halves.history.losses, alone.history.losses, strict=True)]
    assert max(gaps) > 0.01


def line(network: nn.Module, batch: dict[str, Any]) -> dict[str, Any]:
    """A mean over as many terms as the batch says, infinite where it has none, as 0 / 0 or worse would be."""
    value, over = network(batch["x"]).mean(), batch["over"]
    return {
        "loss": Mean(value + torch.where(over > 0, 0.0, torch.inf), over),
        "part": Mean(value * 2, over),
        "plain": value,
    }


def test_what_is_logged_is_the_mean_over_all_terms(tmp_path: Path) -> None:
    def batches(step: int) -> Iterator[dict[str, Any]]:
        for number in itertools.count(2 * step):
            yield {"x": torch.full((1, 1), 1.0 + number), "over": torch.tensor([3, 0, 1, 5][number % 4])}

    def make() -> nn.Module:
        model = nn.Linear(1, 1)
        nn.init.ones_(model.weight)
        nn.init.zeros_(model.bias)
        return model

    options = replace(OPTIONS, steps=2, learning_rate=1e-12, accumulation=2)
    rows = fit(
        make(), loss=line, batches=batches, options=options, folder=tmp_path / "a", progress=False
    ).rows
    # step 0: 1 over 3 terms and 2 over none; step 1: 3 over 1 and 4 over 5
    assert [row["loss"] for row in rows] == pytest.approx([1, (3 * 1 + 4 * 5) / 6], rel=1e-6)
    assert [row["part"] for row in rows] == pytest.approx([2, 2 * (3 * 1 + 4 * 5) / 6], rel=1e-6)
    assert [row["plain"] for row in rows] == pytest.approx([1.5, 3.5], rel=1e-6)

    def nothing(step: int) -> Iterator[dict[str, Any]]:
        return (batch | {"ids": ["x"], "over": torch.tensor(0)} for batch in batches(step))

    with pytest.raises(LossNotFinite, match="the loss is nan at step 0, in the batch of x, x"):
        fit(make(), loss=line, batches=nothing, options=options, folder=tmp_path / "b", progress=False)
    with pytest.raises(LossNotFinite, match="the loss is inf at step 0, in the batch of x"):
        fit(
            make(),
            loss=line,
            batches=nothing,
            options=replace(options, accumulation=1),
            folder=tmp_path / "c",
            progress=False,
        )
    assert not list(tmp_path.glob("[bc]/step_*"))


# --- two processes


def parallel(folder: Path) -> None:
    for name, kind in KINDS.items():
        for accumulation in (1, 2, 4) if kind.alike else (1,):
            made = train(kind, folder / f"{name}_{accumulation}", accumulation=accumulation)
            if PartialState().is_main_process:
                torch.save(made.weights, folder / f"{name}_{accumulation}.pt")


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("halves")
    finish(start("-m", "tests.core.train.test_update", "parallel", folder))
    return folder


@pytest.mark.parametrize(
    ("name", "accumulation"),
    [(name, n) for name, kind in KINDS.items() for n in ((1, 2, 4) if kind.alike else (1,))],
)
def test_two_processes_are_one(halves: Path, wholes: dict[str, Made], name: str, accumulation: int) -> None:
    history = read_history(halves / f"{name}_{accumulation}" / "history.jsonl")
    made = Made(history, torch.load(halves / f"{name}_{accumulation}.pt", weights_only=True))
    assert_same(made, wholes[name])


LONG: dict[str, Any] = {"steps": 8, "accumulation": 2}


def slow(folder: Path) -> None:
    kind = replace(KINDS["curriculum"], network=partial(curriculum, 0.3), batch=slowly)
    train(kind, folder / "killed", **LONG)


def slowly(items: Sequence[int]) -> dict[str, Any]:
    time.sleep(0.1)
    return spoken(items)


def again(folder: Path) -> None:
    kind = replace(KINDS["curriculum"], network=partial(curriculum, 0.3))
    for name in ("killed", "whole"):
        train(kind, folder / name, **LONG)


def test_two_killed_processes_end_with_the_same_weights(tmp_path: Path) -> None:
    processes = start("-m", "tests.core.train.test_update", "slow", tmp_path)
    file, deadline = tmp_path / "killed" / "history.jsonl", time.monotonic() + 120
    while not (file.exists() and len(file.read_text().splitlines()) >= 3):
        assert time.monotonic() < deadline, "the run to be killed did not start"
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        time.sleep(0.01)
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finish(start("-m", "tests.core.train.test_update", "again", tmp_path))
    killed, whole = (read_history(tmp_path / name / "history.jsonl") for name in ("killed", "whole"))
    assert killed.losses == whole.losses
    assert (len(killed.resumed_at), len(whole.resumed_at)) == (1, 0)
    ends = [
        load_file(tmp_path / name / "step_00000008" / "model.safetensors") for name in ("killed", "whole")
    ]
    assert set(ends[0]) == set(ends[1])
    assert all(torch.equal(ends[0][name], value) for name, value in ends[1].items())
    # a language model that is frozen is in no checkpoint
    assert all("lora_" in name or name.startswith("branches.") for name in ends[0])


if __name__ == "__main__":
    assert os.environ["WORLD_SIZE"] == "2"
    {"parallel": parallel, "slow": slow, "again": again}[sys.argv[1]](Path(sys.argv[2]))

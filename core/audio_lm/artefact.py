"""A trained row as an artefact: all that is needed to put sound and a question in and get words out.

A folder `seed<n>` of a row holds `model.safetensors` (the trained weights) and `artefact.json`: the row, the
encoders and the language model beside them, as folders from the repository's root with their checksums.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from core.adapters.prefix_lm import (
    AdapterMismatch,
    AudioPrefixLM,
    Features,
    Sampling,
    encode_texts,
    load_trained,
)
from core.adapters.qformer import QFormerShape
from core.audio_lm.batches import Hints, prompts
from core.audio_lm.ears import Ears, Hearing, hearing_of, open_ears
from core.audio_lm.model import Bridge, Row, load_language_model, make_model, of_branches
from core.run.files import write_json

ARTEFACT = "artefact.json"


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """row: branches and sizes; widths: encoder -> D; hints: the soft prompt's tags, None for rows without.

    language_model: its folder, and the SHA-256 of each file in it.
    """

    row: Row
    hearing: Hearing
    widths: Mapping[str, int]
    language_model: str
    language_model_sha256: Mapping[str, str]
    hints: Hints | None

    @property
    def identity(self) -> dict[str, Any]:
        """What the weights mean something with; it stands in their file, and must be the same there."""
        return {
            "branches": self.row.branches,
            "bridge": asdict(self.row.bridge),
            "language_model": dict(self.language_model_sha256),
        }


def write_artefact(folder: Path, artefact: Artefact) -> None:
    """artefact.json."""
    write_json(folder / ARTEFACT, asdict(artefact))


def read_artefact(folder: Path) -> Artefact:
    """What `write_artefact` wrote. Raises FileNotFoundError when the row has not been trained, and
    AdapterMismatch for a file that does not read."""
    path = folder / ARTEFACT
    if not path.is_file():
        raise FileNotFoundError(f"no {ARTEFACT} in {folder}: run the stage `train` of this row first")
    try:
        return _artefact(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AdapterMismatch(
            f"{path} is cut, altered or of another version ({type(error).__name__}: {str(error)[:120]}): "
            "train this row again"
        ) from error


def _artefact(raw: Any) -> Artefact:
    sizes = raw["row"]["bridge"]
    sizes |= {"qformer": QFormerShape(**sizes["qformer"]), "lora_targets": tuple(sizes["lora_targets"])}
    return Artefact(
        row=Row(
            branches=tuple(raw["row"]["branches"]),
            bridge=Bridge(**sizes),
            soft_prompt=raw["row"]["soft_prompt"],
        ),
        hearing=hearing_of(raw["hearing"]),
        widths=raw["widths"],
        language_model=raw["language_model"],
        hints=Hints(**raw["hints"]) if raw["hints"] else None,
        language_model_sha256=raw["language_model_sha256"],
    )


@dataclass(frozen=True)
class AudioLm:
    """A trained row, ready to answer."""

    artefact: Artefact
    model: AudioPrefixLM
    tokenizer: PreTrainedTokenizerBase
    device: torch.device

    def answer(
        self,
        instructions: Sequence[str],
        heard: Mapping[str, Features],
        *,
        ids: Sequence[str],
        labels: Sequence[str],
        max_new_tokens: int,
        hints: Hints | None = None,
        gold: Mapping[str, Sequence[str]] | None = None,
        sample: Sampling | None = None,
        seed: int = 0,
    ) -> list[str]:
        """The answers to instructions about what was `heard` (encoder -> features of the batch).

        labels: of the tagger's logits among them. hints: in place of those that the row was trained with.
        gold: true tags by id, for hints that want them. Greedy unless `sample` is given.
        Raises ContextTooLong, MixError for hints without their tags.
        """
        row, hints = self.artefact.row, hints or self.artefact.hints
        if row.soft_prompt != (hints is not None):
            raise ValueError(
                f"this row was trained {'with' if row.soft_prompt else 'without'} a soft prompt: "
                f"{'give' if row.soft_prompt else 'remove'} hints"
            )
        text = encode_texts(
            self.tokenizer,
            prompts(
                [(id, instruction, "") for id, instruction in zip(ids, instructions, strict=True)],
                hints,
                lambda _ids: heard["tags"].values[:, 0],
                labels=labels,
                gold=gold or {},
            ),
            None,
            ids=list(ids),
            max_tokens=10**6,  # the language model's own limit is checked with the prefix
        )
        features = {
            branch: Features(*(tensor.to(self.device) for tensor in given))
            for branch, given in of_branches(heard, row.branches).items()
        }
        made = self.model.generate(
            features,
            text.input_ids.to(self.device),
            text.attention_mask.to(self.device),
            max_new_tokens=max_new_tokens,
            sample=sample,
            seed=seed,
        )
        return [said.strip() for said in self.tokenizer.batch_decode(made, skip_special_tokens=True)]


def open_audio_lm(folder: Path, *, root: Path, device: torch.device | None = None) -> AudioLm:
    """The row in `folder`, in evaluation mode; `root`: the repository's, where its language model lies.

    Raises FileNotFoundError, AdapterMismatch for weights of another row or language model.
    """
    artefact = read_artefact(folder)
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    record = root / artefact.language_model / "record.json"
    if record.is_file():  # trained here, and perhaps trained again since
        beside = json.loads(record.read_text(encoding="utf-8"))["sha256"]
        if beside != artefact.language_model_sha256:
            raise AdapterMismatch(
                f"{folder} was trained beside another language model than the one in "
                f"{artefact.language_model}: train the row again"
            )
    lm, tokenizer = load_language_model(root / artefact.language_model, dtype=artefact.row.bridge.dtype)
    model = make_model(artefact.row, widths=artefact.widths, lm=lm, tokenizer=tokenizer)
    load_trained(model, folder / "model.safetensors", identity=artefact.identity)
    return AudioLm(artefact, model.to(device).eval(), tokenizer, device)


def open_its_ears(artefact: Artefact, *, root: Path, device: torch.device | None = None) -> Ears:
    """The encoders that an artefact was trained with. Raises HearingError where they have changed."""
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return open_ears(artefact.hearing, root=root, device=device)

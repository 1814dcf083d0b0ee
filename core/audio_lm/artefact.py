"""A trained model as an artefact: all that is needed to put sound and a question in and get words out.

A folder `seed<n>` holds `model.safetensors` (the trained weights) and `artefact.json`: what the model is
built of, the encoders and the language model beside it, as folders from the repository's root with their
checksums.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

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
from core.audio_lm.branches import BRANCHES, Branch, Bridge, of_branches
from core.audio_lm.encoders import (
    OPENERS,
    TAGS,
    Encoder,
    EncoderRecord,
    Opener,
    labels_of,
    open_encoder,
    record_from,
)
from core.audio_lm.model import Architecture, load_language_model, make_model
from core.audio_lm.turns import FORMATS, Format, asked
from core.run.files import write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ARTEFACT = "artefact.json"


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """encoders: those that the model hears; widths: of their features, encoder -> D.

    hints: the soft prompt's tags, None for a model without. language_model: its folder, and the SHA-256 of
    each file in it.
    """

    architecture: Architecture
    encoders: tuple[EncoderRecord, ...]
    widths: Mapping[str, int]
    language_model: str
    language_model_sha256: Mapping[str, str]
    hints: Hints | None

    @property
    def identity(self) -> dict[str, Any]:
        """What the weights mean something with; it stands in their file, and must be the same there."""
        return {
            "branches": self.architecture.branches,
            "bridge": asdict(self.architecture.bridge),
            "connects": self.architecture.connects,
            "prompt": self.architecture.prompt,
            "language_model": dict(self.language_model_sha256),
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """What the tagger's logits are of; none where no tagger is heard."""
        return labels_of(self.encoders)


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
    built = raw["architecture"]
    sizes = built["bridge"]
    sizes |= {"qformer": QFormerShape(**sizes["qformer"]), "lora_targets": tuple(sizes["lora_targets"])}
    return Artefact(
        architecture=Architecture(
            **{**built, "branches": tuple(built["branches"]), "bridge": Bridge(**sizes)},
        ),
        encoders=tuple(map(record_from, raw["encoders"])),
        widths=raw["widths"],
        language_model=raw["language_model"],
        hints=Hints(**raw["hints"]) if raw["hints"] else None,
        language_model_sha256=raw["language_model_sha256"],
    )


@dataclass(frozen=True)
class AudioLm:
    """A trained model, ready to answer. branches: all that are known, by name."""

    artefact: Artefact
    model: AudioPrefixLM
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    branches: Mapping[str, Branch]

    @property
    def form(self) -> Format:
        """The prompt format that it was trained with."""
        return FORMATS[self.artefact.architecture.prompt]

    def of_branches(self, heard: Mapping[str, Features]) -> dict[str, Features]:
        """What each branch wants of what the encoders heard, on the model's device."""
        wanted = of_branches(heard, self.artefact.architecture.branches, self.branches)
        return {
            name: Features(*(tensor.to(self.device) for tensor in given)) for name, given in wanted.items()
        }

    def answer(
        self,
        instructions: Sequence[str],
        heard: Mapping[str, Features],
        *,
        ids: Sequence[str],
        max_new_tokens: int,
        hints: Hints | None = None,
        gold: Mapping[str, Sequence[str]] | None = None,
        sample: Sampling | None = None,
        seed: int = 0,
    ) -> list[str]:
        """The answers to instructions about what was `heard` (encoder -> features of the batch).

        hints: in place of those that the model was trained with. gold: true tags by id, for hints that want
        them. Greedy unless `sample` is given.
        Raises ContextTooLong, MixError for hints without their tags.
        """
        hints = hints or self.artefact.hints
        soft = self.artefact.architecture.soft_prompt
        if soft != (hints is not None):
            raise ValueError(
                f"this row was trained {'with' if soft else 'without'} a soft prompt: "
                f"{'give' if soft else 'remove'} hints"
            )
        text = encode_texts(
            self.tokenizer,
            prompts(
                [asked(text, id) for id, text in zip(ids, instructions, strict=True)],
                hints,
                lambda _ids: heard[TAGS].values[:, 0],
                labels=self.artefact.labels,
                gold=gold or {},
                form=self.form,
            ),
            None,
            ids=list(ids),
            max_tokens=10**6,  # the language model's own limit is checked with the prefix
        )
        made = self.model.generate(
            self.of_branches(heard),
            text.input_ids.to(self.device),
            text.attention_mask.to(self.device),
            max_new_tokens=max_new_tokens,
            sample=sample,
            seed=seed,
        )
        return [said.strip() for said in self.tokenizer.batch_decode(made, skip_special_tokens=True)]


def open_audio_lm(
    folder: Path,
    *,
    root: Path,
    device: torch.device | None = None,
    branches: Mapping[str, Branch] = BRANCHES,
) -> AudioLm:
    """The model in `folder`, in evaluation mode; `root`: the repository's, where its language model lies.

    Raises FileNotFoundError, AdapterMismatch for weights of another architecture or language model.
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
    built = artefact.architecture
    lm, tokenizer = load_language_model(root / artefact.language_model, dtype=built.bridge.dtype)
    model = make_model(built, widths=artefact.widths, lm=lm, tokenizer=tokenizer, branches=branches)
    load_trained(model, folder / "model.safetensors", identity=artefact.identity)
    return AudioLm(artefact, model.to(device).eval(), tokenizer, device, branches)


def open_encoders(
    artefact: Artefact,
    *,
    root: Path,
    device: torch.device | None = None,
    openers: Mapping[str, Opener] = OPENERS,
) -> tuple[Encoder, ...]:
    """The encoders that a model hears. Raises EncoderError where they are not those it was trained with."""
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return tuple(open_encoder(one, root=root, device=device, openers=openers) for one in artefact.encoders)

"""Cards of the exams with options (MMAU, MMAU-Pro) and of the models that their tables ask, scorers included.

Apart from core.data.cards, so that what was made from those data sets does not depend on these.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.data.card import Card, CheckpointCard, OfficialFile, hub_command

EXAM_CARDS: Mapping[str, Card] = {
    "mmau": Card(
        name="mmau",
        task="multiple choice",
        counts={"testmini": 1000, "test": 9000},
        audio_files=1000,
        licence=(
            "repository Apache-2.0; the Hub says CC BY-NC 4.0 of test-mini and MIT of test; audio under the "
            "terms of its fifteen sources (AudioSet: each YouTube video's)"
        ),
        citation=(
            "Sakshi et al., MMAU: A Massive Multi-Task Audio Understanding and Reasoning Benchmark, ICLR 2025"
        ),
        homepage="https://github.com/Sakshi113/MMAU",
        files=(
            OfficialFile(
                "mmau-test-mini.json|MMAU/mmau-test-mini.json|MMAU-main/mmau-test-mini.json"
                "|test_mini.parquet|data/"
            ),
            OfficialFile("test-mini-audios/|audio/|test_mini.parquet|data/"),
        ),
        protocol="accuracy by the official rule of 2025, and by three others; options in several orders vote",
        notes=(
            "Audio by hand, from the links in its README; or the Hub's Parquet (gamma-lab-umd/MMAU-test-mini)"
            " that holds both. The JSON was rewritten in place: take the current one. For a submission put "
            "mmau-test.json (9,000 items, answers withheld) and test-audios/ beside it."
        ),
    ),
    "mmau_pro": Card(
        name="mmau_pro",
        task="multiple choice, open questions and instruction following",
        counts={"test": 5305},
        licence=(
            "CC BY-NC 4.0; the spatial items made from EasyCom keep its terms; sources of the web keep theirs"
        ),
        citation=(
            "Kumar et al., MMAU-Pro: A Challenging and Comprehensive Benchmark for Holistic Evaluation "
            "of Audio General Intelligence, AAAI 2026"
        ),
        homepage="https://huggingface.co/datasets/gamma-lab-umd/MMAU-Pro",
        files=(OfficialFile("test.parquet"), OfficialFile("data/")),
        protocol=(
            "closed: nearest option by text embedding; open: a judge's rating, 1 to 5; instructions: rules"
        ),
        notes="test.parquet and data.zip (47.5 GB, as much again unpacked) of the Hub; unpack it there.",
    ),
}

_INDEXED = "model.safetensors.index.json|model.safetensors"  # the doctor then wants every shard it names
_TOKENIZER = "tokenizer.json|vocab.json"
_AUDIO = "preprocessor_config.json|processor_config.json"


def _hub_card(
    name: str,
    *,
    what: str,
    licence: str,
    revision: str,
    size: str,
    citation: str,
    files: tuple[str, ...] = (_INDEXED, _TOKENIZER),
    notes: str = "",
) -> CheckpointCard:
    return CheckpointCard(
        name=name,
        what=what,
        licence=licence,
        homepage=f"https://huggingface.co/{name}",
        revision=revision,
        size=size,
        files=("config.json", *files),
        command=hub_command(name, revision),
        citation=citation,
        notes=notes,
    )


_LALMS = (
    _hub_card(
        "Qwen/Qwen2-Audio-7B",
        what="Qwen2-Audio (8.4 B parameters), before instruction tuning",
        licence="Apache-2.0",
        revision="main",
        size="16.8 GB",
        files=(_INDEXED, _TOKENIZER, _AUDIO),
        citation="Chu et al., Qwen2-Audio Technical Report, 2024",
        notes="No commit is pinned here: note the one that you got beside the numbers.",
    ),
    _hub_card(
        "Qwen/Qwen2-Audio-7B-Instruct",
        what="Qwen2-Audio-Instruct (8.4 B parameters)",
        licence="Apache-2.0",
        revision="0a095220c30b7b31434169c3086508ef3ea5bf0a",
        size="16.8 GB",
        files=(_INDEXED, _TOKENIZER, _AUDIO),
        citation="Chu et al., Qwen2-Audio Technical Report, 2024",
    ),
    _hub_card(
        "nvidia/audio-flamingo-3-hf",
        what="Audio Flamingo 3 (8.3 B parameters) as transformers reads it",
        licence="NVIDIA OneWay Noncommercial License (non-commercial research)",
        revision="7d4bae64ee29878af6504ae6f6bb3e40492838ad",
        size="16.5 GB",
        files=(_INDEXED, _TOKENIZER, _AUDIO),
        citation=(
            "Goel et al., Audio Flamingo 3: Advancing Audio Intelligence with Fully Open Large Audio "
            "Language Models, NeurIPS 2025"
        ),
    ),
    _hub_card(
        "mistralai/Voxtral-Mini-3B-2507",
        what="Voxtral Mini (4.7 B parameters)",
        licence="Apache-2.0",
        revision="3060fe34b35ba5d44202ce9ff3c097642914f8f3",
        size="18.7 GB, half of it a second copy (consolidated.safetensors) that is not read here",
        files=(_INDEXED, "tekken.json", _AUDIO),
        citation="Liu et al., Voxtral, 2025",
        notes="Its tokenizer needs the package mistral-common.",
    ),
    _hub_card(
        "Qwen/Qwen2.5-Omni-7B",
        what="Qwen2.5-Omni (10.7 B parameters); the thinker alone answers",
        licence="Apache-2.0",
        revision="ae9e1690543ffd5c0221dc27f79834d0294cba00",
        size="22.4 GB",
        files=(_INDEXED, _TOKENIZER, _AUDIO),
        citation="Xu et al., Qwen2.5-Omni Technical Report, 2025",
    ),
    _hub_card(
        "ibm-granite/granite-speech-3.3-2b",
        what="Granite Speech 3.3 (about 3 B parameters)",
        licence="Apache-2.0",
        revision="main",
        size="about 6 GB",
        files=(_INDEXED, _TOKENIZER, _AUDIO),
        citation=(
            "Saon et al., Granite-speech: Open-source Speech-aware LLMs with Strong English ASR "
            "Capabilities, 2025"
        ),
        notes="No commit is pinned here: note the one that you got beside the numbers.",
    ),
)
_SCORERS = (
    _hub_card(
        "nvidia/NV-Embed-v2",
        what="NV-Embed-v2 (7.9 B parameters): the text embedding of MMAU-Pro's closed questions",
        licence="CC BY-NC 4.0",
        revision="3fa59658547db50a1e8e3346cf057fd0c77ed6ef",
        size="15.7 GB",
        citation=(
            "Lee et al., NV-Embed: Improved Techniques for Training LLMs as Generalist Embedding Models, "
            "ICLR 2025"
        ),
        notes="It brings code of its own (trust_remote_code), written for an older transformers.",
    ),
    _hub_card(
        "Qwen/Qwen2.5-7B-Instruct",
        what="Qwen2.5-Instruct (7.6 B parameters): the judge of MMAU-Pro's open questions",
        licence="Apache-2.0",
        revision="a09a35458c702b33eeacc393d103063234e8bc28",
        size="15.2 GB",
        citation="Yang et al., Qwen2.5 Technical Report, 2024",
    ),
)
EXAM_CHECKPOINTS: Mapping[str, CheckpointCard] = {card.name: card for card in (*_LALMS, *_SCORERS)}
LALMS = tuple(card.name for card in _LALMS)
PRO_SCORERS = tuple(card.name for card in _SCORERS)

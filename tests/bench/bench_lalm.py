"""Questions about clips of 2 to 30 s in batches by duration, against the library's example in a loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from core.answering.lalm import open_lalm
from core.answering.question import Question
from core.audio.read import read_audio, write_flac
from tests.core.answering.tiny_lalm import write_tiny_qwen2_audio

pytestmark = pytest.mark.bench
CLIPS, RATE, NEW = 16, 16000, 128  # an answer with its reasons


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For both sides: with operations this small a second thread is only waited for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clips() -> list[bytes]:
    rng = np.random.default_rng(0)
    lengths = (rng.uniform(2, 30, size=CLIPS) * RATE).astype(int)
    return [write_flac(rng.normal(0, 0.1, n).clip(-1, 1).astype(np.float32), RATE) for n in lengths]


def one_by_one(folder: Path, files: list[bytes], prompt: str) -> list[str]:
    """As the model card shows it, greedy."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    outputs = []
    for file in files:
        wave, _ = read_audio(file, sample_rate=RATE)
        content = [{"type": "audio", "audio": wave}, {"type": "text", "text": prompt}]
        turns = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        inputs = processor(text=text, audio=[wave], sampling_rate=RATE, return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=NEW, do_sample=False, repetition_penalty=1.0)
        new = out[0, inputs["input_ids"].shape[1] :]
        outputs.append(processor.tokenizer.decode(new, skip_special_tokens=True).strip())
    return outputs


def test_batches_by_duration(tmp_path: Path, record: Callable[..., None]) -> None:
    write_tiny_qwen2_audio(
        tmp_path, num_hidden_layers=12, num_attention_heads=1, num_key_value_heads=1, head_dim=8
    )
    files, prompt = clips(), "Which sound comes last? Options: a dog | rain | a bell | a train"
    asked = [
        Question(id=f"{i}", prompt=prompt, question=prompt, choices=(), audios=(file,))
        for i, file in enumerate(files)
    ]
    lalm = open_lalm(tmp_path, max_new_tokens=NEW)
    lalm.answer(asked[:2])
    start = time.perf_counter()
    ours = lalm.answer(asked)
    mine = CLIPS / (time.perf_counter() - start)
    one_by_one(tmp_path, files[:2], prompt)
    start = time.perf_counter()
    theirs = one_by_one(tmp_path, files, prompt)
    loop = CLIPS / (time.perf_counter() - start)
    # Random weights make near ties among 2,048 choices; rounding may break one of them the other way.
    assert sum(x == y for x, y in zip(ours, theirs)) >= CLIPS - 1
    record(
        "LALM: batches by duration against one by one (tiny Qwen2-Audio, 2-30 s, 128 tokens, 1 thread)",
        mine / loop, mine, loop, "questions/s", target=">= 3",
    )  # fmt: skip

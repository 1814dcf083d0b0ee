"""A tiny random Llama as a Chat."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from core.language.client import Audio, EndpointError, Message, Options, Reply, ReplyError, in_parallel
from core.language.local import LocalChat

TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
WORDS = ["user", "system", "assistant", *"abcdefghij"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tiny")
    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(out)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=40, initializer_range=0.5,
        pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(out)
    return out


def ask(text: str) -> list[Message]:
    return [Message("user", text)]


def test_greedy_reply_is_the_models_argmax(folder: Path) -> None:
    chat = LocalChat(folder, template=TEMPLATE, device="cpu")
    reply = chat.complete(ask("a b"), options=Options(max_tokens=6))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder)
    ids = tokenizer("user a b", return_tensors="pt")["input_ids"]
    new: list[int] = []
    for _ in range(6):
        token = int(model(torch.cat([ids, torch.tensor([new], dtype=torch.long)], 1)).logits[0, -1].argmax())
        new.append(token)
        if token == 1:
            break
    assert reply.text == tokenizer.decode(new, skip_special_tokens=True).strip()
    assert reply.usage == (3, len(new))
    assert reply.finish == ("stop" if new[-1] == 1 else "length")
    assert reply.cost == 0.0


def test_waiting_requests_are_answered_together_and_alike(folder: Path) -> None:
    texts = ["a", "b c d e", "f g", "h", "i j a b c", "d"]
    options = Options(max_tokens=6)
    alone = LocalChat(folder, template=TEMPLATE, device="cpu")
    one_by_one = [alone.complete(ask(text), options=options) for text in texts]
    together = LocalChat(folder, template=TEMPLATE, device="cpu", batch_size=4)
    sizes: list[int] = []
    generate = together._generate

    def counted(batch: list[object]) -> list[Reply]:
        sizes.append(len(batch))
        return generate(batch)  # type: ignore[arg-type]

    def release() -> None:
        while len(together._jobs) < len(texts):
            time.sleep(0.005)
        together._turn.release()

    together._generate = counted  # type: ignore[method-assign,assignment]
    together._turn.acquire()  # nobody answers before all wait
    threading.Thread(target=release, daemon=True).start()
    batched = list(
        in_parallel(lambda t: together.complete(ask(t), options=options), texts, concurrency=len(texts))
    )
    assert batched == one_by_one
    assert sizes == [4, 2]


def test_sampling_depends_on_the_seed_alone(folder: Path) -> None:
    chat = LocalChat(folder, template=TEMPLATE, device="cpu", batch_size=4)
    texts = {
        seed: [
            chat.complete(ask("a"), options=Options(temperature=2.0, max_tokens=12, seed=seed)).text
            for _ in range(2)
        ]
        for seed in range(4)
    }
    assert all(first == second for first, second in texts.values())
    assert len({first for first, _ in texts.values()}) > 1


def test_sampling_leaves_the_global_generator_alone(folder: Path) -> None:
    chat = LocalChat(folder, template=TEMPLATE, device="cpu")
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    chat.complete(ask("a"), options=Options(temperature=1.0, max_tokens=3, seed=9))
    assert torch.equal(torch.rand(1), expected)


def test_identity_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    first = LocalChat(folder, template=TEMPLATE, device="cpu").identity
    assert LocalChat(folder, template=TEMPLATE, device="cpu").identity == first
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model = LlamaForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    model.save_pretrained(tmp_path)
    assert LocalChat(tmp_path, template=TEMPLATE, device="cpu").identity["sha256"] != first["sha256"]


def test_what_cannot_be_answered_says_why(folder: Path, tmp_path: Path) -> None:
    chat = LocalChat(folder, template=TEMPLATE, device="cpu")
    with pytest.raises(ReplyError, match="audio"):
        chat.complete([Message("user", (Audio(b"x"),))])
    with pytest.raises(ReplyError, match=r"2 prompt tokens and 512 new ones exceed the model's 40"):
        chat.complete(ask("a"))
    with pytest.raises(EndpointError, match="chat template"):
        LocalChat(folder, device="cpu")
    with pytest.raises(EndpointError, match=r"no config\.json"):
        LocalChat(tmp_path, template=TEMPLATE)


def test_failure_while_answering_reaches_every_caller(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = LocalChat(folder, template=TEMPLATE, device="cpu")

    def break_down(*arguments: object, **named: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(chat._model, "generate", break_down)
    for _ in range(2):  # the queue is not left with the failed request
        with pytest.raises(RuntimeError, match="out of memory"):
            chat.complete(ask("a"), options=Options(max_tokens=3))

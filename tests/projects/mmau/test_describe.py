"""The stage on a small exam: what it may look at, what it writes, and when it says why not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.adapters.prefix_lm import Features
from core.audio.read import AudioErrors, write_flac
from core.audio_lm.encoders import Encoder
from core.data.parquet import write_absent, write_dataset
from core.data.schema import MMAU
from core.language.client import Audio, Message, Options, Reply, ReplyError, Text
from core.run import tracking
from core.run.stage import Context
from core.scenes.bank import Named
from projects.mmau import describe as stage
from projects.mmau import hear
from projects.mmau.describe import Config, DescribeError, ask, describe, read_items, shortened
from projects.mmau.hear import Hearer, Noticed, list_tags, notice, phrase, tell_sounds
from projects.mmau.recognise import RecogniserMissingError

TASKS = ("music", "sound", "sound")
LABELS = ["dog_bark", "rain", "flute", "trumpet", "man_sing"]


def at(root: Path, variant: str) -> Context:
    return Context(
        paper="mmau",
        stage="describe",
        variant=variant,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def row(number: int, task: str, audio: bytes) -> dict[str, Any]:
    return {
        "id": f"item-{number}",
        "audio": {"bytes": audio, "path": None},
        "question": "Which?",
        "choices": ["a b", "c", "d", "e"],
        "answer": "c",
        "dataset": "synthetic",
        "task": task,
        "split": "test-mini",
        "category": "Reasoning",
        "sub-category": "Instrumentation",
        "difficulty": "easy",
        "clips": ["x"],
    }


def tone(hertz: float = 440.0) -> bytes:
    return write_flac(
        (0.5 * np.sin(2 * np.pi * hertz * np.arange(32000) / 16000)).astype(np.float32), 16000, name="x"
    )


INFO = {"name": "mmau", "task": "t", "licence": "l", "source": "s", "protocol": "p"}


def write_exam(root: Path, rows: Sequence[Mapping[str, Any]], split: str = "testmini") -> Path:
    folder = root / "shared_data" / "datasets" / "mini" / "mmau"
    write_dataset(folder, list(rows), features=MMAU, split=split, info=INFO)
    return folder


def written(context: Context) -> list[dict[str, Any]]:
    path = context.path("predictions", "descriptions", f"{context.variant}.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tagger(logits: torch.Tensor) -> tuple[Encoder]:
    """Tags by the order of the clips."""

    def listen(waves: Sequence[np.ndarray], ids: Sequence[str]) -> Features:
        assert all(wave.dtype == np.float32 for wave in waves)
        assert len(waves) == len(ids)
        return Features(logits[: len(waves), None], torch.ones(len(waves), 1, dtype=torch.bool))

    return (Encoder("tags", 16000, listen, (), tuple(LABELS)),)


NAMES = {
    "dog_bark": Named("sound", ("a dog barking", "the barking of a dog", "a dog barks")),
    "rain": Named("sound", ("rain falling", "falling rain", "rain falls")),
    "flute": Named("music", ("a flute playing", "the playing of a flute", "a flute plays")),
    "trumpet": Named("music", ("a trumpet playing", "the playing of a trumpet", "a trumpet plays")),
}


LOGITS = torch.tensor([[-9.0, -9, 3, 4, -9], [3, 2, -9, -9, -9], [-9, -9, -3, -9, -9]])


@pytest.fixture
def hearer(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(prompts: Sequence[str], heard: Any, **options: Any) -> list[str]:
        assert {*prompts} == {"Write an audio caption describing the sound in detail."}
        return ["first a dog barking for a while at the beginning."] * len(prompts)

    def opened(folder: Path, *, root: Path, names: Any, captions: bool) -> Hearer:
        model = SimpleNamespace(answer=answer) if captions else None
        return Hearer(tagger(LOGITS), model, NAMES)  # type: ignore[arg-type]

    monkeypatch.setattr(hear, "open_hearer", opened)
    monkeypatch.setattr(stage, "read_names", lambda _: NAMES)


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    return write_exam(tmp_path, [row(n, task, tone(220 * (n + 1))) for n, task in enumerate(TASKS)])


def test_weak_is_a_list_of_tags_in_the_order_of_the_exam(exam: Path, tmp_path: Path, hearer: None) -> None:
    context = at(tmp_path, "weak")
    describe(Config(level="weak", batch_size=8), context=context)
    assert written(context) == [
        {"id": "item-0", "answers": ["A trumpet playing, a flute playing."]},
        {"id": "item-1", "answers": ["A dog barking, rain falling."]},
        {"id": "item-2", "answers": ["A flute playing."]},  # the most probable one
    ]


def test_strong_measures_music_and_captions_sounds(exam: Path, tmp_path: Path, hearer: None) -> None:
    (exam / "facts-train.jsonl").write_text("", encoding="utf-8")
    context = at(tmp_path, "strong")
    describe(Config(level="strong"), context=context)
    music, sound, other = (line["answers"][0] for line in written(context))
    assert re.match(r"Brass and a flute play .* in A (major|minor)\b", music), music
    assert sound == "First a dog barks for a while at the beginning. Rain falls."
    assert other == "First a dog barks for a while at the beginning. A flute plays."


def test_only_id_domain_and_audio_are_read(
    exam: Path, tmp_path: Path, hearer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real: Callable[..., Any] = stage.read_dataset

    def watched(*where: Any, columns: list[str]) -> Any:
        read.extend(columns)
        return real(*where, columns=columns)

    monkeypatch.setattr(stage, "read_dataset", watched)
    describe(Config(level="weak"), context=at(tmp_path, "weak"))
    assert {*read} == {"id", "task", "audio"}
    first = written(at(tmp_path, "weak"))
    changed = [row(n, task, tone(220 * (n + 1))) for n, task in enumerate(TASKS)]
    write_exam(tmp_path, [one | {"question": "Why?", "answer": "d"} for one in changed])
    describe(Config(level="weak"), context=at(tmp_path, "weak"))
    assert written(at(tmp_path, "weak")) == first


def test_without_endpoint_and_train_split_strong_says_why_it_does_not_run(exam: Path, tmp_path: Path) -> None:
    context = at(tmp_path, "strong")
    describe(Config(level="strong"), context=context)
    reason = context.path("predictions", "descriptions", "strong.not_run.txt").read_text(encoding="utf-8")
    assert "no language model is configured" in reason
    assert "'train'" in reason
    assert written(context) == []


def test_an_exam_that_the_profile_has_not_got(tmp_path: Path) -> None:
    write_absent(tmp_path / "shared_data" / "datasets" / "mini" / "mmau", "no exam in this profile")
    context = at(tmp_path, "weak")
    describe(Config(level="weak"), context=context)
    reason = context.path("predictions", "descriptions", "weak.not_run.txt").read_text(encoding="utf-8")
    assert reason == "no exam in this profile\n"


@pytest.mark.parametrize("level", ["weak", "strong"])
def test_silent_audio_is_named(tmp_path: Path, hearer: None, level: str) -> None:
    silent = write_flac(np.zeros(16000, np.float32), 16000, name="x")
    folder = write_exam(tmp_path, [row(0, "sound", tone()), row(1, "music", silent)])
    (folder / "facts-train.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(AudioErrors, match="item-1"):
        describe(Config(level=level), context=at(tmp_path, level))  # type: ignore[arg-type]


def test_speech_needs_pocketsphinx(tmp_path: Path, hearer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    write_exam(tmp_path, [row(0, "speech", tone())])
    monkeypatch.setattr(stage, "why_deaf", lambda: "pocketsphinx is missing: install it")
    with pytest.raises(RecogniserMissingError, match="install it"):
        describe(Config(level="weak"), context=at(tmp_path, "weak"))


def test_another_domain_is_refused(tmp_path: Path) -> None:
    folder = write_exam(tmp_path, [row(0, "smell", tone())])
    with pytest.raises(DescribeError, match="smell"):
        read_items(folder, "test-mini")


class FakeChat:
    """Answers with the first words of the prompt; refuses the second question."""

    identity: Mapping[str, Any] = {"model": "m"}

    def __init__(self) -> None:
        self.asked: list[str] = []

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        (message,) = messages
        assert not isinstance(message.content, str)
        sound, text = message.content
        assert isinstance(sound, Audio)
        assert sound.content[:4] == b"RIFF"
        assert isinstance(text, Text)
        self.asked.append(text.text)
        if len(self.asked) == 2:
            raise ReplyError("refused")
        return Reply(text=f" {text.text.split()[3]}\nheard ", usage=None, cost=None, finish="stop")


def test_a_model_that_hears_is_asked_by_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_exam(
        tmp_path, [row(n, t, tone(300 + n)) for n, t in enumerate(("speech", "music", "sound"))]
    )
    chat = FakeChat()
    one_at_a_time = Config(level="strong", endpoint=stage.Endpoint(concurrency=1))
    said = ask(chat, read_items(folder, "test-mini"), config=one_at_a_time)
    assert said == {"item-0": "recording heard", "item-1": "", "item-2": "recording heard"}
    assert "item-1: no description: refused" in capsys.readouterr().out
    speech, music, sound = chat.asked
    assert all("60 words" in text for text in chat.asked)
    assert "verbatim" in speech
    assert "tempo" in music
    assert "order" in sound


def test_thoughts_are_no_description_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    folder = write_exam(tmp_path, [row(0, "music", tone(300)), row(1, "sound", tone(301))])
    items, config = read_items(folder, "test-mini"), Config(level="strong")

    class Saying(FakeChat):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

        def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
            return Reply(text=self.text, finish="length")

    said = ask(Saying("<think>A drum?</think> A flute."), items, config=config)
    assert said == {"item-0": "A flute.", "item-1": "A flute."}
    with pytest.raises(DescribeError, match="none of 2 items is described; the last: cut off at 256 tokens"):
        ask(Saying("<think>A drum"), items, config=config)


def test_tags_by_threshold_and_limit() -> None:
    found = notice(
        Hearer(tagger(LOGITS), None, NAMES),  # type: ignore[arg-type]
        [np.zeros(4, np.float32)] * 3,
        ["a", "b", "c"],
        threshold=0.9,
        limit=1,
        max_new_tokens=1,
    )
    assert [one.tags for one in found] == [("trumpet",), ("dog_bark",), ("flute",)]
    assert [one.instruments for one in found] == [("brass",), ("flute",), ("flute",)]


def test_labels_in_words() -> None:
    assert phrase("dog_bark", NAMES) == "a dog barking"
    assert phrase("dog_bark", NAMES, 2) == "a dog barks"
    assert phrase("Steam_whistle", NAMES) == "steam whistle"
    assert list_tags(["rain", "Steam_whistle"], NAMES) == "Rain falling, steam whistle."
    both = Noticed(("dog_bark", "rain"), (), "a dog barking, then rain falling")
    assert tell_sounds(both, NAMES) == "A dog barks, then rain falls."


def test_shortened() -> None:
    assert shortened("a b c", 3) == "a b c"
    assert shortened("a b, c d", 2) == "a b."

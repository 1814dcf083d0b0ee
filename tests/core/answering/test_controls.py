"""Controls: what each picks, and that replaced audio is what it says."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.answering import controls
from core.answering.controls import ControlError
from core.answering.harness import evaluate
from core.answering.items import Item, ItemError
from core.answering.question import Question
from core.answering.records import read_predictions

CHOICES = ("cat", "a long one", "dog", "fine ones!")


def asked(id: str, *choices: str) -> Question:
    return Question(id=id, prompt="?", question="?", choices=choices, audios=())


def sound(
    peak: float, *, n: int = 2000, rate: int = 8000, subtype: str = "PCM_16", form: str = "WAV"
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, peak * np.sin(np.arange(n) / 5), rate, format=form, subtype=subtype)
    return buffer.getvalue()


def items(n: int = 6) -> list[Item]:
    return [
        Item(id=f"{i}", question="?", choices=("a", "b"), audios=(sound(0.1 * (i + 1)),), seconds=float(i))
        for i in range(n)
    ]


def heard(item: Item) -> Sequence[bytes]:
    assert item.audios is not None
    return item.audios() if callable(item.audios) else item.audios


def test_first_and_longest() -> None:
    questions = [asked("x", *CHOICES), asked("y", "b", "a"), asked("open")]
    assert controls.first()(questions) == ["cat", "b", ""]
    assert controls.longest()(questions) == ["a long one", "b", ""]  # of two equally long the first shown


def test_random_choice_is_uniform_and_does_not_depend_on_what_else_is_asked() -> None:
    answer = controls.random_choice(seed=3)
    questions = [asked(f"{i}", *CHOICES) for i in range(4000)]
    outputs = answer(questions)
    counts = Counter(outputs)
    assert set(counts) == set(CHOICES)
    assert sum((n - 1000) ** 2 / 1000 for n in counts.values()) < 16.3  # chi-square, 3 degrees, p = 0.001
    assert answer(questions[::-1]) == outputs[::-1]
    assert answer([questions[17]]) == [outputs[17]]
    assert controls.random_choice(seed=4)(questions) != outputs


def test_random_choice_picks_anew_in_another_order() -> None:
    answer = controls.random_choice(seed=0)
    texts = {answer([asked("one", *(CHOICES[k:] + CHOICES[:k]))])[0] for k in range(4)}
    assert len(texts) > 1  # else five shuffles would be one vote


def test_most_frequent_is_the_place_of_most_golds() -> None:
    golds = [
        ("b", ("a", "b", "c")),
        ("b", ("a", "b")),
        ("c", ("c", "a")),
        ("x", ("a", "b")),
        ("c", ("c", "b")),
    ]
    answer = controls.most_frequent([*golds, ("z", ("y", "z"))])
    assert answer([asked("1", *CHOICES), asked("2", "only"), asked("3")]) == ["a long one", "only", ""]
    assert controls.most_frequent(golds)([asked("1", *CHOICES)]) == ["cat"]  # equal: the earlier place
    with pytest.raises(ControlError, match="no answer is among"):
        controls.most_frequent([("", ("a", "b"))])


@pytest.mark.parametrize("level", ["rms", controls.NOISE_RMS])
def test_noise_has_length_rate_and_level(level: float) -> None:
    loud = sound(0.9, n=4001, rate=22050)
    (item,) = controls.noise_audio(
        [replace(items(1)[0], audios=lambda: (loud, sound(0.2)))], seed=1, level=level
    )
    first, second = heard(item)
    noise, rate = soundfile.read(io.BytesIO(first))
    original, _ = soundfile.read(io.BytesIO(loud))
    assert (len(noise), rate) == (4001, 22050)
    rms = np.sqrt(np.mean(original**2)) if level == "rms" else 0.1
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(rms, rel=1e-5)
    assert abs(noise).max() > 2.5 * rms  # of its kind: a sine stops at 1.4
    spectrum = abs(np.fft.rfft(noise)) ** 2
    assert spectrum.max() < 0.02 * spectrum.sum()
    assert abs(np.corrcoef(noise[:2000], soundfile.read(io.BytesIO(second))[0])[0, 1]) < 0.1


def test_noise_is_a_function_of_seed_and_item() -> None:
    once = [heard(item) for item in controls.noise_audio(items(), seed=1)]
    assert [heard(item) for item in controls.noise_audio(items()[::-1], seed=1)][::-1] == once
    assert heard(controls.noise_audio(items(), seed=2)[0]) != once[0]


def test_noise_for_silence_is_silent_and_broken_audio_is_named() -> None:
    (silent,) = controls.noise_audio([replace(items(1)[0], audios=(sound(0.0),))], seed=0)
    samples, _ = soundfile.read(io.BytesIO(heard(silent)[0]))
    assert len(samples) == 2000
    assert not samples.any()
    (broken,) = controls.noise_audio([replace(items(1)[0], audios=(b"no sound",))], seed=0)
    with pytest.raises(ValueError, match="0 \\(audio 0\\)"):
        heard(broken)


def test_other_audio_is_a_derangement_within_groups() -> None:
    before = items(7)
    groups = ["s", "m", "s", "m", "s", "m", "s"]
    after = controls.other_audio(before, seed=5, groups=groups)
    assert [item.id for item in after] == [item.id for item in before]
    source = {heard(item): place for place, item in enumerate(before)}
    sources = [source[heard(item)] for item in after]
    assert sorted(sources) == list(range(7))
    assert all(place != own for own, place in enumerate(sources))
    assert all(groups[place] == groups[own] for own, place in enumerate(sources))
    assert [item.seconds for item in after] == [float(place) for place in sources]
    assert after == controls.other_audio(before, seed=5, groups=groups)
    assert any(
        [heard(i) for i in controls.other_audio(before, seed=seed)] != [heard(i) for i in after]
        for seed in (5, 6)
    )


def test_other_audio_leaves_missing_audio_missing() -> None:
    before = [replace(items()[0], audios=None), *items()[1:3], replace(items()[3], audios=())]
    after = controls.other_audio(before, seed=0)
    assert after[0].audios is None
    assert after[3].audios == ()
    assert [heard(item) for item in after[1:3]] == [heard(before[2]), heard(before[1])]
    with pytest.raises(ControlError, match="group 'b' has only item 1"):
        controls.other_audio(items(3), seed=0, groups=["a", "b", "a"])
    with pytest.raises(ControlError, match="1 groups for 3 items"):
        controls.other_audio(items(3), seed=0, groups=["a"])


def test_without_audio_asks_also_what_is_missing() -> None:
    after = controls.without_audio([replace(items()[0], audios=None), items()[1]])
    assert [item.audios for item in after] == [(), ()]


def test_replaced_audio_is_another_item_to_the_harness(tmp_path: Path) -> None:
    hashes = []
    for number, some in enumerate(
        (
            items(),
            controls.noise_audio(items(), seed=0),
            controls.other_audio(items(), seed=0),
            controls.without_audio(items()),
        )
    ):
        evaluate(controls.first(), some, out=tmp_path / f"{number}", identity={"control": "first"})
        hashes.append({record.hash for record in read_predictions(tmp_path / f"{number}")})
    assert len(set.union(*hashes)) == 4 * 6


def test_missing_audio_has_no_noise(tmp_path: Path) -> None:
    with pytest.raises(ItemError, match="no audio"):
        evaluate(
            controls.first(),
            controls.noise_audio([replace(items()[0], audios=None), items()[1]], seed=0),
            out=tmp_path / "out",
            identity={},
        )

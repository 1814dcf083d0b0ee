from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile

from core.data.schema import SCHEMAS
from core.scenes import comparisons
from core.scenes.algebra import Leaf, leaves
from core.scenes.bank import Bank
from core.scenes.captions import HELD_OUT, parse_caption, phrase_book
from core.scenes.comparisons import BenchmarkError, compa_attribute, compa_order
from core.scenes.draw import DrawError
from shared_data.world.datasets.benchmarks import captioned, classified, multilabel

PARTS = ("pair", "reversed", "triplet")
Make = Callable[..., Iterator[dict[str, Any]]]

MAKERS: dict[str, Make] = {
    "compa_order": compa_order,
    "compa_attribute": compa_attribute,
    "audiocaps": lambda bank, **options: captioned(bank, name="audiocaps", **options),
    "clotho": lambda bank, **options: captioned(bank, name="clotho", longer=True, duration=8.0, **options),
    "esc50": lambda bank, **options: classified(bank, name="esc50", **options),
    "fsd50k": multilabel,
}


def captions(row: dict[str, Any]) -> list[str]:
    return [row[f"{part}_caption"] for part in PARTS if row[f"{part}_caption"] is not None]


def sound(audio: dict[str, Any]) -> np.ndarray:
    wave, rate = soundfile.read(io.BytesIO(audio["bytes"]), dtype="float32")
    assert rate == 16_000
    return wave


@pytest.mark.parametrize("name", MAKERS)
def test_rows_have_the_official_schema_and_repeat_exactly(noise_bank: Bank, name: str) -> None:
    rows = list(MAKERS[name](noise_bank, n=6, seed=3))
    assert all(set(row) == set(SCHEMAS[name]) for row in rows)
    assert len({row["id"] for row in rows}) == 6
    assert rows == list(MAKERS[name](noise_bank, n=6, seed=3))
    assert rows[:4] == list(MAKERS[name](noise_bank, n=4, seed=3))
    assert rows != list(MAKERS[name](noise_bank, n=6, seed=4))
    for row in rows:
        for column in (key for key in row if key.endswith("audio") and row[key]):
            wave = sound(row[column])
            assert len(wave) == (128_000 if name == "clotho" else 81_920)
            assert np.abs(wave).max() == pytest.approx(0.5, abs=1e-3)
            assert row[column]["path"].startswith(row["id"])


@pytest.mark.parametrize("name", MAKERS)
def test_provenance_stays_in_the_split(noise_bank_of_splits: Bank, name: str) -> None:
    test = noise_bank_of_splits.split("test")
    known = {clip.id for clip in test.clips}
    for row in MAKERS[name](test, n=5, seed=0):
        assert row["clips"]
        assert set(row["clips"]) <= known
    with pytest.raises(BenchmarkError, match="one split"):
        next(MAKERS[name](noise_bank_of_splits, n=5, seed=0))


def test_order_has_exactly_its_share_of_triplets(noise_bank: Bank) -> None:
    for n, share, expected in ((12, 0.25, 3), (9, 1 / 3, 3), (5, 0.0, 0), (5, 1.0, 5)):
        rows = list(compa_order(noise_bank, n=n, seed=0, triplet_share=share))
        assert sum(row["triplet_audio"] is not None for row in rows) == expected
        assert all((row["triplet_audio"] is None) == (row["triplet_caption"] is None) for row in rows)


@pytest.mark.parametrize("kind", ["order", "voices", "loudness"])
def test_captions_of_a_row_are_the_same_words_in_another_order(noise_bank: Bank, kind: str) -> None:
    if kind == "order":
        rows = list(compa_order(noise_bank, n=40, seed=0))
    else:
        rows = list(compa_attribute(noise_bank, n=40, seed=0, kind=kind))  # type: ignore[arg-type]
    for row in rows:
        texts = captions(row)
        assert len({tuple(sorted(text.split())) for text in texts}) == 1
        assert len(set(texts)) == len(texts)


def test_audios_of_a_row_are_different_recordings(noise_bank: Bank) -> None:
    for row in compa_order(noise_bank, n=8, seed=0, triplet_share=0.5):
        audios = [row[f"{part}_audio"]["bytes"] for part in PARTS if row[f"{part}_audio"]]
        assert len(row["clips"]) == 2 * len(audios)  # two labels, a clip of its own for each audio


def test_label_pairs_repeat_only_after_all_were_used(noise_bank: Bank) -> None:
    book = phrase_book(noise_bank)
    rows = list(compa_order(noise_bank, n=9, seed=0, labels=("rain", "bell", "saw")))
    pairs = [
        frozenset(leaf.label for leaf in leaves(parse_caption(row["pair_caption"], book)[0])) for row in rows
    ]
    assert set(Counter(pairs).values()) == {3}


def test_attribute_voices_swap_who_does_what(noise_bank: Bank) -> None:
    book = phrase_book(noise_bank)
    for row in compa_attribute(noise_bank, n=20, seed=0):
        first, second = (
            {str(leaf) for leaf in leaves(parse_caption(text, book)[0])} for text in captions(row)
        )
        assert not first & second
        whos = [sorted(label.split("_")[0] for label in labels) for labels in (first, second)]
        whats = [sorted(label.split("_")[1] for label in labels) for labels in (first, second)]
        assert whos[0] == whos[1]
        assert whats[0] == whats[1]
        assert row["triplet_audio"] is None


def test_attribute_loudness_serves_banks_without_voices(noise_bank_without_voices: Bank) -> None:
    bank = noise_bank_without_voices
    book = phrase_book(bank)
    with pytest.raises(DrawError, match="two agents"):
        next(compa_attribute(bank, n=1, seed=0))
    for row in compa_attribute(bank, n=10, seed=0, kind="loudness"):
        first, second = (leaves(parse_caption(text, book)[0]) for text in captions(row))
        swapped = {Leaf(leaf.label, "quiet" if leaf.level == "loud" else "loud") for leaf in first}
        assert set(second) == swapped


def test_connectives_can_be_held_out(noise_bank: Bank) -> None:
    words = {*HELD_OUT.sequence, *HELD_OUT.reversed}
    rows = list(compa_order(noise_bank, n=20, seed=0, triplet_share=0.0, connectives=HELD_OUT))
    assert sum(any(f" {word} " in row["pair_caption"] for word in words) for row in rows) > 8


def test_captions_are_five_different_ones_and_rows_differ_in_labels(noise_bank: Bank) -> None:
    book = phrase_book(noise_bank)
    seen, sizes = set(), set()
    for row in captioned(noise_bank, n=30, seed=0, name="audiocaps"):
        assert len(set(row["captions"])) == 5
        found = {
            frozenset(leaf.label for leaf in leaves(reading))
            for text in row["captions"]
            for reading in parse_caption(text, book)
        }
        assert len(found) == 1
        sizes.add(len(next(iter(found))))
        assert not found & seen
        seen |= found
    assert sizes == {1, 2, 3}
    with pytest.raises(BenchmarkError, match="no new set of labels for row 2"):
        list(captioned(noise_bank, n=4, seed=0, name="x", sizes=(1.0,), labels=("rain", "bell")))


def test_clotho_captions_are_longer(noise_bank: Bank) -> None:
    lengths = [
        np.mean([len(t.split()) for row in MAKERS[name](noise_bank, n=8, seed=0) for t in row["captions"]])
        for name in ("audiocaps", "clotho")
    ]
    assert lengths[1] > lengths[0] + 2


def test_classes_are_balanced_and_groups_stay_in_a_fold(noise_bank: Bank) -> None:
    rows = list(classified(noise_bank, n=34, seed=0, name="esc50", folds=3))
    assert set(Counter(row["label"] for row in rows).values()) == {2}
    assert "dog bark" in {row["label"] for row in rows}
    assert len({row["clips"][0] for row in rows}) == 34  # no clip twice while others are left
    groups = {clip.id: clip.group for clip in noise_bank.clips}
    folds: dict[str, set[int]] = {}
    for row in classified(noise_bank, n=100, seed=0, name="esc50", folds=3, labels=("rain", "bell")):
        folds.setdefault(groups[row["clips"][0]], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())
    assert set.union(*folds.values()) <= {1, 2, 3}


def test_all_labels_of_a_scene_are_told(noise_bank: Bank) -> None:
    names = {clip.id: clip.label.replace("_", " ") for clip in noise_bank.clips}
    rows = list(multilabel(noise_bank, n=30, seed=0))
    for row in rows:
        assert row["labels"] == sorted({names[clip] for clip in row["clips"]})
    assert {len(row["labels"]) for row in rows} == {1, 2, 3}


def test_unknown_labels_are_named(noise_bank: Bank) -> None:
    with pytest.raises(BenchmarkError, match=r"no clip of .'unicorn'"):
        next(classified(noise_bank, n=1, seed=0, name="esc50", labels=("unicorn",)))


def test_a_caption_that_its_timeline_contradicts_is_never_written(
    noise_bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = comparisons.realise

    def wrong(*args: Any, **options: Any) -> Any:
        scene = real(*args, **options)
        times = [(event.start, event.end) for event in scene.events][::-1]
        events = [replace(e, start=start, end=end) for e, (start, end) in zip(scene.events, times)]
        return replace(scene, events=tuple(events))

    monkeypatch.setattr(comparisons, "realise", wrong)
    with pytest.raises(BenchmarkError, match="should be true of compa_order-00000-pair under every reading"):
        next(compa_order(noise_bank, n=1, seed=0))


def test_the_same_words_are_demanded(noise_bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = iter(["a dog barking", "a cat meowing"])
    monkeypatch.setattr(comparisons, "write", lambda tree, wording: next(texts))
    with pytest.raises(BenchmarkError, match="differ in their words"):
        next(compa_order(noise_bank, n=1, seed=0, triplet_share=0.0))

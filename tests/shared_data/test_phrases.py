from __future__ import annotations

from pathlib import Path

import pytest

from core.run import tracking
from core.run.stage import Context
from core.scenes.bank import Bank, write_bank
from core.scenes.captions import phrase_book
from shared_data.phrases import RECORDED, read_book, words_input
from shared_data.world.sounds.procedural import make_bank

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small_bank() -> Bank:
    counts = {"train": 1, "valid": 1, "test": 1}
    return make_bank(sample_rate=8_000, clips_per_class=counts, labels=["dog_bark", "rain"])


def test_the_banks_phrases_win_and_no_phrase_is_of_two_labels(small_bank: Bank, tmp_path: Path) -> None:
    own = phrase_book(small_bank)
    label = next(iter(own))
    place = tmp_path / RECORDED
    place.parent.mkdir(parents=True)
    place.write_text(
        "label,domain,instrument,phrases\n"
        f"{label},sound,,a phrase of the other world\n"
        f"twin,sound,,{own[label][0]}|another\n"
        f"gong,sound,,a gong sounding|{own[label][0]}|the sound of a gong\n"
    )
    found = read_book(small_bank, root=tmp_path)
    assert found == own | {"gong": ("a gong sounding", "the sound of a gong")}


def test_other_audio_of_the_same_words_is_no_other_input(tmp_path: Path) -> None:
    told = set()
    for seed, labels in ((0, ["dog_bark", "rain"]), (1, ["dog_bark", "rain"]), (0, ["dog_bark", "thunder"])):
        counts = {"train": 1, "valid": 1, "test": 1}
        bank = make_bank(sample_rate=8_000, clips_per_class=counts, labels=labels, seed=seed)
        write_bank(bank, tmp_path / "shared_data" / "bank" / "mini")
        (tmp_path / RECORDED).parent.mkdir(exist_ok=True)
        (tmp_path / RECORDED).write_bytes((REPOSITORY / RECORDED).read_bytes())
        context = Context(
            paper="shared_data",
            stage="text_tower",
            variant=None,
            profile="mini",
            root=tmp_path,
            tracker=tracking.off(),
            seed=0,
        )
        told.add(words_input(context)["words"].content)
    assert len(told) == 2


def test_recorded_labels_are_there(small_bank: Bank) -> None:
    book = read_book(small_bank, root=REPOSITORY)
    phrases = [phrase for known in book.values() for phrase in known]
    assert len(set(phrases)) == len(phrases)
    assert {"electric_spark", "pig_oink"} <= set(book)

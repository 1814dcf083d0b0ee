from __future__ import annotations

from pathlib import Path

import pytest

from core.scenes.bank import Bank
from core.scenes.captions import phrase_book
from shared_data.phrases import RECORDED, phrases_input, read_book
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
    assert len(phrases_input(tmp_path)["phrases"].content) == 64


def test_recorded_labels_are_there(small_bank: Bank) -> None:
    book = read_book(small_bank, root=REPOSITORY)
    phrases = [phrase for known in book.values() for phrase in known]
    assert len(set(phrases)) == len(phrases)
    assert {"electric_spark", "pig_oink"} <= set(book)

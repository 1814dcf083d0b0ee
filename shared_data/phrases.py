"""The phrases of all labels that language foundations know: the bank's, and those of the recorded bank."""

from __future__ import annotations

import csv
from pathlib import Path

from core.run.files import sha256_of
from core.scenes.bank import Bank
from core.scenes.captions import phrase_book
from shared_data.foundation_card import Input

RECORDED = Path("shared_data/recorded/labels.csv")


def read_book(bank: Bank, *, root: Path) -> dict[str, tuple[str, ...]]:
    """label -> phrases, of the bank, then of labels that only RECORDED has: one model serves both worlds.

    A phrase stays its first label's; a label whose plain phrase is another's is left out.
    """
    book = phrase_book(bank)
    taken = {phrase for phrases in book.values() for phrase in phrases}
    with (root / RECORDED).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            plain, *others = row["phrases"].split("|")
            if row["label"] in book or plain in taken:
                continue
            book[row["label"]] = (plain, *(phrase for phrase in others if phrase not in taken))
            taken.update(book[row["label"]])
    return book


def phrases_input(root: Path) -> dict[str, Input]:
    """The recorded bank's phrases as an input of a training."""
    told = sha256_of(root / RECORDED)
    return {"phrases": Input(recipe=told, content=told)}

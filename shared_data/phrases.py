"""The phrases of all labels that language foundations know: the bank's, and those of the recorded bank."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

from core.run.stage import Context
from core.scenes.bank import Bank, read_bank
from core.scenes.captions import phrase_book
from core.scenes.draw import voice_attributes
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


def words_input(context: Context) -> dict[str, Input]:
    """All that a training on texts takes of the bank: the book, and who speaks."""
    bank = read_bank(context.path("bank"), splits=["train"])
    read = [read_book(bank, root=context.root), voice_attributes(bank)]
    told = hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:16]
    return {"words": Input(recipe=told, content=told)}

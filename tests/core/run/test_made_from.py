"""What results were made from: a shipped foundation counts by its weights, every other stage by its code."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.run import made_from
from core.run.pipeline import Stage


def stage(name: str, out: str) -> Stage:
    return Stage(
        file="shared_data/dvc.yaml",
        name=name,
        command="",
        module="shared_data.tagger",
        variant=None,
        deps=(),
        outs=(out,),
    )


def test_a_shipped_foundation_counts_by_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_from, "REPOSITORY", tmp_path)
    code = {"version": 1}
    monkeypatch.setattr(made_from, "made_of", lambda stage, *, root, profile: dict(code))
    foundation = stage("foundations@tagger", "shared_data/foundations/mini/tagger")
    bank = stage("bank", "shared_data/bank/mini")

    def digests() -> dict[str, str]:
        return made_from._digests([foundation, bank], profile="mini")

    unshipped = digests()
    record = tmp_path / "shared_data" / "foundations" / "mini" / "tagger" / "record.json"
    card = tmp_path / "shared_data" / "foundations" / "mini" / "cards" / "tagger.json"
    for file in (record, card):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    shipped = digests()
    assert shipped[bank.address] == unshipped[bank.address]
    assert shipped[foundation.address] != unshipped[foundation.address]
    code["version"] = 2
    edited = digests()
    assert edited[foundation.address] == shipped[foundation.address]
    assert edited[bank.address] != shipped[bank.address]
    record.write_text('{"sha256": "others"}')
    assert digests()[foundation.address] != shipped[foundation.address]

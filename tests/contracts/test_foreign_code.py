"""No checkpoint may run code of its own, by a forgotten option or by an answer at a prompt."""

from __future__ import annotations

import ast
import io
import json
import sys
from pathlib import Path

import pytest

from core.answering.checkpoint import LalmError, LalmMissingError, read_config
from core.answering.conversation import open_tokenizer

ROOT = Path(__file__).resolve().parents[2]
FILES = [p for top in ("core", "projects", "shared_data") for p in sorted((ROOT / top).rglob("*.py"))]


def test_every_auto_class_is_told_to_trust_nothing() -> None:
    """Also where options are gathered in a dictionary first: it then stands in the same function."""
    found, faults = 0, []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in ("from_pretrained", "from_config") or "Auto" not in ast.unparse(
                node.func
            ):
                continue
            found += 1
            said = {k.arg: ast.unparse(k.value) for k in node.keywords}
            gathered = None in said and '"trust_remote_code": False' in text
            if said.get("trust_remote_code") != "False" and not gathered:
                faults.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found >= 8
    assert faults == []


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of a class of its own, whose code leaves a mark; and somebody who answers "y"."""
    folder = tmp_path / "model"
    folder.mkdir()
    auto = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": ["evil.T", None]}
    auto["AutoProcessor"] = "evil.P"
    (folder / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": auto}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": auto, "tokenizer_class": "T"}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 50))
    return folder


def test_foreign_code_is_not_run_whatever_is_answered(hostile: Path) -> None:
    with pytest.raises(LalmError, match="never run here"):
        read_config(hostile)
    with pytest.raises(LalmMissingError, match="never run here"):
        open_tokenizer(hostile, None)
    assert not (hostile.parent / "ran").exists()

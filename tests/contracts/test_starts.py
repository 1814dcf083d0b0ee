"""A stage that starts imports what it uses at once, and nothing that takes seconds before it is needed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Models, adapters and statistics: a stage imports them in the function that needs them, or not at all.
LATE = ("transformers", "peft", "sklearn", "scipy", "matplotlib", "soundata", "mlflow", "aac_metrics")
# What makes data sets, scores and writes tables reads no network.
WITHOUT_TORCH = (
    "core.report.tables",
    "shared_data.bank",
    "shared_data.datasets",
    "shared_data.exams",
    "projects.compa.score",
    "projects.gama.compose",
    "projects.gama.gold",
    "projects.gama.judge",
    "projects.gama.examples",
    "projects.gama.score",
    "projects.mmau.gold",
    "projects.mmau.score",
    "projects.mmau.figures",
)
SCRIPT = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""


def stage_modules() -> list[str]:
    files = [ROOT / "shared_data" / "dvc.yaml", *ROOT.glob("projects/*/dvc.yaml")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return sorted({*re.findall(r"-m\s+((?:projects|shared_data)(?:\.\w+)+)", text), *WITHOUT_TORCH})


@pytest.mark.parametrize("module", stage_modules())
def test_a_stage_imports_late_what_takes_long(module: str) -> None:
    unwanted = [*LATE, *(["torch"] if module in WITHOUT_TORCH else [])]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, module, *unwanted], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found, (
        f"`import {module}` imports {', '.join(found)}: import it in the function that needs it; "
        f"`python -X importtime -c 'import {module}'` shows where it comes from"
    )

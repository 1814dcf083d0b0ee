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
# Each module in a process of its own, forked from one that has what all of them may import.
SCRIPT = """
import importlib, json, os, sys
late, before, modules = json.loads(sys.argv[1])
for name in before:
    importlib.import_module(name)
for module in modules:
    if os.fork() == 0:
        code = 1
        try:
            importlib.import_module(module)
            print(json.dumps([module, [name for name in late if name in sys.modules]]), flush=True)
            code = 0
        finally:
            os._exit(code)
    os.wait()
"""


def stage_modules() -> list[str]:
    files = [ROOT / "shared_data" / "dvc.yaml", *ROOT.glob("projects/*/dvc.yaml")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return sorted({*re.findall(r"-m\s+((?:projects|shared_data)(?:\.\w+)+)", text), *WITHOUT_TORCH})


@pytest.fixture(scope="module")
def brought() -> dict[str, list[str]]:
    """Module -> what it imports of that which it shall not."""
    others = [module for module in stage_modules() if module not in WITHOUT_TORCH]
    found = {}
    for work in (
        ([*LATE, "torch"], ["numpy", "pandas", "datasets"], WITHOUT_TORCH),
        (LATE, ["numpy", "pandas", "datasets", "torch", "tokenizers"], others),
    ):
        command = [sys.executable, "-c", SCRIPT, json.dumps(work)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        found |= dict(json.loads(line) for line in done.stdout.splitlines())
        assert found.keys() >= set(work[2]), done.stderr
    return found


@pytest.mark.parametrize("module", stage_modules())
def test_a_stage_imports_late_what_takes_long(module: str, brought: dict[str, list[str]]) -> None:
    found = brought[module]
    assert not found, (
        f"`import {module}` imports {', '.join(found)}: import it in the function that needs it; "
        f"`python -X importtime -c 'import {module}'` shows where it comes from"
    )

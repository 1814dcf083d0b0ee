"""Whether committed results are those of the committed code, configuration and data (`nox -s fresh`).

    python -m core.report.fresh

The profile of params.yaml must be up to date. Another one may be older; then the pages must say so.
"""

from __future__ import annotations

import subprocess
import sys

from core.report.tables import wrong_note
from core.run.code import REPOSITORY
from core.run.made_from import older, profiles_of
from core.run.pipeline import dvc_files


def main() -> int:
    """Command line: 0, or 1 with what is stale and what to do."""
    problems = []
    targets = [f"{file.relative_to(REPOSITORY)}:code" for file in dvc_files(REPOSITORY)[1:]]
    dvc = [sys.executable, "-m", "dvc", "repro"]
    for command in ([*dvc, "-s", *targets], [*dvc, "--all-pipelines", "--allow-missing", "--dry"]):
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"dvc cannot read the pipelines:\n{done.stdout}{done.stderr}", file=sys.stderr)
            return 1
    stale = [line for line in done.stdout.splitlines() if "Running stage" in line]
    if stale:  # dvc itself exits with 0
        problems.append("stale, run `dvc repro --all-pipelines` and commit:\n" + "\n".join(stale))
    papers = [file.parent.name for file in dvc_files(REPOSITORY) if file.parent.parent.name == "projects"]
    for paper in papers:
        for profile in profiles_of(paper):
            found = older(paper, profile)
            if found is not None:
                print(found)
        if wrong := wrong_note(paper):
            problems.append(f"{wrong}: run `python -m core.report.tables {paper}` and commit")
    print("\n".join(problems) if problems else "every stage of the chosen profile is up to date")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

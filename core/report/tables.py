"""The join: the paper's own numbers beside ours, written to paper_tables/ as Markdown, CSV and LaTeX.

`python -m core.report.tables compa` writes every table and the claims of projects/compa; `--index` writes
the status page of all papers. The same inputs always give the same bytes. Score stages write their cells
through `core.report.cells`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from core.report.cells import PROFILES, SCALES, Cell, CellError, Items, read_cells, read_items
from core.report.claims import check_claim, printed_effect, read_claims
from core.report.join import join, wrong_averages
from core.report.pages import claims_csv, claims_markdown, table_csv, table_latex, table_markdown
from core.report.paper import Paper, PaperError, read_paper, read_reported
from core.report.typeset import markdown_table
from core.run.code import REPOSITORY
from core.run.files import write_text_atomic
from core.run.made_from import older, profiles_of
from core.run.pipeline import PipelineError
from core.run.source import CodeError
from core.run.strict_yaml import ConfigError


def write_paper_tables(root: Path, key: str, *, note: str = "", out: Path | None = None) -> list[Path]:
    """Write paper_tables/<key>/ from projects/<key>/ under `root`; return the files. Stale ones go.

    note: a paragraph for the head of every page. out: another folder to write to.
    """
    folder, target = root / "projects" / key, out or root / "paper_tables" / key
    paper = read_paper(folder)
    printed = {(r.table, r.row, r.column): r for r in read_reported(folder, paper=paper)}
    files: dict[str, str] = {}
    source = {name: table.cells_from or name for name, table in paper.tables.items()}
    results = {name: _results(folder, source[name]) for name in paper.tables}
    items = {name: _items(folder, source[name]) for name in paper.tables}
    for name in paper.tables:
        joined = join(paper, name, printed=printed, results=results[name], items=items[name])
        files[f"{name}.md"] = table_markdown(
            paper, name, joined, wrong_averages(paper, name, printed=printed), note=note
        )
        files[f"{name}.csv"] = table_csv(joined)
        files[f"{name}.tex"] = table_latex(paper, name, joined, note=note)
    claims = read_claims(folder, paper=paper)
    if claims:
        outcomes = {}
        for profile in SCALES:
            if any(profile in r for r in results.values()):
                outcomes[profile] = [
                    check_claim(
                        claim,
                        cells=results[claim.table].get(profile, {}),
                        items=items[claim.table].get(profile, {}),
                    )
                    for claim in claims
                ]
        effects = {claim.id: printed_effect(claim, printed) for claim in claims}
        files["claims.md"] = claims_markdown(paper, outcomes, effects, note=note)
        files["claims.csv"] = claims_csv(outcomes, effects)
    for old in target.glob("*") if target.is_dir() else ():
        if old.suffix in (".md", ".csv", ".tex") and old.name not in files:
            old.unlink()
    for filename, text in files.items():
        write_text_atomic(target / filename, text)
    return [target / filename for filename in files]


def age_note(key: str) -> str:
    """Which profiles' results of a paper are older than the code, as a paragraph; "" where none is."""
    old = [profile for profile in profiles_of(key) if older(key, profile)]
    if not old:
        return ""
    names = ", ".join(f"`{profile}`" for profile in old)
    told = "`nox -s fresh` says which stages changed since."
    return f"The numbers of profile {names} are older than the code; {told}"


def wrong_note(key: str) -> str:
    """What is wrong with how a paper's pages tell the age of their numbers; "" where nothing is."""
    note, page = age_note(key), REPOSITORY / "paper_tables" / key / "claims.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if note in text and (note or "are older than the code" not in text):
        return ""
    return f"the pages of {key} {'do not say' if note else 'still say'} that numbers are older than the code"


def write_index(root: Path) -> Path:
    """Write paper_tables/README.md: the state of every table of every paper under projects/."""
    folders = sorted(path.parent for path in (root / "projects").glob("*/paper.yaml"))
    papers = sorted(((read_paper(folder), folder) for folder in folders), key=lambda p: (p[0].year, p[0].key))
    if not papers:
        raise PaperError(
            f"{root / 'projects'} holds no paper.yaml; run this from the repository root or pass --root"
        )
    rows: list[list[str]] = []
    notes: list[str] = []
    for paper, folder in papers:
        rows += _index_rows(paper, folder)
        if paper.assumptions:
            lines = "".join(f"- {line}\n" for line in paper.assumptions)
            notes.append(f"### {paper.name}\n\n{lines}")
    header = ["Paper", "Table", "State", "Numbers printed", *(f"Cells run: {p}" for p in PROFILES)]
    text = (
        "# Tables\n\n"
        "All tables of all papers. Profiles `mini` and `recorded` train tiny models in a small world:\n"
        "compare their rows with each other, not with the paper's numbers. They get no verdict. In profile\n"
        "`paper` a number is *reproduced* when the printed value lies in our 95 % interval, or ours within\n"
        "the paper's own ±; otherwise it *differs*.\n\n"
        f"{markdown_table(header, rows, left=3)}\n"
        "## What the papers leave open, and what we took\n\n" + "\n".join(notes) + "\n"
        "Generated by `python -m core.report.tables --index`; edits are overwritten.\n"
    )
    path = root / "paper_tables" / "README.md"
    write_text_atomic(path, text)
    return path


def _index_rows(paper: Paper, folder: Path) -> list[list[str]]:
    printed = {(r.table, r.row, r.column): r for r in read_reported(folder, paper=paper)}
    built = paper.status == "built"
    rows = []
    for name, table in paper.tables.items():
        joined = join(paper, name, printed=printed, results=_results(folder, table.cells_from or name))
        state = "not built yet"
        if built:
            at_scale = Counter(j.status for j in joined if j.profile == "paper")
            state = "not run at paper scale"
            if at_scale["not run"] < at_scale.total():
                words = {"reproduced": "reproduced", "differs": "differ", "unreported": "unreported"}
                counts = [f"{at_scale[status]} {word}" for status, word in words.items() if at_scale[status]]
                state = ", ".join([*counts, f"{at_scale['not run']} not run"])
        ran = Counter(j.profile for j in joined if j.cell is not None)
        each = Counter(j.profile for j in joined)
        cells = [f"{ran[p]} of {each[p]}" if ran[p] else "–" for p in PROFILES]
        title = f"[{table.title}]({paper.key}/{name}.md)" if built else table.title
        rows.append([paper.name, title, state, str(sum(key[0] == name for key in printed)), *cells])
    if not rows:
        rows.append([paper.name, "–", paper.note or "no table", "–", *("–" for _ in PROFILES)])
    if built and (folder / "claims.yaml").is_file():
        state = f"{len(read_claims(folder, paper=paper))} claims, tested in every profile that was run"
        rows.append([paper.name, f"[Claims]({paper.key}/claims.md)", state, "–", *("–" for _ in PROFILES)])
    return rows


def _results(folder: Path, table: str) -> dict[str, dict[tuple[str, str], Cell]]:
    found = {}
    for profile in SCALES:
        if (folder / "results" / profile / f"{table}.json").is_file():
            found[profile] = read_cells(folder / "results" / profile, table)
    return found


def _items(folder: Path, table: str) -> dict[str, dict[tuple[str, str], Items]]:
    return {profile: read_items(folder / "results" / profile, table) for profile in SCALES}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m core.report.tables", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("papers", nargs="*", help="folders under projects/")
    parser.add_argument("--index", action="store_true", help="write paper_tables/README.md")
    parser.add_argument("--note", default="", help="a paragraph for the head of every page")
    parser.add_argument("--out", type=Path, help="write the pages of one paper to this folder instead")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository (default: here)")
    options = parser.parse_args(arguments)
    if not options.papers and not options.index:
        parser.error("name a paper, or --index")
    if options.out and len(options.papers) != 1:
        parser.error("--out takes the pages of one paper")
    try:
        for key in options.papers:
            note = options.note or age_note(key)
            files = write_paper_tables(options.root, key, note=note, out=options.out)
            print(f"{key}: {len(files)} files of tables and claims in {options.out or f'paper_tables/{key}'}")
        if options.index:
            print(write_index(options.root))
    except (ConfigError, CellError, PipelineError, CodeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

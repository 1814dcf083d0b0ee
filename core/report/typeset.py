"""Grids of strings as Markdown and LaTeX (booktabs)."""

from __future__ import annotations

from collections.abc import Sequence

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "–": "--",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "[": "{[}",  # behind \\ or a rule it would begin an optional argument
}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table; the first `left` columns are set flush left, the others flush right."""
    rule = ["---" if i < left else "---:" for i in range(len(header))]
    lines = [[markdown_escape(h) for h in header], rule, *([markdown_escape(c) for c in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown_escape(text: str) -> str:
    """Text of a cell or a list: no tag (a page drops <large>), no cell of its own."""
    return text.replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str, label: str) -> str:
    """A booktabs table float; every cell is escaped."""
    head = " & ".join(latex_escape(h) for h in header)
    body = "".join("    " + " & ".join(latex_escape(c) for c in row) + " \\\\\n" for row in rows)
    return (
        "\\begin{table}\n  \\centering\n"
        f"  \\caption{{{latex_escape(caption)}}}\n  \\label{{{label}}}\n"
        f"  \\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}\n    \\toprule\n"
        f"    {head} \\\\\n    \\midrule\n{body}    \\bottomrule\n"
        "  \\end{tabular}\n\\end{table}\n"
    )


def latex_escape(text: str) -> str:
    """Text as LaTeX shows it; control characters, which stop a compilation, are left out."""
    return "".join(_LATEX.get(c, c) for c in text if c >= " ")

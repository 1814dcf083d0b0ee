"""LaTeX of answers as plain text: boxes announced, environments, formatting and spacing taken away."""

from __future__ import annotations

import re

# \begin{array}{c|c}: what follows says how columns stand, and no letter of it is an answer.
_COLUMNS = r"array|tabular[xy*]?|longtable|subarray|alignedat|alignat\*?|minipage|multicols|wrapfigure"
_GROUP = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"  # with two more inside it
_ENVIRONMENT = re.compile(
    rf"\\begin\s*\{{\s*(?:{_COLUMNS})\s*\}}(?:\s*\[[^\[\]]*\])?(?:\s*{_GROUP}){{0,2}}"
    r"|\\(?:begin|end)\s*\{[^{}]*\}"
)
# Commands whose first argument is no text: colours, lengths, labels, what is only left blank.
_HIDDEN = re.compile(
    r"\\(?:textcolor|color|colorbox|h?phantom|vphantom|[hv]space\*?|label|tag\*?|ref|eqref|fontsize|raisebox|"
    r"setlength|rule|cline|multicolumn\s*\{[^{}]*\})\s*(?:\[[^\[\]]*\])?\s*\{[^{}]*\}"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_FORMATTED = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|sc|sl|up|md|normal)?|math(?:rm|bf|it|sf|tt|bb|cal|frak|scr|normal)|mbox|hbox|fbox|"
    r"emph|underline|overline|operatorname\*?|boldsymbol|bm|pmb|ensuremath|framebox|boxed|rm|bf|it|sf|tt)"
    r"\s*\{([^{}]*)\}"
)
_DOLLARS = re.compile(r"\$\$?\s*(\(?[A-Za-z]\)?[.,]?)\s*\$\$?")
_SYMBOLS = (
    (re.compile(r"\\\\|\\(?:newline|cr)\b"), "\n"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\^?\s*\{?\\sharp\b\s*\}?"), "#"),
    (re.compile(r"\^?\s*\{?\\flat\b\s*\}?"), "b"),
    (re.compile(r"\\times\b|\\cdot\b"), "×"),
    (re.compile(r"\\([%$#&_{}])"), r"\1"),
    (
        re.compile(r"\\[,;:!> ]|~|\\q?quad\b|\\[()\[\]]|\\(?:left|right|[bB]ig+[lr]?)\b(?:\.|(?=[()\[\]|]))"),
        " ",
    ),
)
_COMMAND = re.compile(r"\\[A-Za-z]+\*?\s?")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)|\\boxed\s+(?=[A-Za-z0-9])")


def plain_latex(text: str) -> str:
    """A text without its LaTeX; what stands in \\boxed{} as "Final answer: ..." on a line of its own."""
    if "\\begin" in text:
        text = _ENVIRONMENT.sub(" ", text).replace("\\&", "＆").replace("&", " ")
    text = _boxes(_HIDDEN.sub(" ", text))
    for _ in range(4):  # as deep as formats are nested
        new = _FRACTION.sub(r"\1/\2", _FORMATTED.sub(r"\1", text))
        if new == text:
            break
        text = new
    text = _DOLLARS.sub(r"\1", text)
    return _symbols(text) if "\\" in text else text


def _boxes(text: str) -> str:
    """Every box written out; one that never ends is left as it is."""
    ends = _closing(text) if _BOX.search(text) else {}
    done, place = [], 0
    for box in _BOX.finditer(text):
        if box.start() < place:  # a box in a box
            continue
        opening = box.end()
        if text[opening] == "{":
            end = ends.get(opening)
            if end is None:
                continue
            inside, after = _inside(text[opening + 1 : end]), end + 1
        else:
            inside, after = text[opening], opening + 1
        done += [text[place : box.start()].rstrip("$"), f"\nFinal answer: {inside}\n"]
        place = after + len(text[after : after + 2]) - len(text[after : after + 2].lstrip("$"))
    return "".join((*done, text[place:]))


def _inside(text: str) -> str:
    """A box's content on one line, without braces, which inside LaTeX only group."""
    for _ in range(4):
        text = _FRACTION.sub(r"\1/\2", _FORMATTED.sub(r"\1", text))
    text = _COMMAND.sub(" ", _symbols(text).replace("\n", " "))
    text = text.translate(_NO_BRACES).strip()
    return text.strip("$").strip() if text[:1] == text[-1:] == "$" else text


def _symbols(text: str) -> str:
    for pattern, sign in _SYMBOLS:
        text = pattern.sub(sign, text)
    return text


_NO_BRACES = str.maketrans({"{": " ", "}": " "})


def _closing(text: str) -> dict[int, int]:
    """Where each brace that opens is closed."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for brace in re.finditer(r"(?<!\\)[{}]", text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            ends[opened.pop()] = brace.start()
    return ends

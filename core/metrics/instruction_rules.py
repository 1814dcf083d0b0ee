"""What the 27 rule types of MMAU-Pro measure in a text.

`release` reads as the benchmark's script does; core.metrics.instruction_following says where that differs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def include_keywords(text: str, keywords: Sequence[str]) -> bool:
    """Every keyword occurs, in any case, also inside a word."""
    return all(word.lower() in text.lower() for word in keywords)


def forbidden_words(text: str, words: Sequence[str]) -> bool:
    """No word occurs, in any case, not even inside another."""
    return not any(word.lower() in text.lower() for word in words)


def keyword_frequency(text: str, keyword: str, *, release: bool = False) -> int:
    """How often a keyword stands as whole words, in any case."""
    before, behind = (r"\b", r"\b") if release else (r"(?<!\w)", r"(?!\w)")
    return len(re.findall(before + re.escape(keyword.lower()) + behind, text.lower()))


def paragraphs(text: str) -> int:
    """Paragraphs, which *** separates; blank ones do not count."""
    return sum(bool(part.strip()) for part in text.split("***"))


def words(text: str) -> int:
    """Words: what white space separates."""
    return len(text.split())


def capital_words(text: str) -> int:
    """Words without a lower-case letter and with an upper-case one ("I", "DOG,")."""
    return sum(word.isupper() for word in text.split())


def postscript(text: str, marker: str, *, release: bool = False) -> bool:
    """The marker, such as "P.S.", occurs; case and punctuation do not matter."""
    if release:
        return _letters(marker) in _letters(text)
    letters = [char for char in marker if char.isalnum()]
    if not letters:
        return marker.strip() in text
    spelled = r"\W*".join(map(re.escape, letters))
    return bool(re.search(rf"(?<![^\W_]){spelled}(?![^\W_])", text, re.IGNORECASE))


def placeholders(text: str) -> int:
    """Placeholders such as [address]."""
    return len(re.findall(r"\[[^\]]+\]", text))


def bullets(text: str) -> int:
    """Lines that begin with "* "."""
    return len(re.findall(r"(?:\A|\n)\s*\*\s+", text))


def title(text: str, *, release: bool = False) -> bool:
    """A title such as <<Rain at night>>."""
    found = re.findall(r"<<([^>]+)>>", text) if ">>" in text else []  # "<<<<<..." would take seconds
    return bool(found) if release else any(one.strip() for one in found)


def highlights(text: str, *, release: bool = False) -> int:
    """Parts in *asterisks*."""
    if release:
        return len(re.findall(r"\*[^*]+\*", text))
    return len(re.findall(r"\*{1,2}(?=[^\s*])[^*\n]*[^\s*]\*{1,2}|\*{1,2}[^\s*]\*{1,2}", text))


def sections(text: str, splitter: str, *, release: bool = False) -> int:
    """Parts with text between the splitters; what stands before the first counts as one.

    release: blanks at the ends of the splitter must be there too: " - " does not split "a-b".
    """
    if release:
        parts = re.split(rf"\s*{re.escape(splitter)}\s*", text.strip())
    else:
        parts = text.split(splitter.strip() or splitter)
    return sum(bool(part.strip()) for part in parts)


def repeats_prompt(text: str, prompt: str) -> bool:
    """The answer begins with the whole prompt, in any case."""
    return text.strip().lower().startswith(prompt.strip().lower())


def two_responses(text: str, *, release: bool = False) -> bool:
    """Two different responses with ****** between them."""
    parts = [part.strip().lower() for part in text.split("******")]
    return len(parts) == 2 and parts[0] != parts[1] and (release or all(parts))


def starts_with(text: str, phrase: str, *, release: bool = False) -> bool:
    """The answer begins with the phrase; case and punctuation do not matter."""
    if release:
        return _latin(text).startswith(_latin(phrase))
    said, wanted = _words_of(text), _words_of(phrase)
    return said[: len(wanted)] == wanted if wanted else text.strip().startswith(phrase.strip())


def ends_with(text: str, phrase: str, *, release: bool = False) -> bool:
    """The answer ends with the phrase; case and punctuation do not matter."""
    if release:
        return _latin(text).endswith(_latin(phrase))
    said, wanted = _words_of(text), _words_of(phrase)
    return said[-len(wanted) :] == wanted if wanted else text.strip().endswith(phrase.strip())


def quoted(text: str, *, release: bool = False) -> bool:
    """The whole answer stands in double quotation marks."""
    text = text.strip()
    if release:
        return text.startswith('"') and text.endswith('"')
    return len(text) > 2 and (text[0], text[-1]) in {('"', '"'), ("“", "”"), ("„", "“")}


def no_commas(text: str) -> bool:
    """No comma anywhere."""
    return "," not in text


def _letters(text: str) -> str:
    return re.sub(r"[^a-zA-Z]", "", text).lower()


def _latin(text: str) -> str:
    return re.sub(r"[^a-zA-Z ]", "", text).lower()


def _words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())

"""Which release a file of MMAU's test-mini is: by its SHA-256, else by what was counted in the releases.

`mmau-test-mini.json` was rewritten in place many times under one name, as the history of
github.com/Sakshi113/MMAU shows; "v05.15.25" names eleven of its files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

COUNTS = {"test-mini": 1000, "test": 9000}
_FIRST = "of October 2024 to March 2025"
_BROKEN = "v05.15.25 before its corrections"
_LATER = "v05.15.25, corrected since"
# SHA-256 -> when it was published, and what it is
PUBLISHED: Mapping[str, tuple[str, str]] = {
    "bef649e4bdeb436779a929ccdb9caa3f5144899bd087fc05e23065268ba888cc": ("2024-10-23", _FIRST),
    "a5006730ccb3fbf1fc72016774413b9b4a596bb00ce8f37796d9d30979b46192": ("2024-10-25", _FIRST),
    "1b6d31d0b70c2944a064a5de0147435427af0bcd3167eff175daa8bd5321e9d3": ("2024-10-29", _FIRST),
    "850c2794664d53c1f7e7e2bcf35744b9ab4e60debad2156d67efd6956220affa": ("2024-12-09", _FIRST),
    "ed2fd6b6c24ebec1a5a496de5d767e7ebfe79556044d8f0d8bd00ad0cf02d623": ("2025-01-28", _FIRST),
    "e8cc09223b497191781756212cb616315690aaa6ea7ac359db1b65d97d1e2433": ("2025-03-25", _FIRST),
    "d35ec10bc3097fc605661b0eed00a487da74a6e7d9e23736567312c632347400": ("2025-05-15", _BROKEN),
    "9da96f00e43890adfbac3628b7b0dab3a32a6d6ec2d0a800b892ee261d35b818": ("2025-05-16", _BROKEN),
    "ea9f3f53085a2dfcf9ea7f5b2fca76a6634cd212af084bbb4cd8bf22c8903537": ("2025-05-16", _BROKEN),
    "cafecebbb4e48b9eb83fd88916911a853245379812e08f118984510340b2dc5b": ("2025-05-18", _LATER),
    "cc59d9e3fad1a675f311f341b53b05079b94e735e5bc8992ac881ebeda2976f5": ("2025-05-19", _LATER),
    "157f1968a686c9e7ffb3669e13296349af72afe78af19c049e5d459ccb59d402": ("2025-05-22", _LATER),
    "e0042de8b99492539b0a17997b6c12fff90a6d42a47ad5fd8801c80dcb52b405": ("2025-05-24", _LATER),
    "0bbabee60dcbd76815948394ac2dd31c41d18ab1215fe6fd6f93e0e510f78d7a": ("2025-05-30", _LATER),
    "5c63fe8f2de12e848be146e48436567c2022fe84ea0012da560003c30a24b2b7": ("2025-06-23", _LATER),
    "3940399a013d5f6d528ad4f5d1701cce29cdb5b19ccd4e6ab2800e0665dd6ac9": ("2025-06-23", _LATER),
    "9f18fda99f8dbc2bc5ecd6323fb5063309f54969810b5c6f1caeb3b8d904cf1c": ("2025-08-09", "current"),
}
# Items a skill in the files of 19 May 2025 and after; those before have 153 of stress patterns
CURRENT = {
    "Eco-Acoustic Knowledge": 47,
    "Sound-Based Event Recognition": 46,
    "Acoustic Source Inference": 48,
    "Event-Based Sound Reasoning": 48,
    "Ambient Sound Interpretation": 48,
    "Acoustic Scene Reasoning": 48,
    "Temporal Event Reasoning": 48,
    "Rhythm and Tempo Understanding": 46,
    "Instrumentation": 35,
    "Musical Texture Interpretation": 34,
    "Melodic Structure Interpretation": 33,
    "Harmony and Chord Progressions": 33,
    "Temporal Reasoning": 56,
    "Musical Genre Reasoning": 34,
    "Emotional Tone Interpretation": 33,
    "Socio-cultural Interpretation": 20,
    "Lyrical Reasoning": 10,
    "Phonological Sequence Decoding": 49,
    "Phonemic Stress Pattern Analysis": 53,
    "Emotion State summarisation": 44,
    "Dissonant Emotion Interpretation": 35,
    "Event-Based Knowledge Retrieval": 33,
    "Counting": 29,
    "Multi Speaker Role Mapping": 27,
    "Conversational Fact Retrieval": 22,
    "Key highlight Extraction": 21,
    "Emotion Flip Detection": 20,
}
_OLD_STRESS = 153
_MANY_OUTSIDE = 100  # 146 or 147 in the three files of 15 and 16 May 2025, none in any other


def version_of(items: Sequence[Mapping[str, Any]], *, outside: int = 0, sha256: str = "") -> str:
    """Which release the questions are. outside: answers not among the choices; sha256: of the file, if it is
    one.

    "current" is the published file of 2025-08-09 and no other; what only counts tell says so.
    """
    if sha256 in PUBLISHED:
        date, what = PUBLISHED[sha256]
        told = f" ({outside} answers are not among the choices)" if outside else ""
        return what if what == "current" else f"{what}{told}, the file published on {date}"
    skills = Counter(item["sub-category"] for item in items)
    split = items[0]["split"]
    if split == "test":
        return f"test, {len(items)} of {COUNTS['test']} items" if len(items) != COUNTS["test"] else "test"
    if len(items) != COUNTS["test-mini"]:
        return f"part of it, {len(items)} of {COUNTS['test-mini']} items"
    stress = skills["Phonemic Stress Pattern Analysis"]
    if stress == _OLD_STRESS and outside >= _MANY_OUTSIDE:
        return f"by its counts {_BROKEN} ({outside} answers are not among the choices)"
    if stress == _OLD_STRESS:
        return "by its counts one of October 2024 to 18 May 2025, since replaced"
    if dict(skills) == CURRENT and not outside:
        return "no published file, but as many items of each skill as in the current one"
    return f"unknown ({outside} answers are not among the choices)" if outside else "unknown"

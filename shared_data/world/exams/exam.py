"""A mini MMAU: items of every skill drawn and rendered to rows of the official columns.

An item depends on the seed, its skill, the split and its number alone (and on what it would repeat), so a
larger exam, or one with other skills, keeps the items of a smaller one. Skills that cannot be made here, for
want of a synthetic voice, are left out with their reason.
"""

from __future__ import annotations

import json
import uuid
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from core.audio.read import write_flac
from core.data.choices import SKILLS
from shared_data.world.exams import sound
from shared_data.world.exams.item import DIFFICULTIES, Difficulty, Draft, ItemError, Maker, World, check_sound
from shared_data.world.music import makers as music
from shared_data.world.speech import espeak
from shared_data.world.speech import makers as speech

SHARES = (0.25, 0.5, 0.25)  # of easy, medium, hard; in MMAU's file of 1,000 they are 22, 54, 24 %
DATASET = "synthetic"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "core.skills")
_TRIES = 20


class SkillsAbsentError(ItemError):
    """Skills that do not exist, or none of those asked for can be made here."""


class SkillsAbsentWarning(UserWarning):
    """Some of the skills asked for cannot be made here; the exam goes on without them."""


def makers() -> tuple[dict[str, Maker], dict[str, str]]:
    """The makers of all skills that can be made here, in the official order, and why others cannot."""
    voiceless = espeak.why_absent()
    found: dict[str, Maker] = {}
    absent: dict[str, str] = {}
    for domain, module in {"sound": sound, "music": music, "speech": speech}.items():
        names = [name for name, skill in SKILLS.items() if skill.domain == domain]
        # Songs have words too.
        silent = [name for name in names if domain == "speech" or name == "Lyrical Reasoning"]
        absent |= dict.fromkeys(silent if voiceless else (), voiceless or "")
        if strange := sorted({*module.MAKERS, *module.UNBUILT} - set(names)):
            raise SkillsAbsentError(f"shared_data.world makes {strange}: no {domain} skills of MMAU")
        for name in names:
            if name in absent:
                continue
            if name in module.MAKERS:
                found[name] = module.MAKERS[name]
            else:
                absent[name] = module.UNBUILT.get(name, "shared_data.world has no maker of it")
    order = [name for name in SKILLS if name in found]
    return {name: found[name] for name in order}, {n: absent[n] for n in SKILLS if n in absent}


def levels(n: int, *, shares: Sequence[float] = SHARES) -> tuple[Difficulty, ...]:
    """The difficulties of items 0 to n - 1: each takes the one that is furthest behind its share.

    So a longer list begins with the shorter one, and each count is within one of its share.
    """
    if n < 0 or len(shares) != len(DIFFICULTIES) or min(shares) < 0 or not sum(shares) > 0:
        raise ItemError(f"{n} items by shares {tuple(shares)}: three shares of at least 0, not all 0")
    whole = sum(map(Fraction, shares))
    counts = [0, 0, 0]
    found = []
    for number in range(n):
        behind = [Fraction(share) * (number + 1) / whole - count for share, count in zip(shares, counts)]
        place = behind.index(max(behind))
        counts[place] += 1
        found.append(DIFFICULTIES[place])
    return tuple(found)


def draw(
    world: World,
    *,
    skills: Sequence[str],
    n: Mapping[str, int],
    seed: int,
    shares: Sequence[float] = SHARES,
) -> Iterator[Draft]:
    """`n[skill]` drafts of each skill, all different, in a random order; nothing is rendered.

    Difficulties have the `shares` of each skill's items. Skills that cannot be made here are left out
    under a SkillsAbsentWarning with the reasons; SkillsAbsentError for unknown ones and when none is left.
    """
    if unknown := sorted({*skills} - set(SKILLS)) or sorted({*skills} - set(n)):
        raise SkillsAbsentError(f"no such skill of MMAU, or no number of items for it: {', '.join(unknown)}")
    built, absent = makers()
    if left := [name for name in skills if name in absent]:
        reasons = "; ".join(sorted({f"{name}: {absent[name]}" for name in left}))
        if len(left) == len(set(skills)):
            raise SkillsAbsentError(f"none of the skills can be made here. {reasons}")
        warnings.warn(f"{len(left)} skills are left out. {reasons}", SkillsAbsentWarning, stacklevel=2)
    order = [
        (name, level, number)
        for name in dict.fromkeys(skills)
        if name in built
        for number, level in enumerate(levels(n[name], shares=shares))
    ]
    seen: set[tuple[object, ...]] = set()
    for place in np.random.default_rng([seed, 1]).permutation(len(order)):
        name, level, number = order[int(place)]
        yield _fresh(name, level, number, seed=seed, world=world, make=built[name], seen=seen)


def rows(
    world: World,
    *,
    skills: Sequence[str],
    n: Mapping[str, int],
    seed: int,
    sample_rate: int,
    split: Literal["train", "test-mini", "test"],
    shares: Sequence[float] = SHARES,
) -> Iterator[tuple[dict[str, Any], str]]:
    """Rendered items: a row of `core.data.schema.MMAU` (audio as FLAC bytes) and its facts in words.

    Ids are made of the item's content and the split. Raises ItemError where the split's world is another
    one, or a sound breaks the rules of `shared_data.world.exams.item.check_sound`.
    """
    if (split == "train") != (world.split == "train"):
        raise ItemError(f"rows of split {split!r} cannot be made of a {world.split} world")
    for draft in draw(world, skills=skills, n=n, seed=seed, shares=shares):
        yield row(draft, sample_rate=sample_rate, split=split), draft.facts


def row(draft: Draft, *, sample_rate: int, split: str) -> dict[str, Any]:
    """Render one draft to a row of `core.data.schema.MMAU`."""
    name = item_id(draft, split=split)
    sound = check_sound(
        draft.sound(sample_rate), sample_rate=sample_rate, what=f"{draft.skill} ({draft.difficulty}) {name}"
    )
    skill = SKILLS[draft.skill]
    return {
        "id": name,
        "audio": {"bytes": write_flac(sound, sample_rate, name=name), "path": f"{name}.flac"},
        "question": draft.question,
        "choices": list(draft.choices),
        "answer": draft.answer,
        "dataset": DATASET,
        "task": skill.domain,
        "split": split,
        "category": skill.type,
        "sub-category": draft.skill,
        "difficulty": draft.difficulty,
        "clips": list(dict.fromkeys(draft.clips)),
    }


def item_id(draft: Draft, *, split: str) -> str:
    """A UUID of the split and of all that a draft says (not of its samples)."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([split, *map(str, _content(draft))])))


def _content(draft: Draft) -> tuple[object, ...]:
    return (
        draft.skill,
        draft.difficulty,
        draft.question,
        draft.choices,
        draft.answer,
        draft.facts,
        draft.clips,
    )


def _fresh(
    name: str,
    level: Difficulty,
    number: int,
    *,
    seed: int,
    world: World,
    make: Maker,
    seen: set[tuple[object, ...]],
) -> Draft:
    """A draft that is not yet in `seen`, and is from then on."""
    key = zlib.crc32(f"{name}/{world.split}".encode())
    for attempt in range(_TRIES):
        draft = make(np.random.default_rng([seed, key, number, attempt]), level, world)
        if (draft.skill, draft.difficulty) != (name, level):
            raise ItemError(f"the maker of {name!r} ({level}) made {draft.skill!r} ({draft.difficulty})")
        content = _content(draft)
        if content not in seen:
            seen.add(content)
            return draft
    raise ItemError(f"{name} ({level}): {_TRIES} draws gave nothing new; ask for fewer items of this skill")

"""A mini MMAU-Pro: closed, multi-audio, long, open and instruction-following items in the official columns.

MMAU-Pro: AAAI 2026, arXiv 2508.13992. Five groups of items, mixed in a random order, since a prefix of a data
set must not be of one kind:

    closed         items of MMAU's skills, as shared_data.world.exams.exam draws them, one skill after the
    other multi          two or three recordings (shared_data.world.exams.pro_several)
    long           30 to 58 seconds (shared_data.world.exams.pro_long); their category is sound
    open           a recording to be described; the reference is the truth in words
    instructions   the same with an instruction that a rule checks
    (shared_data.world.exams.pro_instructions); no answer

Lengths are our own division: short below 10 s, medium below 30 s, long from there on, by the longest
recording of an item. An item depends on the seed, its group, the split, its number and the skills that can be
made.
"""

from __future__ import annotations

import json
import uuid
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from core.audio.read import write_flac
from core.data.choices import SKILLS
from shared_data.world.exams.exam import SkillsAbsentWarning, makers
from shared_data.world.exams.item import DIFFICULTIES, Draft, ItemError, Maker, Rng, Sound, World, pick
from shared_data.world.exams.layout import Played, tell
from shared_data.world.exams.pro_instructions import TASKS, draw_instruction
from shared_data.world.exams.pro_long import LENGTHY
from shared_data.world.exams.pro_plan import carry_out
from shared_data.world.exams.pro_several import SEVERAL

Group: TypeAlias = Literal["closed", "multi", "long", "open", "instructions"]
COUNTS: Mapping[Group, int] = {"closed": 27, "multi": 10, "long": 6, "open": 8, "instructions": 9}
UNBUILT: Mapping[str, str] = {
    "spatial_audio": "needs recordings with more than one channel; these are mono",
    "voice_chat": "its questions are spoken and its answers judged as conversation",
    "sound_speech, sound_music, music_speech, sound_music_speech": "no maker asks about two domains at once",
}
DESCRIBE = (
    "Describe this recording in one or two sentences.",
    "What happens in this recording? Answer in a sentence or two.",
    "Say briefly all that can be heard, in order.",
)
ABOUT_COMPARING, ABOUT_ORDER = "Sound-Based Event Recognition", "Temporal Event Reasoning"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "core.skills.pro")  # whatever this module is called: ids stay
_TRIES = 20
_SHORT, _MEDIUM = 10.0, 30.0  # seconds


@dataclass(frozen=True, kw_only=True)
class ProDraft:
    """An item before it is rendered. answer is None where a rule checks the text; skill is MMAU's name of
    what it takes. facts: the truth in words of all its recordings."""

    group: Group
    category: str
    sub: str
    skill: str
    question: str
    choices: tuple[str, ...]
    answer: str | None
    sounds: tuple[Sound, ...] = field(repr=False)
    facts: str
    clips: tuple[str, ...]
    task: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def draw(world: World, *, n: Mapping[Group, int] = COUNTS, seed: int) -> Iterator[ProDraft]:
    """`n[group]` drafts of each group, all different, in a random order; nothing is rendered.

    Skills that cannot be made here are left out under a SkillsAbsentWarning with the reasons; the closed
    items are then of the others. Raises ItemError for an unknown group.
    """
    if unknown := sorted({*n} - {*COUNTS}):
        raise ItemError(f"no such group: {', '.join(unknown)}; there are {', '.join(COUNTS)}")
    built, absent = makers()
    if absent:
        reasons = "; ".join(sorted(set(absent.values())))
        warnings.warn(f"{len(absent)} skills are left out. {reasons}", SkillsAbsentWarning, stacklevel=2)
    order = [(group, number) for group in COUNTS for number in range(n.get(group, 0))]
    seen: set[tuple[object, ...]] = set()
    for place in np.random.default_rng([seed, 2]).permutation(len(order)):
        group, number = order[int(place)]
        yield _fresh(group, number, seed=seed, world=world, built=built, seen=seen)


def rows(
    world: World, *, n: Mapping[Group, int] = COUNTS, seed: int, sample_rate: int
) -> Iterator[tuple[dict[str, Any], str]]:
    """Rendered items: a row of core.data.schema.MMAU_PRO (audio as FLAC bytes) and its facts in words."""
    for draft in draw(world, n=n, seed=seed):
        yield row(draft, sample_rate=sample_rate), draft.facts


def row(draft: ProDraft, *, sample_rate: int) -> dict[str, Any]:
    """Render one draft to a row of core.data.schema.MMAU_PRO."""
    name = str(uuid.uuid5(_NAMESPACE, json.dumps([*map(str, _content(draft))])))
    sounds = [sound(sample_rate) for sound in draft.sounds]
    if any(not np.isfinite(sound).all() or not np.abs(sound).max() > 0.1 for sound in sounds):
        raise ItemError(f"{draft.group} item {name}: a recording is silent or not finite: {draft.clips}")
    seconds = max(map(len, sounds)) / sample_rate
    extraction = SKILLS[draft.skill].type == "Information Extraction"
    names = [name] if len(sounds) == 1 else [f"{name}-{number}" for number in range(1, len(sounds) + 1)]
    return {
        "id": name,
        "audios": [
            {"bytes": write_flac(sound, sample_rate, name=part), "path": f"{part}.flac"}
            for sound, part in zip(sounds, names)
        ],
        "question": draft.question,
        "answer": draft.answer,
        "choices": list(draft.choices),
        "length_type": "short" if seconds < _SHORT else "medium" if seconds < _MEDIUM else "long",
        "perceptual_skills": [draft.skill] if extraction else [],
        "reasoning_skills": [] if extraction else [draft.skill],
        "category": draft.category,
        "transcription": "",
        "task_classification": draft.group,
        "task_identifier": draft.task,
        "kwargs": json.dumps(dict(draft.kwargs), sort_keys=True),
        "sub-cat": draft.sub,
        "clips": list(dict.fromkeys(draft.clips)),
    }


def _fresh(
    group: Group,
    number: int,
    *,
    seed: int,
    world: World,
    built: Mapping[str, Maker],
    seen: set[tuple[object, ...]],
) -> ProDraft:
    """A draft that is not yet in `seen`, and is from then on."""
    key = zlib.crc32(f"{group}/{world.split}".encode())
    for attempt in range(_TRIES):
        draft = _make(
            group, number, np.random.default_rng([seed, key, number, attempt]), world, built, seed=seed
        )
        content = _content(draft)
        if content not in seen:
            seen.add(content)
            return draft
    raise ItemError(f"{group}: {_TRIES} draws gave nothing new; ask for fewer items of this group")


def _make(
    group: Group, number: int, rng: Rng, world: World, built: Mapping[str, Maker], *, seed: int
) -> ProDraft:
    if group in ("multi", "long"):
        return _planned(group, number, rng, world)
    # every skill comes before one comes again, in an order of the seed and the group
    order = np.random.default_rng([seed, zlib.crc32(group.encode())]).permutation(len(built))
    skill = list(built)[int(order[number % len(built)])]
    draft = built[skill](rng, pick(rng, DIFFICULTIES), world)
    if group == "closed":
        return _taken(group, draft, category=SKILLS[skill].domain, choices=draft.choices, answer=draft.answer)
    if group == "open":
        return _taken(group, draft, category="open", question=pick(rng, DESCRIBE), answer=draft.facts)
    tasks = np.random.default_rng([seed, 3]).permutation(len(TASKS))
    told = draw_instruction(rng, TASKS[int(tasks[number % len(TASKS)])])
    return _taken(
        group,
        draft,
        category="instruction following",
        question=told.question,
        task=told.task,
        kwargs=told.kwargs,
    )


def _taken(
    group: Group,
    draft: Draft,
    *,
    category: str,
    question: str | None = None,
    choices: tuple[str, ...] = (),
    answer: str | None = None,
    task: str = "",
    kwargs: Mapping[str, Any] | None = None,
) -> ProDraft:
    """An item with the recording of a draft."""
    return ProDraft(
        group=group,
        category=category,
        sub=task or draft.skill,
        skill=draft.skill,
        question=question or draft.question,
        choices=choices,
        answer=answer,
        sounds=(draft.sound,),
        facts=draft.facts,
        clips=draft.clips,
        task=task,
        kwargs=kwargs or {},
    )


def _planned(group: Group, number: int, rng: Rng, world: World) -> ProDraft:
    """Text first, then a uniform gold, then the recordings."""
    planners = SEVERAL if group == "multi" else LENGTHY
    plan = planners[number % len(planners)](rng, world)
    gold = int(rng.integers(len(plan.options)))
    scenes = carry_out(plan, gold, rng)
    told = [tell(scene, world.bank) for scene in scenes]
    if len(told) > 1:
        told = [f"Recording {number}: {text}" for number, text in enumerate(told, start=1)]
    return ProDraft(
        group=group,
        category="multi" if group == "multi" else "sound",
        sub=plan.sub,
        skill=ABOUT_ORDER if plan.about_order else ABOUT_COMPARING,
        question=plan.question,
        choices=plan.options,
        answer=plan.options[gold],
        sounds=tuple(Played(scene, world.bank) for scene in scenes),
        facts=" ".join(told),
        clips=tuple(f"bank/{world.bank.clips[event.clip].id}" for scene in scenes for event in scene.events),
    )


def _content(draft: ProDraft) -> tuple[object, ...]:
    return (
        draft.group,
        draft.question,
        draft.choices,
        draft.answer,
        draft.facts,
        draft.clips,
        draft.task,
        json.dumps(dict(draft.kwargs), sort_keys=True),
    )

"""What is spoken in an item: speakers, lines, scripts; the truth about a script in words.

A task is a question with its options before anybody knows which is right. It writes a script for any of its
options, and says of any script and option whether the option is true of it. `draft` draws the right option
uniformly and refuses a script of which another option is true as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from core.scenes.phrasings import ADVERBS, ORDINALS
from shared_data.world.exams.item import (
    Difficulty,
    Draft,
    ItemError,
    Rng,
    Split,
    World,
    check,
    permuted,
    pick,
)
from shared_data.world.speech.espeak import VOICES, Kind
from shared_data.world.speech.prosody import Line, Script, Speaker, perform

NOISE_DB = 14.0  # speech over noise in the noisy items
APART = 11  # espeak's units of pitch; 50 are an octave
NUMBERS = ("one", "two", "three", "four", "five", "six")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question before its answer is drawn: `script(rng, gold)` makes `holds(script, gold)` true."""

    question: str
    options: tuple[str, ...]
    script: Callable[[Rng, str], Script]
    holds: Callable[[Script, str], bool]
    felt: bool = False  # the emotions belong to the truth, "calm" too


Text = Callable[[Rng, Difficulty, Split], Task]


def draft(rng: Rng, difficulty: Difficulty, world: World, *, skill: str, text: Text) -> Draft:
    """One item of a skill. Raises ItemError when the script makes more or less than the gold true."""
    task = text(rng, difficulty, world.split)
    gold = pick(rng, task.options)  # after the text and independent of it
    script = task.script(rng, gold)
    verify(task, script, gold)
    return check(
        Draft(
            skill=skill,
            question=task.question,
            choices=permuted(rng, task.options),
            answer=gold,
            difficulty=difficulty,
            sound=partial(perform, script),
            facts=describe(script, felt=task.felt),
            clips=provenance(script),
        )
    )


def verify(task: Task, script: Script, gold: str) -> None:
    """Raise ItemError unless the gold, and no other option, is true of the script."""
    true = [option for option in task.options if task.holds(script, option)]
    if true != [gold]:
        raise ItemError(
            f"{task.question!r}: {gold!r} should be the one true option of {describe(script)!r}, "
            f"but true are {true}"
        )


def cast(rng: Rng, split: Split, kinds: Sequence[Kind]) -> tuple[Speaker, ...]:
    """A speaker of each kind, at most two of one, with different voices.

    Of two, the lower voice is lowered and the higher one raised, so that they are at least a third apart.
    """
    chosen: list[Speaker] = []
    for kind in kinds:
        used = {speaker.voice for speaker in chosen}
        free = [voice for voice in VOICES[split] if voice.kind == kind and voice not in used]
        chosen.append(Speaker(voice=pick(rng, free)))
    for kind in {kind for kind in kinds if kinds.count(kind) > 1}:
        same = [place for place, speaker in enumerate(chosen) if speaker.voice.kind == kind]
        low, high = sorted(same, key=lambda place: chosen[place].voice.hertz)
        chosen[low] = replace(chosen[low], pitch=-APART)
        chosen[high] = replace(chosen[high], pitch=APART)
    return tuple(chosen)


def anyone(rng: Rng, split: Split) -> Speaker:
    """One speaker, man or woman with equal chances."""
    kinds: tuple[Kind, ...] = ("man", "woman")
    return cast(rng, split, [pick(rng, kinds)])[0]


def in_noise(rng: Rng, script: Script) -> Script:
    """The script with background noise of its own."""
    return replace(script, noise_db=NOISE_DB, seed=int(rng.integers(1 << 31)))


def describe(script: Script, *, felt: bool = False) -> str:
    """The script in words: who says what, how (where acted, or `felt`), what is stressed; noise."""
    names = _names(script)
    told: list[str] = []
    known: set[Speaker] = set()
    for place, line in enumerate(script.lines):
        again = place > 0 and script.lines[place - 1].speaker == line.speaker
        name = names[line.speaker]
        if again:
            who = "He" if line.speaker.voice.kind == "man" else "She"
        elif line.speaker in known or not name.startswith(("man", "woman")):
            who = f"The {name}"
        else:
            who = f"A {name}"
        known.add(line.speaker)
        how = f" {ADVERBS[line.emotion]}" if felt or line.emotion != "calm" else ""
        told.append(f'{who} {"adds" if again else "says"}{how}{_stressed(line)}: "{line.text}"')
    if script.noise_db is not None:
        told.append("There is background noise.")
    return " ".join(told)


def _names(script: Script) -> dict[Speaker, str]:
    """ "man" where there is one man, else "first man", "second man" in the order of speaking."""
    speakers = list(dict.fromkeys(line.speaker for line in script.lines))
    names: dict[Speaker, str] = {}
    for kind in ("man", "woman"):
        same = [speaker for speaker in speakers if speaker.voice.kind == kind]
        for number, speaker in enumerate(same):
            names[speaker] = kind if len(same) == 1 else f"{ORDINALS[number]} {kind}"
    return names


def _stressed(line: Line) -> str:
    if line.syllable is not None:
        return f", stressing the {ORDINALS[line.syllable]} syllable"
    words = [line.text.split()[index].strip(".,!?") for index in line.stressed]
    return ", stressing " + " and ".join(words) if words else ""


def provenance(script: Script) -> tuple[str, ...]:
    """One id per line: the voice and a hash of what it says."""
    return tuple(
        f"voice/{line.speaker.voice.name}/{hashlib.sha256(line.text.encode()).hexdigest()[:12]}"
        for line in script.lines
    )

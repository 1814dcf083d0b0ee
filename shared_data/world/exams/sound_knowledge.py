"""Sound items that need knowledge: animals, sources, backgrounds, places (see
`shared_data.world.exams.sound`)."""

from __future__ import annotations

from collections.abc import Mapping

from core.scenes.timeline import Scene, overlaps
from shared_data.world.exams.common_knowledge import (
    ACTIVITIES,
    BACKGROUNDS,
    CONFUSED,
    GROUPS,
    NATURE,
    NEUTRAL,
    PLACES,
    SOURCES,
    Setting,
)
from shared_data.world.exams.item import Difficulty, ItemError, Rng, World, permuted, pick
from shared_data.world.exams.layout import Part, Step, front, in_turn, is_bed, lay_out
from shared_data.world.exams.plan import Plan, draw, family, heard, known, phrase, phrases

QUIET, MIDDLE, NOISY = (-40.0, -30.0), (-28.0, -22.0), (-22.0, -16.0)  # background noise, dB
NOISE: dict[str, tuple[float, float]] = {"easy": QUIET, "medium": MIDDLE, "hard": NOISY}

ANIMAL = (
    "Which animal is heard?",
    "Which animal makes the call in this recording?",
    "What animal can you hear?",
)
TRAIT = (
    "Which description fits the animal in the recording?",
    "What kind of animal is calling here?",
    "What is true of the animal that is heard?",
)
GROUP = (
    "Which group does the animal in the recording belong to?",
    "The caller in this recording is which kind of animal?",
    "How would a biologist class the animal that is heard?",
)
ELEMENT = (
    "What goes on in nature around the animal?",
    "Which natural process is heard besides the animal?",
    "What does nature do in this recording?",
)
DURING = (
    "Which animal is heard while {}?",
    "Which animal calls at the same time as {}?",
    "Whose call overlaps with {}?",
)


def eco_acoustic(rng: Rng, difficulty: Difficulty, world: World) -> Plan:
    """Animals, their groups and traits, and what nature does around them."""
    animals = known(world, "animal")
    nature = [label for label in NATURE if label in world.by_label]
    groups = {name: [a for a in animals if SOURCES[a].group == name] for name in GROUPS}
    kinds = {"easy": ["animal", "element"], "medium": ["trait", "element"], "hard": ["during"]}[difficulty]
    if all(groups.values()) and difficulty != "hard":
        kinds.append("group")
    kind = pick(rng, kinds)
    if kind == "group":
        keys = permuted(rng, GROUPS)
        options = keys
    elif kind == "element":
        keys = draw(rng, nature, 4, world)
        options = phrases(keys, world)
    else:
        keys = draw(rng, animals, 4, world)
        options = tuple(SOURCES[key].riddle if kind == "trait" else SOURCES[key].name for key in keys)
    anchor = pick(rng, nature)
    others = draw(rng, known(world, "traffic", "device", "person"), 2, world)
    animal = pick(rng, animals)
    table = {"animal": ANIMAL, "trait": TRAIT, "group": GROUP, "element": ELEMENT, "during": DURING}[kind]
    template = pick(rng, table)
    question = template.format(phrase(anchor, world, 2 if "while" in template else 1))

    def lay(gold: int, rng: Rng) -> Scene:
        if kind == "during":
            steps: list[Step] = in_turn(permuted(rng, [key for key in keys if key != keys[gold]]))
            steps.insert(int(rng.integers(4)), (Part(anchor, -3.0, (1.6, 2.2)), Part(keys[gold])))
            return lay_out(rng, world, steps, noise_db=QUIET)  # noise would sound like more of the anchor
        if kind == "element":
            beside = [animal, others[0]] if difficulty == "medium" else [animal]
            steps = in_turn(permuted(rng, [keys[gold], *beside]))
            return lay_out(rng, world, steps, noise_db=QUIET)
        target = pick(rng, groups[keys[gold]]) if kind == "group" else keys[gold]
        if difficulty == "easy":
            return lay_out(rng, world, in_turn([target]), noise_db=QUIET)
        steps = in_turn(permuted(rng, [target, anchor, others[0]]))
        return lay_out(rng, world, steps, noise_db=MIDDLE)

    def holds(key: str, scene: Scene) -> bool:
        spans = front(scene).spans
        if kind == "group":
            return any(label in spans for label in groups[key])
        if kind == "during":
            return overlaps(spans[key], spans[anchor])
        return key in spans

    return Plan(question=question, options=options, keys=keys, lay=lay, holds=holds)


SOURCE = (
    "What most likely made this sound?",
    "What is the source of this sound?",
    "Who or what is heard in this recording?",
    "Which source is behind the sound?",
)
NO_SOURCE = (
    "Which source is not heard?",
    "Which of these made none of the sounds?",
    "What is missing among the sources that are heard?",
)
WHO = ("Who is heard {}?", "Which person is {}?", "Who is it that is {}?")
PEOPLE = ("a baby", "a child", "a woman", "a man")


def source_inference(rng: Rng, difficulty: Difficulty, world: World) -> Plan:
    """Sources by name, then by riddle, among sources of the same family; and who is heard."""
    voices = _voices(world)
    if voices and rng.random() < 0.25:
        return _who(rng, difficulty, world, voices)
    families = ("animal", "traffic", "device", "person", "nature", "instrument")
    full = [name for name in families if len({SOURCES[a].name for a in known(world, name)}) >= 4]
    absent = difficulty == "hard" and rng.random() < 0.5
    if difficulty == "hard" and full:
        keys = draw(rng, known(world, pick(rng, full)), 4, world)
    else:
        keys = draw(rng, known(world, *families), 4, world, alike=family)
    named = difficulty == "easy"
    options = tuple(SOURCES[key].name if named else SOURCES[key].riddle for key in keys)
    extra = draw(rng, known(world, *families), 2, world, avoid=keys)

    def lay(gold: int, rng: Rng) -> Scene:
        if absent:
            steps = in_turn(permuted(rng, [key for key in keys if key != keys[gold]]))
        elif difficulty == "easy":
            steps = in_turn([keys[gold]] * int(rng.integers(1, 3)))
        elif difficulty == "medium":  # once more, so that it is what the recording is about
            steps = in_turn([keys[gold], extra[0], keys[gold]])
        else:  # within a louder sound, and once more alone
            steps = [(Part(keys[gold], -4.0), Part(extra[0])), (Part(keys[gold], -4.0),)]
        return lay_out(rng, world, steps, noise_db=NOISE[difficulty])

    return Plan(
        question=pick(rng, NO_SOURCE if absent else SOURCE),
        options=options,
        keys=keys,
        lay=lay,
        holds=lambda key, scene: (heard(key, scene) > 0) != absent,
    )


def _voices(world: World) -> dict[str, dict[str, str]]:
    """action -> person ("a baby") -> label, of the actions that a clip of every person has."""
    found: dict[str, dict[str, str]] = {}
    for label, clips in world.by_label.items():
        clip = world.bank.clips[clips[0]]
        if clip.agent and clip.action and f"a {clip.agent}" in PEOPLE:
            found.setdefault(clip.action, {})[f"a {clip.agent}"] = label
    return {action: who for action, who in found.items() if len(who) == len(PEOPLE)}


def _who(rng: Rng, difficulty: Difficulty, world: World, voices: Mapping[str, Mapping[str, str]]) -> Plan:
    keys = permuted(rng, PEOPLE)
    action, *rest = permuted(rng, list(voices))
    gerund = phrase(voices[action]["a man"], world).removeprefix("a man ")
    extra = pick(rng, known(world, "traffic", "device", "nature"))
    busy = len(rest) >= 3

    def lay(gold: int, rng: Rng) -> Scene:
        target = voices[action][keys[gold]]
        others = [voices[other][who] for other, who in zip(rest, [k for k in keys if k != keys[gold]])]
        order = {"easy": [target], "medium": [target, extra], "hard": [target, *others] if busy else [target]}
        return lay_out(rng, world, in_turn(permuted(rng, order[difficulty])), noise_db=NOISE[difficulty])

    return Plan(
        question=pick(rng, WHO).format(gerund),
        options=keys,
        keys=keys,
        lay=lay,
        holds=lambda key, scene: heard(voices[action][key], scene) > 0,
    )


THROUGHOUT = (
    "Which sound goes on through the whole recording?",
    "What is the steady background sound?",
    "What is heard in the background all the time?",
)
KIND = (
    "What fills the background of this recording?",
    "What makes up the ambience of this recording?",
    "Where does the background sound come from?",
)
CHANGED = {
    0: (
        "Which background sound comes first?",
        "What is the ambience at the start?",
        "What is heard in the background before it changes?",
    ),
    1: (
        "Which background sound takes over later?",
        "What is the ambience at the end?",
        "What is heard in the background after it changes?",
    ),
}


def ambient(rng: Rng, difficulty: Difficulty, world: World) -> Plan:
    """The background under other sounds: which one it is, of what kind, and how it changes."""
    beds = [label for label in BACKGROUNDS if label in world.by_label]
    kinds = {
        name: [label for label in beds if BACKGROUNDS[label] == name]
        for name in dict.fromkeys(BACKGROUNDS.values())
        if name and any(BACKGROUNDS[label] == name for label in beds)
    }
    kind = pick(rng, ("throughout", "kind") if difficulty != "hard" else ("throughout", "changed"))
    if kind == "kind" and len(kinds) < 4:
        kind = "throughout"
    late = int(rng.integers(2))
    if kind == "kind":
        keys = permuted(rng, list(kinds))[:4]
        options = keys
    else:
        keys = draw(rng, beds, 4, world)
        options = phrases(keys, world)
    short = [label for label in known(world) if label not in beds]
    extra = draw(rng, short, 3, world, avoid=() if kind == "kind" else keys)
    level = {"easy": -4.0, "medium": -8.0, "hard": -10.0}[difficulty]
    question = pick(rng, {"throughout": THROUGHOUT, "kind": KIND, "changed": CHANGED[late]}[kind])

    def lay(gold: int, rng: Rng) -> Scene:
        target = pick(rng, kinds[keys[gold]]) if kind == "kind" else keys[gold]
        rest = list(permuted(rng, [key for key in keys if key != keys[gold]]))
        background = [Part(target, level)]
        if kind == "changed":  # the other half has another option for its background
            background.insert(1 - late, Part(rest[0], level))
            steps = in_turn(extra[:2])
        elif difficulty == "easy":
            steps = in_turn(extra[:1])
        elif kind == "kind":
            steps = in_turn(extra)
        else:  # one, or all, of the other options are heard, but only for a moment
            steps = in_turn(permuted(rng, [rest[0], extra[0]] if difficulty == "medium" else rest))
        return lay_out(rng, world, steps, beds=background, gap=(0.3, 0.9), noise_db=QUIET)

    def holds(key: str, scene: Scene) -> bool:
        ground = [event for event in scene.events if is_bed(event)]
        if kind == "kind":
            return any(event.label in kinds[key] for event in ground)
        if kind == "changed":
            return key == max(ground, key=lambda event: event.start if late else -event.start).label
        return any(event.label == key and event.end - event.start > 0.9 * scene.duration for event in ground)

    return Plan(question=question, options=options, keys=keys, lay=lay, holds=holds)


WHERE = (
    "Where was this most likely recorded?",
    "Which place do the sounds suggest?",
    "Where does this scene most likely take place?",
)
DOING = (
    "What are people here most likely doing?",
    "Which activity do the sounds suggest?",
    "What is most likely going on here?",
)
MOVED = {
    0: (
        "Where does the recording most likely begin?",
        "Where was the first part most likely recorded?",
        "Which place do the earliest sounds suggest?",
    ),
    1: (
        "Where does the recording most likely end?",
        "Where was the last part most likely recorded?",
        "Which place do the latest sounds suggest?",
    ),
}


def scene_reasoning(rng: Rng, difficulty: Difficulty, world: World) -> Plan:
    """Places and activities from what is heard there, and a walk from one place to another."""
    kind = pick(rng, ("place", "activity") if difficulty != "hard" else ("place", "activity", "moved"))
    table = ACTIVITIES if kind == "activity" else PLACES
    keys = _apart(rng, table, world)
    labels = {key: table[key].known(world.by_label) for key in keys}
    options = tuple(table[key].option for key in keys)
    late = int(rng.integers(2))
    taken = [label for key in keys for label in table[key].labels]
    neutral = draw(rng, [n for n in NEUTRAL if n not in taken], 2, world)
    question = pick(rng, {"place": WHERE, "activity": DOING, "moved": MOVED[late]}[kind])

    def typical(rng: Rng, key: str, n: int) -> list[str]:
        """`n` sounds of a setting, different ones as far as it has them."""
        names = permuted(rng, labels[key])
        return [names[place % len(names)] for place in range(n)]

    def lay(gold: int, rng: Rng) -> Scene:
        if kind == "moved":
            here = typical(rng, keys[gold], 2)
            there = typical(rng, pick(rng, [key for key in keys if key != keys[gold]]), 2)
            order = [*there, *here] if late else [*here, *there]
        elif difficulty == "easy":
            order = typical(rng, keys[gold], 3)
        elif difficulty == "medium":
            order = list(permuted(rng, [*typical(rng, keys[gold], 2), neutral[0]]))
        else:
            steps = [(Part(typical(rng, keys[gold], 1)[0], -4.0),), *in_turn(neutral)]
            return lay_out(rng, world, permuted(rng, steps), noise_db=NOISE[difficulty])
        return lay_out(rng, world, in_turn(order), noise_db=NOISE[difficulty])

    def holds(key: str, scene: Scene) -> bool:
        heard_labels = [event.label for event in scene.events]
        if kind == "moved":
            return heard_labels[-1 if late else 0] in labels[key]
        return any(label in labels[key] for label in heard_labels)

    return Plan(question=question, options=options, keys=keys, lay=lay, holds=holds)


def _apart(rng: Rng, table: Mapping[str, Setting], world: World) -> tuple[str, ...]:
    """Four settings that the bank can tell and that share no sound in life."""
    chosen: list[str] = []
    for key in permuted(rng, [key for key, setting in table.items() if setting.known(world.by_label)]):
        if all(frozenset((key, other)) not in CONFUSED for other in chosen):
            chosen.append(key)
        if len(chosen) == 4:
            return tuple(chosen)
    raise ItemError(f"the bank's labels tell only {chosen}, four places or activities are needed: add labels")

"""Sound items about events: which occur, in what order, and what led to what (see
`shared_data.world.exams.sound`)."""

from __future__ import annotations

from core.scenes.facts import first, last, longest, neighbour
from core.scenes.timeline import Scene, before, overlaps
from shared_data.world.exams.common_knowledge import CAUSES, CRIES, PERFORMERS, REACTIONS
from shared_data.world.exams.item import Difficulty, Rng, World, permuted, pick
from shared_data.world.exams.layout import Part, Step, front, in_turn, lay_out
from shared_data.world.exams.plan import Plan, draw, family, heard, known, phrase, phrases

HEARD = (
    "Which of these sounds is heard?",
    "Which sound does the recording contain?",
    "What can be heard in this recording?",
    "Which event takes place in the audio?",
)
ABSENT = (
    "Which of these sounds is not heard?",
    "Which sound is missing from the recording?",
    "Which event does not occur in the audio?",
)
TWICE = (
    "Which sound is heard twice?",
    "Which event happens two times?",
    "Which sound comes back a second time?",
)


def recognition(rng: Rng, difficulty: Difficulty, world: World) -> Plan:
    """Which sound is there, missing, or there twice."""
    everything = known(world)
    kind = {
        "easy": "heard",
        "medium": pick(rng, ("heard", "absent")),
        "hard": pick(rng, ("twice", "absent")),
    }[difficulty]
    alike = family if difficulty == "easy" else None
    keys = draw(rng, everything, 4, world, alike=alike) if alike else draw(rng, everything, 4, world)
    extra = draw(rng, everything, 2, world, avoid=keys)
    question = pick(rng, {"heard": HEARD, "absent": ABSENT, "twice": TWICE}[kind])

    def lay(gold: int, rng: Rng) -> Scene:
        rest = [key for key in keys if key != keys[gold]]
        if kind == "heard" and difficulty == "easy":
            return lay_out(rng, world, in_turn([keys[gold]]))
        if kind == "heard":
            steps = in_turn(permuted(rng, [keys[gold], *extra]))
            return lay_out(rng, world, steps, noise_db=(-25.0, -18.0))
        if kind == "absent" and difficulty == "medium":
            return lay_out(rng, world, in_turn(permuted(rng, rest)), noise_db=(-25.0, -18.0))
        if kind == "absent":
            a, b, c = permuted(rng, rest)
            pairs: list[Step] = [(Part(a), Part(b)), (Part(c), Part(extra[0]))]
            return lay_out(rng, world, permuted(rng, pairs), noise_db=(-20.0, -14.0))
        order = list(permuted(rng, keys))
        at = order.index(keys[gold])  # its second time is never right after the first
        order.insert(pick(rng, [place for place in range(5) if place not in (at, at + 1)]), keys[gold])
        return lay_out(rng, world, in_turn(order), noise_db=(-25.0, -18.0))

    wanted = {"heard": lambda n: n > 0, "absent": lambda n: n == 0, "twice": lambda n: n == 2}[kind]
    return Plan(
        question=question,
        options=phrases(keys, world),
        keys=keys,
        lay=lay,
        holds=lambda key, scene: wanted(heard(key, scene)),
    )


ORDER = {
    "first": ("Which sound is heard first?", "Which sound starts the recording?", "What comes first?"),
    "last": ("Which sound is heard last?", "Which sound ends the recording?", "What comes last?"),
    "second": ("Which sound is the second one?", "What is heard second?", "Which sound comes second?"),
    "third": ("Which sound is the third one?", "What is heard third?", "Which sound comes third?"),
    "longest": (
        "Which sound lasts longest?",
        "Which sound goes on for the longest time?",
        "What is heard for longer than everything else?",
    ),
    "after": (
        "Which sound comes right after {}?",
        "What is heard next after {}?",
        "Which sound directly follows {}?",
    ),
    "before": (
        "Which sound comes right before {}?",
        "What is heard just before {}?",
        "Which sound directly precedes {}?",
    ),
    "with": (
        "Which sound is heard at the same time as {}?",
        "What overlaps with {}?",
        "Which sound accompanies {}?",
    ),
    "count": (
        "How many different sounds come before {}?",
        "How many different sounds are over when {} starts?",
        "How many different sounds are heard ahead of {}?",
    ),
}
NUMBERS = ("none", "one", "two", "three")


def temporal(rng: Rng, difficulty: Difficulty, world: World) -> Plan:
    """Order, neighbours, overlap, length and number of sounds."""
    kind = pick(
        rng,
        {
            "easy": ("first", "last"),
            "medium": ("first", "last", "after", "count"),
            "hard": ("second", "third", "before", "with", "longest"),
        }[difficulty],
    )
    everything = known(world)
    *labels, anchor = draw(rng, everything, 5, world)
    keys = permuted(rng, NUMBERS) if kind == "count" else tuple(labels)
    question = pick(rng, ORDER[kind]).format(phrase(anchor, world, 1))
    gap = (0.08, 0.2) if difficulty == "hard" else (0.2, 0.5)
    noise = {"easy": (-40.0, -30.0), "medium": (-28.0, -22.0), "hard": (-22.0, -16.0)}[difficulty]

    def lay(gold: int, rng: Rng) -> Scene:
        if kind == "count":
            order = list(permuted(rng, labels))[:3]
            order.insert(NUMBERS.index(keys[gold]), anchor)
            return lay_out(rng, world, in_turn(order), gap=gap, noise_db=noise)
        target = keys[gold]
        rest = list(permuted(rng, [key for key in keys if key != target]))
        if difficulty == "easy":  # two sounds, three in half of the items
            rest = rest[: int(rng.integers(1, 3))]
        steps = in_turn(rest)
        place = {"first": 0, "last": len(rest), "second": 1, "third": 2}.get(kind)
        if kind == "longest":
            steps = [(Part(label, 0.0, (0.5, 0.9)),) for label in rest]
            steps.insert(int(rng.integers(4)), (Part(target, 0.0, (1.7, 2.4)),))
        elif kind == "with":
            steps.insert(int(rng.integers(4)), (Part(target), Part(anchor, 0.0, (1.2, 2.0))))
        elif kind in ("after", "before"):
            pair = in_turn((anchor, target) if kind == "after" else (target, anchor))
            cut = int(rng.integers(4))
            steps[cut:cut] = pair
        else:
            assert place is not None
            steps.insert(place, (Part(target),))
        return lay_out(rng, world, steps, gap=gap, noise_db=noise)

    def holds(key: str, scene: Scene) -> bool:
        known = front(scene)
        spans = known.spans
        if kind == "count":
            return sum(before(span, spans[anchor]) for span in spans.values()) == NUMBERS.index(key)
        if key not in spans:
            return False
        if kind in ("first", "last", "longest"):
            return {"first": first, "last": last, "longest": longest}[kind](known) == key
        if kind == "with":
            return overlaps(spans[key], spans[anchor])
        if kind == "after":
            return neighbour(known, anchor, "after") == key
        if kind == "before":
            return neighbour(known, anchor, "before") == key
        return sum(before(span, spans[key]) for span in spans.values()) == ("second", "third").index(kind) + 1

    options = keys if kind == "count" else phrases(keys, world)
    return Plan(question=question, options=options, keys=keys, lay=lay, holds=holds)


CAUSE = (
    "What most likely made {}?",
    "What is the probable reason for {}?",
    "Which sound most likely led to {}?",
)
REACTION = (
    "What is the reaction to {}?",
    "What does {} most likely bring about?",
    "What happens because of {}?",
)
APPLAUSE = (
    "Whose playing does the audience applaud?",
    "Which performer does the audience clap for?",
    "What did the audience most likely enjoy?",
)
STORY = (
    "What most likely happened?",
    "Which story does the recording tell?",
    "Which cause and reaction are heard?",
)


def event_based(rng: Rng, difficulty: Difficulty, world: World) -> Plan:
    """Causes and reactions: what follows a sudden sound directly is the reaction to it."""
    kind = pick(rng, ("cause", "reaction", "applause", "story"))
    causes, cries, reactions = (
        [label for label in table if label in world.by_label] for table in (CAUSES, CRIES, REACTIONS)
    )
    performers = [label for label in PERFORMERS if label in world.by_label]
    if kind == "applause" and ("applause" not in world.by_label or len(performers) < 4):
        kind = "cause"
    noise = {"easy": (-40.0, -30.0), "medium": (-28.0, -22.0), "hard": (-22.0, -16.0)}[difficulty]
    heard_others = {"easy": 0, "medium": 1, "hard": 3}[difficulty]
    if kind == "story":
        return _story(rng, difficulty, world, noise=noise)
    if kind == "reaction":
        anchor = pick(rng, causes)
        keys = draw(rng, reactions, 4, world, avoid=[anchor])
        options = phrases(keys, world, 2)
        question = pick(rng, REACTION).format(CAUSES[anchor])
    elif kind == "applause":
        anchor = "applause"
        keys = draw(rng, performers, 4, world)
        options = phrases(keys, world)
        question = pick(rng, APPLAUSE)
    else:
        anchor = pick(rng, cries)
        keys = draw(rng, causes, 4, world, avoid=[anchor])
        options = tuple(CAUSES[key] for key in keys)
        template = pick(rng, CAUSE)
        done = CRIES[anchor]
        if not template.startswith("What most likely made"):
            done = phrase(anchor, world, 0)  # "a baby crying"
        question = template.format(done)

    def lay(gold: int, rng: Rng) -> Scene:
        rest = list(permuted(rng, [key for key in keys if key != keys[gold]]))[:heard_others]
        # What else is heard cannot have caused (or been caused by) the anchor: it is on its other side.
        if kind == "reaction":
            order = [*rest, anchor, keys[gold]]
        else:
            order = [keys[gold], anchor, *rest]
        return lay_out(rng, world, in_turn(order), gap=(0.1, 0.35), noise_db=noise)

    def holds(key: str, scene: Scene) -> bool:
        known = front(scene)
        side = "after" if kind == "reaction" else "before"
        return neighbour(known, anchor, side) == key  # type: ignore[arg-type]

    return Plan(question=question, options=options, keys=keys, lay=lay, holds=holds)


def _story(rng: Rng, difficulty: Difficulty, world: World, *, noise: tuple[float, float]) -> Plan:
    """Two causes and two reactions make four stories."""
    two = draw(rng, list(CAUSES), 2, world)
    done = draw(rng, list(CRIES), 2, world, avoid=two)
    keys = permuted(rng, [f"{cause} {cry}" for cause in two for cry in done])

    def told(key: str) -> str:
        cause, cry = key.split(" ")
        return f"{CAUSES[cause]} made {CRIES[cry]}"

    def lay(gold: int, rng: Rng) -> Scene:
        cause, cry = keys[gold].split(" ")
        order = [cause, cry]
        if difficulty != "easy":
            order.append(next(name for name in two if name != cause))
        if difficulty == "hard":
            order.insert(0, next(name for name in done if name != cry))
        return lay_out(rng, world, in_turn(order), gap=(0.1, 0.35), noise_db=noise)

    def holds(key: str, scene: Scene) -> bool:
        cause, cry = key.split(" ")
        known = front(scene)
        return {cause, cry} <= set(known.spans) and neighbour(known, cause, "after") == cry

    return Plan(question=pick(rng, STORY), options=tuple(map(told, keys)), keys=keys, lay=lay, holds=holds)

"""Every answer is checked against the timeline by an oracle that reads the words of the question."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from core.metrics.stated import stated
from core.scenes.algebra import holds, leaves
from core.scenes.bank import Bank
from core.scenes.captions import parse_caption, phrase_book
from core.scenes.draw import SceneSource, voice_attributes
from core.scenes.phrasings import CLOSED, PHRASINGS, PROMPT_CAPTION, PROMPT_CLASSIFY, PROMPT_DETAIL
from core.scenes.places import PLACES
from core.scenes.questions import (
    CLOSED_TASKS,
    COMPA_R_TASKS,
    MAX_WORDS,
    OPEN_TASKS,
    Question,
    QuestionError,
    aliases,
    ask,
    compa_r,
)
from core.scenes.timeline import Event, Scene

SIZES = (0.2, 0.24, 0.48, 0.08)
Asked = dict[str, list[tuple[Scene, Question]]]
Book = dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def book(noise_bank: Bank) -> Book:
    return phrase_book(noise_bank)


@pytest.fixture(scope="module")
def asked(noise_bank: Bank, book: Book) -> Asked:
    """Questions of all tasks about 2,500 scenes."""
    source = SceneSource(bank=noise_bank, seed=3, duration=5.0, singles=SIZES[0])
    voices = voice_attributes(noise_bank)
    rng = np.random.default_rng(0)
    found: Asked = defaultdict(list)
    for scene, _ in source.draw(0, 2500):
        for task in (*CLOSED_TASKS, *OPEN_TASKS):
            if made := ask(scene, task=task, book=book, voices=voices, sizes=SIZES, rng=rng):
                found[task].append((scene, made))
        for made in compa_r(scene, book=book, voices=voices, rng=rng, n=len(COMPA_R_TASKS)):
            found[made.task].append((scene, made))
    return found


def spans(scene: Scene) -> dict[str, tuple[float, float]]:
    """Label -> from its first start to its last end."""
    return {
        label: (
            min(e.start for e in scene.events if e.label == label),
            max(e.end for e in scene.events if e.label == label),
        )
        for label in {e.label for e in scene.events}
    }


def slots(question: Question, names: Sequence[str], book: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What fills the slots of the wording: labels for {a} and {b}."""
    labels = {phrases[0]: label for label, phrases in book.items()}
    phrase = "|".join(map(re.escape, labels))
    fillers = {"a": phrase, "b": phrase, "doing": r"\w+", "place": ".+", "which": "first|last"}
    fillers |= {"side": "before|after", "size": "longest|shortest"}
    text = question.instruction.removeprefix(CLOSED)
    for name in names:
        for wording in PHRASINGS[name]:
            pattern = re.escape(wording.removeprefix(CLOSED))
            seen: set[str] = set()
            for slot in re.findall(r"\\{(\w+)\\}", pattern):
                group = f"(?P={slot})" if slot in seen else f"(?P<{slot}>{fillers[slot]})"
                pattern = pattern.replace(rf"\{{{slot}\}}", group, 1)
                seen.add(slot)
            if match := re.fullmatch(pattern, text):
                return {slot: labels.get(said, said) for slot, said in match.groupdict().items()}
    raise AssertionError(f"{question.instruction!r} is no wording of {names}")


def at_end(scene: Scene, which: str) -> str:
    sounds = spans(scene)
    return (min if which == "first" else max)(sounds, key=lambda label: sounds[label][0])


def by_length(scene: Scene, size: str) -> str:
    sounds = spans(scene)
    length = {label: end - start for label, (start, end) in sounds.items()}
    return (max if size == "longest" else min)(length, key=lambda label: length[label])


def next_to(scene: Scene, label: str, side: str) -> str:
    """The nearest sound after the label's end or before its start (50 ms are forgiven)."""
    sounds = spans(scene)
    start, end = sounds[label]
    if side == "after":
        later = {other: s for other, (s, _) in sounds.items() if other != label and s >= end - 0.05}
        return min(later, key=lambda other: later[other])
    sooner = {other: e for other, (_, e) in sounds.items() if other != label and e <= start + 0.05}
    return max(sooner, key=lambda other: sooner[other])


def place_of(label: str) -> str:
    (found,) = [name for name, place in PLACES.items() if label in place.labels]
    return found


def true_key(scene: Scene, question: Question, book: Book, voices: Mapping[str, tuple[str, str]]) -> str:
    """The answer's key, from the words of the question and the timeline."""
    task, sounds = question.task, spans(scene)
    extra = {"where": ("where_all",), "who": ("who_any",)}.get(task, ())
    said = slots(question, (task, *extra), book)
    yes_no = {True: "yes", False: "no"}
    if task == "presence":
        return yes_no[said["a"] in sounds]
    if task in ("first", "last"):
        return at_end(scene, task)
    if task == "order":
        a, b = (said["a"], said["b"]) if said["side"] == "before" else (said["b"], said["a"])
        return yes_no[sounds[a][1] <= sounds[b][0] + 0.05]
    if task == "overlap":
        (s, e), (t, f) = sounds[said["a"]], sounds[said["b"]]
        return yes_no[min(e, f) - max(s, t) >= 0.5 * min(e - s, f - t) - 1e-6]
    if task == "longer":
        return max((said["a"], said["b"]), key=lambda label: sounds[label][1] - sounds[label][0])
    if task == "count":
        return ("one", "two", "three", "four")[len(sounds) - 1]
    if task == "where":
        if "which" in said:
            return place_of(at_end(scene, said["which"]))
        (place,) = {place_of(label) for label in sounds}
        return place
    if task == "why":
        return yes_no[any(said["place"] == p.phrase and set(p.labels) & set(sounds) for p in PLACES.values())]
    if task == "who":
        doing = {label for label in sounds if label in voices}
        if "doing" in said:
            doing = {label for label in doing if book[label][0].endswith(f" {said['doing']}")}
        (agent,) = {voices[label][0] for label in doing}
        return agent
    if task == "presence_order":
        return next_to(scene, said["a"], said["side"]) if said["a"] in sounds else "not heard"
    if task == "order_duration":
        return yes_no[at_end(scene, said["which"]) == by_length(scene, said["size"])]
    if task == "duration_order":
        return next_to(scene, by_length(scene, said["size"]), said["side"])
    if task == "agent_order":
        return voices[next_to(scene, said["a"], said["side"])][0]
    if task == "setting_order":
        return place_of(next_to(scene, said["a"], said["side"]))
    if task == "duration_setting":
        return place_of(by_length(scene, said["size"]))
    assert task == "position_setting"
    return yes_no[PLACES[place_of(at_end(scene, said["which"]))].phrase == said["place"]]


KEYED = [
    t
    for t in (*CLOSED_TASKS, *OPEN_TASKS, *COMPA_R_TASKS)
    if t not in ("classification", "caption", "describe")
]


@pytest.mark.parametrize("task", KEYED)
def test_the_key_is_true_of_the_timeline_and_the_answer_states_it(
    task: str, asked: Asked, book: Book, noise_bank: Bank
) -> None:
    voices = voice_attributes(noise_bank)
    ways = aliases(book, voices)
    assert len(asked[task]) >= 100
    for scene, question in asked[task]:
        assert question.key == true_key(scene, question, book, voices), (question, spans(scene))
        assert question.key in question.options
        assert stated(question.output, question.options, ways) == question.key, question


@pytest.mark.parametrize("task", COMPA_R_TASKS)
def test_answers_of_compa_r_are_short_and_their_reasons_name_only_what_the_question_or_scene_has(
    task: str, asked: Asked, book: Book
) -> None:
    for scene, question in asked[task]:
        assert len(question.output.split()) < MAX_WORDS
        named = {label for label, phrases in book.items() if phrases[0] in question.output}
        assert named
        assert named <= set(spans(scene)) or question.key == "not heard"


@pytest.mark.parametrize("task", KEYED)
def test_the_text_alone_does_not_tell_the_answer(task: str, asked: Asked) -> None:
    """The commonest key, also of each wording, and the first option, stay near chance."""
    questions = [question for _, question in asked[task]]
    chance = float(np.mean([1 / len(q.options) for q in questions]))
    noise = 4 * (chance * (1 - chance) / len(questions)) ** 0.5
    keys = Counter(q.key for q in questions)
    first = float(np.mean([q.key == q.options[0] for q in questions]))
    in_text_order = task in ("first", "duration_order")  # options come in order of start: not in the text
    assert in_text_order or first <= chance + noise + 0.06, (first, chance)
    assert keys.most_common(1)[0][1] / len(questions) <= chance + noise + 0.06, keys


@pytest.mark.parametrize(
    "task", ["presence", "order", "overlap", "why", "order_duration", "position_setting"]
)
def test_yes_and_no_are_balanced_within_every_wording(task: str, asked: Asked) -> None:
    by_words: dict[tuple[str, ...], list[bool]] = defaultdict(list)
    for _, question in asked[task]:
        words = question.instruction.removeprefix(CLOSED).split()
        kept = tuple(w for w in words if w in ("before", "after", "first", "last", "longest", "shortest"))
        by_words[(words[0], *kept)].append(question.key == "yes")
    for kind, answers in by_words.items():
        assert abs(np.mean(answers) - 0.5) < 0.05 + 2.6 * 0.5 / len(answers) ** 0.5, (kind, len(answers))


def test_a_label_that_is_asked_about_is_present_half_of_the_time(asked: Asked, book: Book) -> None:
    present = defaultdict(list)
    for _, question in asked["presence"]:
        present[slots(question, ("presence",), book)["a"]].append(question.key == "yes")
    assert len(present) == len(book)
    assert max(abs(np.mean(answers) - 0.5) for answers in present.values()) < 0.2  # about 150 of each


def test_captions_describe_their_scenes(asked: Asked, book: Book) -> None:
    assert len(asked["caption"]) > 2300  # nearly every scene has one
    for scene, question in asked["caption"]:
        readings = parse_caption(question.output, book)
        assert any(holds(tree, scene) for tree in readings)
        assert {leaf.label for leaf in leaves(readings[0])} == set(spans(scene))
        assert ("background" in question.output or "quiet place" in question.output) == (
            "Clotho" in question.instruction
        )


def test_classification_lists_the_labels_in_words_in_order(asked: Asked) -> None:
    for scene, question in asked["classification"]:
        ordered = sorted(spans(scene), key=lambda label: (spans(scene)[label][0], label))
        assert question.output == "; ".join(ordered).replace("_", " ") + "."
        assert question.key.split("; ") == ordered


def scene_of(*events: tuple[str, float, float], duration: float = 5.0) -> Scene:
    made = tuple(Event(clip=0, label=label, start=start, end=end) for label, start, end in events)
    return Scene(id="hand", events=made, duration=duration)


def test_a_dense_caption_by_hand(book: Book) -> None:
    scene = scene_of(("dog_bark", 0.2, 0.9), ("rain", 1.8, 4.9), ("saw", 3.5, 4.6), ("bell", 4.4, 5.0))
    made = ask(scene, task="describe", book=book, rng=np.random.default_rng(0), wording=0)
    assert made is not None
    assert made.instruction == PROMPT_DETAIL
    assert made.output == (
        "first a dog bark sounding briefly at the beginning, then a rain sounding for a while in the middle, "
        "together with a saw sounding for a while at the end, joined by a bell sounding briefly at the end."
    )


def test_the_first_wordings_are_the_prompts_of_evaluation(book: Book) -> None:
    scene, rng = scene_of(("dog_bark", 0.2, 0.9), ("rain", 1.8, 4.9)), np.random.default_rng(0)
    prompts = {
        "classification": PROMPT_CLASSIFY,
        "caption": PROMPT_CAPTION,
        "first": "Which sound comes first?",
    }
    for task, prompt in prompts.items():
        for _ in range(5):
            made = ask(scene, task=task, book=book, rng=rng, wording=0)
            assert made is not None
            assert made.instruction == prompt


def test_every_task_has_three_wordings_and_all_are_used(asked: Asked) -> None:
    assert all(len(PHRASINGS[task]) >= 3 for task in (*CLOSED_TASKS, *OPEN_TASKS, *COMPA_R_TASKS))
    for task in ("first", "last", "count", "describe", "classification", "caption"):
        used = {question.instruction.removeprefix(CLOSED) for _, question in asked[task]}
        assert used >= {wording.removeprefix(CLOSED) for wording in PHRASINGS[task]}


def test_what_the_timeline_does_not_settle_is_not_asked(book: Book) -> None:
    rng = np.random.default_rng(0)
    alike = scene_of(("dog_bark", 1.0, 2.0), ("rain", 1.1, 2.1))
    partly = scene_of(("dog_bark", 1.0, 2.0), ("rain", 1.7, 2.7))
    alone = scene_of(("bell", 1.0, 2.0))
    for scene, tasks in (
        (alike, ("first", "last", "order", "longer", "where")),
        (partly, ("order", "overlap", "longer")),
        (alone, ("first", "last", "order", "overlap", "longer", "where", "why", "who")),
    ):
        for task in tasks:
            assert all(ask(scene, task=task, book=book, rng=rng) is None for _ in range(20)), task
    assert compa_r(alone, book=book, rng=rng) == []


def test_repeated_events_of_a_label_are_one_sound(book: Book) -> None:
    scene = scene_of(("dog_bark", 0.0, 0.5), ("rain", 1.0, 2.0), ("dog_bark", 4.0, 4.5))
    rng = np.random.default_rng(0)
    count = ask(scene, task="count", book=book, rng=rng)
    assert count is not None
    assert count.key == "two"
    assert all(ask(scene, task="order", book=book, rng=rng) is None for _ in range(20))  # rain is within


def test_count_is_balanced_for_the_sizes_that_are_given(book: Book) -> None:
    rng = np.random.default_rng(0)
    names = ("dog_bark", "rain", "bell", "saw")
    scenes = [scene_of(*((name, i, i + 0.5) for i, name in enumerate(names[:k]))) for k in (2, 3, 4)]
    keys: Counter[str] = Counter()
    for size in rng.choice(3, size=4000, p=(0.3, 0.6, 0.1)):
        made = ask(scenes[size], task="count", book=book, rng=rng, sizes=(0.0, 0.3, 0.6, 0.1))
        if made:
            keys[made.key] += 1
            assert made.options == ("two", "three", "four")
    assert max(keys.values()) < 1.25 * min(keys.values())


def test_one_seed_one_question_and_agents_from_the_bank_or_given(noise_bank: Bank, book: Book) -> None:
    scene = scene_of(("baby_cry", 0.0, 1.0), ("rain", 1.5, 4.0))
    voices = voice_attributes(noise_bank)
    one = [ask(scene, task="who", book=book, bank=noise_bank, rng=np.random.default_rng(s)) for s in range(9)]
    two = [ask(scene, task="who", book=book, voices=voices, rng=np.random.default_rng(s)) for s in range(9)]
    assert one == two
    assert {q.key for q in one if q} == {"baby"}
    assert ask(scene, task="who", book=book, rng=np.random.default_rng(0)) is None


def test_mistakes_are_named(book: Book) -> None:
    scene, rng = scene_of(("dog_bark", 0.0, 1.0), ("zebra", 1.5, 4.0)), np.random.default_rng(0)
    with pytest.raises(QuestionError, match=r"no task 'sing'; there are classification"):
        ask(scene, task="sing", book=book, rng=rng)
    with pytest.raises(QuestionError, match=r"'hand': no phrase for zebra"):
        ask(scene, task="first", book=book, rng=rng)
    wordy = {label: ("very " * 30 + label,) for label in ("dog_bark", "zebra")}
    with pytest.raises(QuestionError, match="shorter plain phrases"):
        compa_r(scene, book=wordy, rng=rng)


def test_nobody_is_told_that_a_sound_within_another_is_absent() -> None:
    """Where classical music plays, a violin may well be heard."""
    book = {name: (f"{name} sounding",) for name in ("classical_music", "violin", "dog_bark")}
    scene = Scene(
        id="a",
        events=(
            Event(clip=0, label="classical_music", start=0.0, end=2.0, gain_db=0.0),
            Event(clip=1, label="siren", start=2.5, end=4.0, gain_db=0.0),
        ),
        duration=5.0,
        noise_db=None,
        seed=0,
    )
    book["siren"] = ("siren sounding",)
    rng = np.random.default_rng(0)
    denied = set()
    for _ in range(100):
        for made in (
            ask(scene, task="presence", book=book, rng=rng, wording=0),
            *compa_r(scene, book=book, rng=rng, n=len(COMPA_R_TASKS), wording=0),
        ):
            if made is not None and (made.key == "no" or made.key == "not heard"):
                denied.add("violin" in made.instruction)
    assert denied == {False}


def test_who_is_not_asked_of_a_choir() -> None:
    book = {name: (f"a {name.replace('_', ' ')}ing",) for name in ("choir", "man_speak")}
    rng = np.random.default_rng(0)
    made = []
    for label in ("choir", "siren"):
        events = (
            Event(clip=0, label="man_speak", start=0.0, end=2.0, gain_db=0.0),
            Event(clip=1, label=label, start=2.5, end=4.0, gain_db=0.0),
        )
        scene = Scene(id="a", events=events, duration=5.0, noise_db=None, seed=0)
        words = {**book, "siren": ("a siren wailing",)}
        voices = {"man_speak": ("man", "speak")}
        found = [ask(scene, task="who", book=words, voices=voices, rng=rng, wording=0) for _ in range(40)]
        made.append(any(q is not None and q.instruction == PHRASINGS["who_any"][0] for q in found))
    assert made == [False, True]

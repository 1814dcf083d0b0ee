"""Speech skills about the form of what is said: sounds and their order, stress, counts.

Easy, medium, hard:
- Phonological Sequence Decoding: unlike words; words that rhyme; rhymes or mixed initial sounds in noise.
- Phonemic Stress Pattern Analysis: a strong stress; a weaker one, or how many words bear one; in noise with a
  second speaker who stresses another word, or a stressed syllable in a made-up word.
- Counting: a word among unlike words; speakers, or a word among its rhymes; in noise, members of a category
  or speakers who take several turns. The number of words or turns never tells the count.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.scenes.phrasings import ORDINALS
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.speech.espeak import Kind
from shared_data.world.speech.lists import (
    CONSONANTS,
    INITIALS,
    KINDS,
    RHYMES,
    STRESSABLE,
    TURNS,
    UNLIKE,
    VOWELS,
)
from shared_data.world.speech.prosody import Line, Script, Speaker
from shared_data.world.speech.scripts import NUMBERS, Task, anyone, cast, in_noise

LIST_RATE = 150  # words a minute
# Which word of each of three rhyming families the four options hold. The options of either table play equal
# parts: none is nearer to the rest than another.
ALL_DIFFER = ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3))
ONE_OR_TWO_DIFFER = ((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0))


def sequence(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """Which words in which order; which word follows another; which sound begins most words."""
    kind = int(rng.integers(3))
    speaker = anyone(rng, split)
    if kind == 2:
        return _initials(rng, difficulty, split)
    if kind == 1:
        family = UNLIKE[split] if difficulty == "easy" else pick(rng, RHYMES[split])
        before, *others = draw_options(rng, family, n=5)
        asked = (
            f"Which word comes right after '{before}'?",
            f"What does the speaker say directly after '{before}'?",
            f"'{before}' is followed by which word?",
        )

        def after(rng: Rng, gold: str) -> Script:
            rest = [(word,) for word in others if word != gold]
            words = [word for part in permuted(rng, [*rest, (before, gold)]) for word in part]
            return _list(rng, words, difficulty, speaker=speaker)

        def follows(script: Script, option: str) -> bool:
            words = words_of(script)
            return words[words.index(before) + 1 :][:1] == [option]

        return Task(question=pick(rng, asked), options=tuple(others), script=after, holds=follows)

    if difficulty == "easy":
        words = draw_options(rng, UNLIKE[split], n=12)
        options = tuple(", ".join(words[at : at + 3]) for at in range(0, 12, 3))
    else:
        families = [permuted(rng, family) for family in permuted(rng, RHYMES[split])[:3]]
        table = ALL_DIFFER if difficulty == "medium" else ONE_OR_TWO_DIFFER
        options = tuple(", ".join(family[at] for family, at in zip(families, row)) for row in table)
    asked = (
        "Which sequence of words is spoken?",
        "Which words does the speaker say, in this order?",
        "Which series of words do you hear?",
    )
    return Task(
        question=pick(rng, asked),
        options=options,
        script=lambda rng, gold: _list(rng, gold.split(", "), difficulty, speaker=speaker),
        holds=lambda script, option: words_of(script) == option.split(", "),
    )


def words_of(script: Script) -> list[str]:
    """The words of a spoken list."""
    return script.lines[0].text.strip(".").split(", ")


def place_of(sentence: str, word: str) -> int:
    """Where a word stands in a sentence."""
    return [found.strip(".") for found in sentence.split()].index(word)


def initial_of(word: str) -> str:
    """The sound, as an option, that a word of the lists begins with."""
    return next(sound for sound, lists in INITIALS.items() if any(word in words for words in lists.values()))


def _list(rng: Rng, words: Sequence[str], difficulty: Difficulty, *, speaker: Speaker) -> Script:
    line = Line(speaker=speaker, text=", ".join(words) + ".")
    script = Script(lines=(line,), rate=LIST_RATE)
    return in_noise(rng, script) if difficulty == "hard" else script


def _initials(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    options = draw_options(rng, tuple(INITIALS))
    speaker = anyone(rng, split)
    most, rest = {"easy": (4, 0), "medium": (4, 1), "hard": (3, 2)}[difficulty]
    asked = (
        "Which sound begins most of the words?",
        "With which sound do most words start?",
        "Most of the words begin with which sound?",
    )

    def script(rng: Rng, gold: str) -> Script:
        rival = pick(rng, [option for option in options if option != gold])
        words = permuted(rng, INITIALS[gold][split])[:most] + permuted(rng, INITIALS[rival][split])[:rest]
        return _list(rng, permuted(rng, words), difficulty, speaker=speaker)

    def holds(script: Script, option: str) -> bool:
        sounds = [initial_of(word) for word in words_of(script)]
        return max(sorted(set(sounds)), key=sounds.count) == option

    return Task(question=pick(rng, asked), options=options, script=script, holds=holds)


def stress(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """Which word is stressed; how many words are; which syllable of a made-up word is."""
    if difficulty == "medium" and rng.random() < 0.5:
        return _stress_count(rng, split)
    if difficulty == "hard" and rng.random() < 0.5:
        return _syllable(rng, split)
    sentence, candidates = pick(rng, STRESSABLE[split])
    options = draw_options(rng, candidates)
    strength = {"easy": 1.0, "medium": 0.7, "hard": 0.8}[difficulty]
    if difficulty != "hard":
        speaker = anyone(rng, split)
        asked = (
            "Which word does the speaker stress?",
            "Which word is emphasised?",
            "On which word does the speaker put the stress?",
        )
        return Task(
            question=pick(rng, asked),
            options=options,
            script=lambda rng, gold: Script(
                lines=(Line(speaker=speaker, text=sentence, stressed=(place_of(sentence, gold),)),),
                strength=strength,
                rate=150,
            ),
            holds=lambda script, option: script.lines[0].stressed == (place_of(sentence, option),),
        )
    kinds: tuple[Kind, ...] = permuted(rng, ("man", "woman"))
    pair = cast(rng, split, kinds)
    asked_for = int(rng.integers(2))
    who = kinds[asked_for]
    asked = (
        f"Which word does the {who} stress?",
        f"Which word is emphasised by the {who}?",
        f"On which word does the {who} put the stress?",
    )

    def both(rng: Rng, gold: str) -> Script:
        other = pick(rng, [option for option in options if option != gold])
        stressed = (gold, other) if asked_for == 0 else (other, gold)
        lines = tuple(
            Line(speaker=speaker, text=sentence, stressed=(place_of(sentence, word),))
            for speaker, word in zip(pair, stressed)
        )
        return in_noise(rng, Script(lines=lines, strength=strength, rate=150))

    return Task(
        question=pick(rng, asked),
        options=options,
        script=both,
        holds=lambda script, option: script.lines[asked_for].stressed == (place_of(sentence, option),),
    )


def _stress_count(rng: Rng, split: Split) -> Task:
    speaker = anyone(rng, split)
    words = draw_options(rng, UNLIKE[split], n=6)
    asked = (
        "How many of the words are stressed?",
        "How many words does the speaker emphasise?",
        "What is the number of stressed words?",
    )

    def script(rng: Rng, gold: str) -> Script:
        places = sorted(int(at) for at in rng.choice(len(words), NUMBERS.index(gold) + 1, replace=False))
        line = Line(speaker=speaker, text=", ".join(words) + ".", stressed=tuple(places))
        return Script(lines=(line,), rate=150)

    return Task(
        question=pick(rng, asked),
        options=draw_options(rng, NUMBERS[:5]),
        script=script,
        holds=lambda script, option: len(script.lines[0].stressed) == NUMBERS.index(option) + 1,
    )


def _syllable(rng: Rng, split: Split) -> Task:
    speaker = anyone(rng, split)
    consonants = permuted(rng, CONSONANTS[split])[:4]
    vowels = permuted(rng, tuple(VOWELS))[:4]
    word = "".join(c + v for c, v in zip(consonants, vowels))
    asked = (
        "Which syllable of the made-up word is stressed?",
        "Where is the stress of the invented word?",
        "Which syllable does the speaker stress?",
    )
    options = tuple(f"the {ordinal} syllable" for ordinal in ORDINALS[:4])

    def script(rng: Rng, gold: str) -> Script:
        at = options.index(gold)
        sounds = "".join(
            ("'" if place == at else "") + consonant + VOWELS[vowel]
            for place, (consonant, vowel) in enumerate(zip(consonants, vowels))
        )
        line = Line(
            speaker=speaker, text=f"{word}, {word}.", phonemes=f"[[{sounds}]], [[{sounds}]].", syllable=at
        )
        return in_noise(rng, Script(lines=(line,), rate=130))

    return Task(
        question=pick(rng, asked),
        options=options,
        script=script,
        holds=lambda script, option: script.lines[0].syllable == options.index(option),
    )


def counting(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """How often a word is said; how many people speak; how many members of a category are named."""
    if difficulty != "easy" and rng.random() < 0.5:
        return _speakers(rng, difficulty, split)
    options = draw_options(rng, NUMBERS[:5])
    speaker = anyone(rng, split)
    if difficulty == "hard":
        kind = pick(rng, tuple(KINDS))
        asked = (
            f"How many {kind} are named?",
            f"How many {kind} does the speaker mention?",
            f"What is the number of {kind} in the list?",
        )
        members = set(KINDS[kind][split])
        others = [word for name in KINDS if name != kind for word in KINDS[name][split]]

        def named(rng: Rng, gold: str) -> Script:
            n = NUMBERS.index(gold) + 1
            words = permuted(rng, tuple(KINDS[kind][split]))[:n] + permuted(rng, others)[: 8 - n]
            return _list(rng, permuted(rng, words), difficulty, speaker=speaker)

        return Task(
            question=pick(rng, asked),
            options=options,
            script=named,
            holds=lambda script, option: (
                sum(word in members for word in words_of(script)) == NUMBERS.index(option) + 1
            ),
        )
    word, *fillers = permuted(rng, UNLIKE[split] if difficulty == "easy" else pick(rng, RHYMES[split]))[:6]
    asked = (
        f"How many times is the word '{word}' said?",
        f"How often do you hear the word '{word}'?",
        f"How many times does the speaker say '{word}'?",
    )

    def repeated(rng: Rng, gold: str) -> Script:
        n = NUMBERS.index(gold) + 1
        total = 6 if difficulty == "easy" else 8
        rest = [fillers[index % len(fillers)] for index in range(total - n)]
        return _list(rng, permuted(rng, [word] * n + rest), difficulty, speaker=speaker)

    return Task(
        question=pick(rng, asked),
        options=options,
        script=repeated,
        holds=lambda script, option: words_of(script).count(word) == NUMBERS.index(option) + 1,
    )


def _speakers(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    options = NUMBERS[:4]
    asked = (
        "How many different people speak?",
        "How many speakers are there?",
        "What is the number of different voices?",
    )
    turns = 4 if difficulty == "medium" else 5

    def script(rng: Rng, gold: str) -> Script:
        kinds: tuple[Kind, ...] = permuted(rng, ("man", "man", "woman", "woman"))
        people = cast(rng, split, kinds[: NUMBERS.index(gold) + 1])
        extra = [pick(rng, people) for _ in range(turns - len(people))]
        texts = permuted(rng, TURNS[split])
        order = permuted(rng, [*people, *extra])
        lines = tuple(Line(speaker=speaker, text=text) for speaker, text in zip(order, texts))
        return in_noise(rng, Script(lines=lines)) if difficulty == "hard" else Script(lines=lines)

    return Task(
        question=pick(rng, asked),
        options=options,
        script=script,
        holds=lambda script, option: (
            len({line.speaker for line in script.lines}) == NUMBERS.index(option) + 1
        ),
    )

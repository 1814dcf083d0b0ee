"""Speech skills about emotions, which the voice shows by the convention of
`shared_data.world.speech.prosody`.

Easy, medium, hard:
- Emotion State summarisation: one speaker; a man and a woman; one of them, more weakly acted, in noise, while
  the other shows another of the options.
- Dissonant Emotion Interpretation: the words say one of the options and the voice another; both are asked
  for; in noise, which of four speakers has a voice that does not fit the words.
- Emotion Flip Detection: from what to what one speaker changes; which of two does, both or neither; in noise,
  in which of five sentences.
"""

from __future__ import annotations

from itertools import combinations, permutations

from core.scenes.phrasings import ORDINALS
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, permuted, pick
from shared_data.world.speech.espeak import Kind
from shared_data.world.speech.prosody import EMOTIONS, Line, Script
from shared_data.world.speech.scripts import Task, anyone, cast, in_noise

PAIR: tuple[Kind, Kind] = ("man", "woman")
STRENGTH = {"easy": 1.0, "medium": 0.9, "hard": 0.8}
NEUTRAL: dict[Split, tuple[str, ...]] = {
    "train": (
        *("The train leaves at half past nine.", "There is a letter on the table."),
        *("The shop closes at six today.", "We have moved the chairs outside."),
        *("The meeting is on the second floor.", "I put the keys next to the door."),
        *("My sister works in the city.", "The new books are in the box."),
    ),
    "test": (
        *("The bus stops behind the station.", "Someone has opened the window."),
        *("The parcel came this morning.", "They painted the fence on Tuesday."),
        *("Your coat is in the other room.", "The library is across the street."),
        *("His cousin lives near the river.", "The children are in the garden."),
    ),
}
SHORT: dict[Split, tuple[str, ...]] = {
    "train": (
        *("It is ten o'clock.", "I saw your brother.", "The bag is here.", "We can go now."),
        *("You have a visitor.", "This is my room.", "He called me again.", "The car is outside."),
    ),
    "test": (
        *("It is nearly noon.", "I met your teacher.", "The key is there.", "They will come soon."),
        *("You got a message.", "That is her seat.", "She asked me twice.", "The bus is late."),
    ),
}
WORDED: dict[str, dict[Split, tuple[str, ...]]] = {  # sentences whose words state an emotion
    "happy": {
        "train": ("This is the best day ever.", "I am so glad we won.", "How lovely, I feel wonderful."),
        "test": ("What great news, I love it.", "I could dance with joy.", "Life is beautiful today."),
    },
    "sad": {
        "train": ("I miss my dear old friend.", "Everything I loved is gone.", "I cried the whole night."),
        "test": ("My heart is broken.", "I have lost all hope.", "Nobody will ever comfort me."),
    },
    "angry": {
        "train": ("Get out of my house now.", "How dare you lie to me.", "I hate your stupid excuses."),
        "test": ("Shut up and leave me alone.", "You ruined it, you fool.", "I am furious with you."),
    },
    "afraid": {
        "train": ("Help, something is behind me.", "Please do not hurt me.", "I am scared of the dark."),
        "test": ("Oh no, it is coming closer.", "I think we are in danger.", "I am too frightened to look."),
    },
}


def state(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """How one speaker feels, or two do. The words are neutral."""
    if difficulty == "easy":
        speaker = anyone(rng, split)
        asked = (
            "How does the speaker feel?",
            "Which emotion does the voice show?",
            "What is the emotional state of the speaker?",
        )
        return Task(
            question=pick(rng, asked),
            options=draw_options(rng, EMOTIONS),
            script=lambda rng, gold: Script(
                lines=(Line(speaker=speaker, text=pick(rng, NEUTRAL[split]), emotion=gold),)
            ),
            holds=lambda script, option: script.lines[0].emotion == option,
            felt=True,
        )
    kinds: tuple[Kind, ...] = permuted(rng, PAIR)
    speakers = cast(rng, split, kinds)
    texts = permuted(rng, NEUTRAL[split])[:2]
    if difficulty == "medium":
        pairs = {
            f"the man is {man}, the woman {woman}": {"man": man, "woman": woman}
            for man, woman in permutations(EMOTIONS, 2)
        }
        asked = (
            "How do the two speakers feel?",
            "Which emotions do the man and the woman show?",
            "What are the emotional states of both speakers?",
        )

        def two(rng: Rng, gold: str) -> Script:
            feelings = [pairs[gold][kind] for kind in kinds]
            lines = (
                Line(speaker=speaker, text=text, emotion=feeling)
                for speaker, text, feeling in zip(speakers, texts, feelings)
            )
            return Script(lines=tuple(lines), strength=STRENGTH["medium"])

        return Task(
            question=pick(rng, asked),
            options=draw_options(rng, tuple(pairs)),
            script=two,
            holds=lambda script, option: all(
                pairs[option][line.speaker.voice.kind] == line.emotion for line in script.lines
            ),
            felt=True,
        )
    at = int(rng.integers(2))
    options = draw_options(rng, EMOTIONS)
    asked = (
        f"How does the {kinds[at]} feel?",
        f"Which emotion does the voice of the {kinds[at]} show?",
        f"What is the emotional state of the {kinds[at]}?",
    )

    def one_of_two(rng: Rng, gold: str) -> Script:
        other = pick(rng, [option for option in options if option != gold])
        feelings = (gold, other) if at == 0 else (other, gold)
        lines = (
            Line(speaker=speaker, text=text, emotion=feeling)
            for speaker, text, feeling in zip(speakers, texts, feelings)
        )
        return in_noise(rng, Script(lines=tuple(lines), strength=STRENGTH["hard"]))

    return Task(
        question=pick(rng, asked),
        options=options,
        script=one_of_two,
        holds=lambda script, option: script.lines[at].emotion == option,
        felt=True,
    )


def dissonance(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """The words say one emotion, the voice shows another."""
    speaker = anyone(rng, split)
    if difficulty == "easy":
        options = draw_options(rng, tuple(WORDED))
        asked = (
            "How does the speaker really feel, judging by the voice?",
            "Which emotion does the voice show, whatever the words say?",
            "What feeling does the tone reveal in spite of the words?",
        )

        def contrary(rng: Rng, gold: str) -> Script:
            said = pick(rng, [option for option in options if option != gold])
            return Script(lines=(Line(speaker=speaker, text=pick(rng, WORDED[said][split]), emotion=gold),))

        return Task(
            question=pick(rng, asked),
            options=options,
            script=contrary,
            holds=lambda script, option: script.lines[0].emotion == option,
        )
    if difficulty == "medium":
        pairs = {
            f"{words} words in {'an' if voice[0] == 'a' else 'a'} {voice} voice": (words, voice)
            for words, voice in permutations(WORDED, 2)
        }
        asked = (
            "Which feelings do the words and the voice show?",
            "How do the words and the tone differ?",
            "What does the speaker say, and in which tone?",
        )

        def mixed(rng: Rng, gold: str) -> Script:
            said, voiced = pairs[gold]
            text = pick(rng, WORDED[said][split])
            return Script(
                lines=(Line(speaker=speaker, text=text, emotion=voiced),), strength=STRENGTH["medium"]
            )

        return Task(
            question=pick(rng, asked),
            options=draw_options(rng, tuple(pairs)),
            script=mixed,
            holds=lambda script, option: (
                (worded(script.lines[0].text), script.lines[0].emotion) == pairs[option]
            ),
        )
    kinds: tuple[Kind, ...] = permuted(rng, ("man", "man", "woman", "woman"))
    people = cast(rng, split, kinds)
    options = tuple(f"the {ordinal} speaker" for ordinal in ORDINALS[:4])
    asked = (
        "Whose voice does not fit the words?",
        "Which speaker's tone contradicts what is said?",
        "Which speaker does not sound as the words suggest?",
    )

    def misfit(rng: Rng, gold: str) -> Script:
        lines = []
        for place, said in enumerate(permuted(rng, tuple(WORDED))):
            others = [emotion for emotion in WORDED if emotion != said]
            voiced = pick(rng, others) if place == options.index(gold) else said
            lines.append(Line(speaker=people[place], text=pick(rng, WORDED[said][split]), emotion=voiced))
        return in_noise(rng, Script(lines=tuple(lines), strength=STRENGTH["hard"], pause=0.25))

    def does_not_fit(script: Script, option: str) -> bool:
        line = script.lines[options.index(option)]
        return line.emotion != worded(line.text)

    return Task(question=pick(rng, asked), options=options, script=misfit, holds=does_not_fit)


def flip(rng: Rng, difficulty: Difficulty, split: Split) -> Task:
    """A feeling that changes: from what to what, whose, when. The words are neutral."""
    if difficulty == "easy":
        speaker = anyone(rng, split)
        changes = {f"from {one} to {other}": (one, other) for one, other in permutations(EMOTIONS, 2)}
        asked = (
            "How does the speaker's feeling change?",
            "Which change of emotion do you hear?",
            "How does the emotion in the voice flip?",
        )

        def turn(rng: Rng, gold: str) -> Script:
            texts = permuted(rng, NEUTRAL[split])
            lines = (
                Line(speaker=speaker, text=text, emotion=feeling)
                for text, feeling in zip(texts, changes[gold])
            )
            return Script(lines=tuple(lines))

        return Task(
            question=pick(rng, asked),
            options=draw_options(rng, tuple(changes)),
            script=turn,
            holds=lambda script, option: tuple(line.emotion for line in script.lines) == changes[option],
            felt=True,
        )
    if difficulty == "medium":
        who: dict[str, frozenset[Kind]] = {
            "only the man": frozenset({"man"}),
            "only the woman": frozenset({"woman"}),
            "both of them": frozenset(PAIR),
            "neither of the two": frozenset(),
        }
        kinds: tuple[Kind, ...] = permuted(rng, PAIR)
        speakers = cast(rng, split, kinds)
        asked = (
            "Whose feeling changes during the talk?",
            "Which of the two speakers has an emotion flip?",
            "Who sounds different in the second turn?",
        )

        def turns(rng: Rng, gold: str) -> Script:
            texts = permuted(rng, SHORT[split])
            before = [pick(rng, EMOTIONS) for _ in kinds]
            after = [
                pick(rng, [e for e in EMOTIONS if e != feeling]) if kind in who[gold] else feeling
                for kind, feeling in zip(kinds, before)
            ]
            lines = (
                Line(speaker=speaker, text=text, emotion=feeling)
                for speaker, text, feeling in zip(speakers * 2, texts, before + after)
            )
            return Script(lines=tuple(lines), strength=STRENGTH["medium"], pause=0.25)

        def changed(script: Script, option: str) -> bool:
            felt: dict[Kind, set[str]] = {"man": set(), "woman": set()}
            for line in script.lines:
                felt[line.speaker.voice.kind].add(line.emotion)
            return {kind for kind, feelings in felt.items() if len(feelings) > 1} == who[option]

        return Task(question=pick(rng, asked), options=tuple(who), script=turns, holds=changed, felt=True)
    speaker = anyone(rng, split)
    options = tuple(f"the {ordinal} sentence" for ordinal in ORDINALS[1:5])
    asked = (
        "In which sentence does the speaker's emotion change?",
        "Which sentence is the first in a new emotion?",
        "At which sentence does the feeling in the voice flip?",
    )

    def moment(rng: Rng, gold: str) -> Script:
        before, after = permuted(rng, pick(rng, tuple(combinations(EMOTIONS, 2))))
        turn = ORDINALS.index(gold.split()[1])
        lines = (
            Line(speaker=speaker, text=text, emotion=before if place < turn else after)
            for place, text in enumerate(permuted(rng, SHORT[split])[:5])
        )
        return in_noise(rng, Script(lines=tuple(lines), strength=STRENGTH["hard"], pause=0.25))

    def turned(script: Script, option: str) -> bool:
        at = ORDINALS.index(option.split()[1])
        return script.lines[at].emotion != script.lines[at - 1].emotion

    return Task(question=pick(rng, asked), options=options, script=moment, holds=turned, felt=True)


def worded(text: str) -> str:
    """The emotion that the words of a sentence state."""
    return next(
        emotion for emotion, lists in WORDED.items() if any(text in texts for texts in lists.values())
    )

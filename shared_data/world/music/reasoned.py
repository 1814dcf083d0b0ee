"""Genre, mood, occasion and tradition: pieces in the styles of `shared_data.world.music.styles` and
`customs`, read back.

Easy: the style's own instruments. Medium: melody and chords on a piano, so that rhythm, scale and tempo tell.
Hard: two of the options in a row, both on a piano, and one half is asked about.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.scenes.phrasings import HOW_MANY, KEYS
from shared_data.world.exams.item import Difficulty, Rng, Split, draw_options, pick
from shared_data.world.music.arranging import band, fits, play
from shared_data.world.music.notation import Score, join, sections
from shared_data.world.music.occasions import OCCASIONS, TRADITIONS
from shared_data.world.music.plan import Plan
from shared_data.world.music.styles import GENRES, MAJOR, MINOR, MOODS, Style

HALVES = ("first", "second")
SECONDS, HALF_SECONDS = 8.4, 4.3  # at most, where a bar fits


def genre(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Which of GENRES."""
    whole = (
        "Which genre fits this music best?",
        "What style of music is this?",
        "To which genre does this music belong?",
    )
    half = (
        "Which genre fits the {} half best?",
        "What style of music is the {} half?",
        "To which genre does the {} half belong?",
    )
    return _plan(rng, difficulty, split, GENRES, whole, half)


def mood(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Which of MOODS."""
    whole = (
        "What mood does this music convey?",
        "How does this music feel?",
        "Which emotional tone fits this music?",
    )
    half = (
        "What mood does the {} half convey?",
        "How does the {} half of the music feel?",
        "Which emotional tone fits the {} half?",
    )
    return _plan(rng, difficulty, split, MOODS, whole, half)


def culture(rng: Rng, difficulty: Difficulty, split: Split) -> Plan:
    """Which of OCCASIONS or of TRADITIONS."""
    if rng.random() < 0.5:
        whole = (
            "For which occasion is this music most fitting?",
            "Where would this music most likely be played?",
            "Which setting suits this music best?",
        )
        half = (
            "For which occasion is the {} half most fitting?",
            "Where would the {} half most likely be played?",
            "Which setting suits the {} half best?",
        )
        return _plan(rng, difficulty, split, OCCASIONS, whole, half)
    whole = (
        "Which region's tradition does this music follow?",
        "Where does this style of music come from?",
        "Which place is this kind of music typical of?",
    )
    half = (
        "Which region's tradition does the {} half follow?",
        "Where does the style of the {} half come from?",
        "Which place is the {} half typical of?",
    )
    return _plan(rng, difficulty, split, TRADITIONS, whole, half)


def _plan(
    rng: Rng,
    difficulty: Difficulty,
    split: Split,
    table: Sequence[Style],
    whole: Sequence[str],
    halves: Sequence[str],
) -> Plan:
    known = {style.name: style for style in table}
    options = draw_options(rng, tuple(known))
    styles = [known[option] for option in options]
    asked, other = int(rng.integers(2)), int(rng.integers(1, 4))
    hard = difficulty == "hard"
    question = pick(rng, halves).format(HALVES[asked]) if hard else pick(rng, whole)

    def write(gold: int, rng: Rng) -> Score:
        if not hard:
            return band(styles[gold], rng, split, seconds=SECONDS, alike=difficulty == "medium")
        order = [styles[gold], styles[(gold + other) % 4]]
        first, second = (
            band(style, rng, split, seconds=HALF_SECONDS, alike=True) for style in order[:: 1 - 2 * asked]
        )
        return join(first, second)

    def holds(place: int, score: Score) -> bool:
        return fits(styles[place], sections(score)[asked if hard else 0])

    def tell(score: Score) -> str:
        told = [
            next(_told(style, piece) for style in styles if fits(style, piece)) for piece in sections(score)
        ]
        return f"{', then '.join([told[0], *(text[0].lower() + text[1:] for text in told[1:])])}."

    return Plan(question=question, options=options, write=write, holds=holds, tell=tell)


def _told(style: Style, score: Score) -> str:
    modes: dict[tuple[int, ...], str] = {MAJOR: "major", MINOR: "minor"}
    mode = modes.get(style.scale)
    key = f", in {KEYS[score.tonic]} {mode}" if mode else ""
    return (
        f"{play(score)} {style.facts}, {HOW_MANY[int(score.bar)]} beats to a bar, at "
        f"{score.tempos[0][1]:.0f} beats per minute{key}"
    )

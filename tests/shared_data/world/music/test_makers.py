"""The music skills: every gold of every text can be made and is alone true; no text tells the gold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import binomtest

from core.data.choices import SKILLS
from core.metrics.choice_rules import words
from core.scenes.bank import Bank
from core.scenes.phrasings import listed
from shared_data.world.exams.blind import gold_places, report
from shared_data.world.exams.item import DIFFICULTIES, Draft, ItemError, Split, World, check_sound
from shared_data.world.music import arranging as band_module
from shared_data.world.music.arranging import band, chord, fits, play, walk
from shared_data.world.music.harmony import CADENCES, PROGRESSIONS, degrees, numerals
from shared_data.world.music.lyrics import CHEERFUL, GLOOMY, THEMES, WANTED
from shared_data.world.music.makers import MAKERS, PLANNERS, UNBUILT
from shared_data.world.music.melody import contour, form, motion, relation
from shared_data.world.music.notation import Note, Score, part, render
from shared_data.world.music.occasions import OCCASIONS, TRADITIONS
from shared_data.world.music.plan import finish, verify
from shared_data.world.music.rhythm import changed
from shared_data.world.music.styles import GENRES, MOODS
from shared_data.world.music.texture import TEXTURES, woven
from shared_data.world.music.timing import ended
from shared_data.world.music.words import lyrics, perform
from shared_data.world.speech.espeak import VOICES, why_absent

SPLITS: tuple[Split, ...] = ("train", "test")
WORLDS: dict[str, World] = {split: World(Bank((), (), 16000), split) for split in SPLITS}
RATE = 16000
RNG = np.random.default_rng
UNREAD = ("something else", "another texture", "another course", "another way", "?", "other chords")


@lru_cache
def drafts(skill: str, split: str, n: int) -> tuple[Draft, ...]:
    return tuple(
        MAKERS[skill](RNG([seed, split == "train"]), DIFFICULTIES[seed % 3], WORLDS[split])
        for seed in range(n)
    )


def test_names_are_the_official_music_skills() -> None:
    official = {name for name, skill in SKILLS.items() if skill.domain == "music"}
    assert {*MAKERS, *UNBUILT} == official
    assert not set(MAKERS) & set(UNBUILT)
    assert ("Lyrical Reasoning" in MAKERS) == (why_absent() is None)


@pytest.mark.parametrize("skill", PLANNERS)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_gold_of_a_text_is_made_and_alone_true(skill: str, difficulty: str) -> None:
    for seed in range(30):
        plan = PLANNERS[skill](RNG(seed), difficulty, SPLITS[seed % 2])
        for gold in range(4):
            draft = finish(plan, gold, RNG([seed, gold]), skill=skill, difficulty=difficulty)
            assert (draft.skill, draft.difficulty) == (skill, difficulty)
            assert (draft.choices, draft.answer) == (plan.options, plan.options[gold])
            assert draft.facts == plan.tell(plan.write(gold, RNG([seed, gold])))


@pytest.mark.parametrize("skill", PLANNERS)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_a_score_of_another_gold_is_refused(skill: str, difficulty: str) -> None:
    for seed in range(4):
        plan = PLANNERS[skill](RNG(seed), difficulty, "train")
        with pytest.raises(ItemError, match="should be"):
            verify(plan, 0, plan.write(1, RNG(seed)))


@pytest.mark.parametrize("skill", MAKERS)
def test_drafts_are_deterministic_and_different(skill: str) -> None:
    for draft, again in zip(drafts(skill, "train", 60), drafts.__wrapped__(skill, "train", 60), strict=True):
        assert replace(draft, sound=None) == replace(again, sound=None)
    texts = {
        (draft.question, draft.choices, draft.answer, draft.facts) for draft in drafts(skill, "train", 60)
    }
    assert len(texts) == 60


@pytest.mark.parametrize("skill", MAKERS)
def test_sounds_have_the_right_form_and_are_the_same_each_time(skill: str) -> None:
    for draft in drafts(skill, "train", 6) + drafts(skill, "test", 3):
        sound = check_sound(draft.sound(RATE), sample_rate=RATE, what=draft.facts)
        assert 2 <= len(sound) / RATE <= 9.1, draft
        assert np.square(sound).mean() > 1e-4, draft
    np.testing.assert_array_equal(sound, draft.sound(RATE))


@pytest.mark.parametrize("skill", MAKERS)
def test_texts_are_plain(skill: str) -> None:
    found = drafts(skill, "train", 400)
    assert len({draft.question for draft in found}) >= 3
    for draft in found:
        assert draft.question.endswith("?")
        assert "  " not in draft.facts
        assert draft.facts.endswith((".", '."'))
        assert not any(words in draft.facts for words in UNREAD), draft


@pytest.mark.parametrize("skill", MAKERS)
def test_splits_share_no_program_and_no_voice(skill: str) -> None:
    train, test = ({clip for draft in drafts(skill, split, 400) for clip in draft.clips} for split in SPLITS)
    assert train
    assert test
    assert not train & test


@pytest.mark.parametrize("skill", MAKERS)
def test_text_alone_stays_near_chance(skill: str) -> None:
    """Wide intervals: forty are looked at together."""
    train, test = drafts(skill, "train", 400), drafts(skill, "test", 400)
    for name, blind in report(train, test, z=3.5)[skill].items():
        assert blind.near(0.25), (name, blind)
    assert gold_places(train + test)[1] > 1e-4


@pytest.mark.parametrize("skill", MAKERS)
def test_no_option_is_right_more_often_than_others(skill: str) -> None:
    found = drafts(skill, "train", 400) + drafts(skill, "test", 400)
    shown = Counter(option for draft in found for option in draft.choices)
    right = Counter(draft.answer for draft in found)
    for option, count in shown.items():
        assert binomtest(right[option], count, 0.25).pvalue > 1e-5, (option, right[option], count)


@pytest.mark.parametrize("table", [GENRES, MOODS, OCCASIONS, TRADITIONS])
@pytest.mark.parametrize("alike", [False, True])
def test_a_piece_keeps_the_rules_of_its_style_alone(table: tuple, alike: bool) -> None:
    names = [words(style.name) for style in table]
    assert len(set(names)) == len(names)
    for seed, style in enumerate(table):
        for seconds in (4.3, 8.4):
            score = band(style, RNG(seed), SPLITS[seed % 2], seconds=seconds, alike=alike)
            assert [other.name for other in table if fits(other, score)] == [style.name]


@pytest.mark.parametrize("style", [*GENRES, *MOODS])
def test_a_changed_rule_is_noticed(style: band_module.Style) -> None:
    score = band(style, RNG(0), "train", seconds=8)
    lead, *others = score.parts
    later = replace(
        lead, notes=tuple(replace(note, start=note.start + 0.1, length=0.05) for note in lead.notes)
    )
    wrong = next(step for step in range(12) if step not in style.scale)
    strange = replace(lead.notes[0], pitch=60 + (score.tonic + wrong) % 12)
    for changed_score in (
        replace(score, tempos=((0.0, style.tempo[1] + 5),)),
        replace(score, parts=(later, *others)),
        replace(score, parts=(replace(lead, notes=(strange, *lead.notes[1:])), *others)),
        replace(score, bar=style.bar + 1),
    ):
        assert not fits(style, changed_score)


def score_of(pitches: list[int], **changes: object) -> Score:
    line = part(RNG(0), "piano", [Note(at, 0.9, pitch) for at, pitch in enumerate(pitches)], split="train")
    return Score(parts=(line,), quarters=len(pitches), tempos=((0.0, 120.0),), **changes)


@pytest.mark.parametrize(
    ("pitches", "shape"),
    [
        ([60, 62, 61, 64, 63, 66, 65, 68], "it rises steadily"),
        ([68, 67, 65, 64, 62, 61, 60, 58], "it falls steadily"),
        ([60, 62, 66, 68, 68, 66, 62, 60], "it rises to a middle peak"),
        ([68, 66, 62, 60, 60, 62, 66, 68], "it dips to a middle low point"),
        ([64] * 8, "it stays on one note"),
        ([60, 70, 60, 70, 60, 70, 60, 70], "something else"),
    ],
)
def test_contours_are_read(pitches: list[int], shape: str) -> None:
    assert contour(score_of(pitches)) == shape


def test_motion_form_and_relation_are_read() -> None:
    assert motion(score_of([60, 62, 64, 65, 64, 62])) == "small steps"
    assert motion(score_of([60, 72, 60, 71, 62, 74])) == "wide leaps"
    assert motion(score_of([60, 60, 60, 60, 67, 67, 67])) == "repeated notes"
    assert motion(score_of([60, 64, 67, 72, 67, 64])) == "broken chords"
    assert motion(score_of([60, 61, 68, 68, 72, 73, 60])) == "something else"
    assert form(score_of([60, 62, 64, 60, 62, 64, 70, 71, 72, 60, 62, 64])) == "AABA"
    assert form(score_of([60, 62, 64, 70, 71, 72, 71, 70, 69, 60, 62, 64])) == "ABCA"
    theme = [60, 64, 62, 67]
    assert relation(score_of([*theme, 67, 71, 69, 74])) == "the same tune moved higher"
    assert relation(score_of([*theme, 60, 56, 58, 53])) == "the tune turned upside down"
    assert relation(score_of([*theme, 67, 62, 64, 60])) == "the tune played backwards"
    assert relation(score_of([*theme, 60, 60, 60, 60])) == "something else"


def test_textures_are_read_from_the_notes() -> None:
    tune = [Note(at, 0.9, pitch) for at, pitch in enumerate([72, 74, 76, 77, 76, 74, 72, 71])]
    low = [replace(note, pitch=note.pitch - 12) for note in tune]

    def read(*lines: list[Note], quarters: float = 12) -> str:
        parts = tuple(part(RNG(0), "piano", notes, split="train") for notes in lines)
        return woven(Score(parts=parts, quarters=quarters, tempos=((0.0, 120.0),)))

    triads = [Note(at, 3.5, pitch) for at in (0, 4) for pitch in (48, 52, 55)]
    assert read(tune) == TEXTURES[0]
    assert read(tune, triads) == TEXTURES[1]
    assert read(tune, [Note(0, 8, 48)], quarters=8) == TEXTURES[2]
    assert read(tune, [Note(at + 0.5, 0.9, 50 + at) for at in range(8)]) == TEXTURES[3]
    assert read(tune, [replace(note, start=note.start + 2) for note in low]) == TEXTURES[4]
    assert read(triads) == TEXTURES[5]
    assert read(tune[:2] + tune[4:6], low[2:4] + low[6:]) == TEXTURES[6]
    assert read(tune, low) == TEXTURES[7]
    assert read(tune, [Note(at, 0.9, 50) for at in range(8)]) == "another texture"


def test_chords_are_read_by_degree() -> None:
    def played(found: list[int]) -> Score:
        notes = [
            Note(3 * bar, 2.9, p)
            for bar, d in enumerate(found)
            for p in chord(2, (0, 2, 4, 5, 7, 9, 11), d, low=50)
        ]
        chords = part(RNG(0), "piano", notes, split="train", role="chords")
        return Score(parts=(chords,), quarters=3 * len(found), tempos=((0.0, 100.0),), tonic=2)

    for found in [*PROGRESSIONS, *((0, *pair) for pair in CADENCES.values())]:
        assert degrees(played(list(found))) == list(found)
    assert numerals([0, 4, 5, 3]) == "I-V-vi-IV"
    assert degrees(replace(played([0, 4]), tonic=3)) == [-1, -1]


@pytest.mark.parametrize(
    ("tempos", "change"),
    [
        ([100] * 12, "it stays steady"),
        ([80 * 1.06**at for at in range(12)], "it gets gradually faster"),
        ([160 / 1.06**at for at in range(12)], "it gets gradually slower"),
        ([80] * 6 + [130] * 6, "it jumps to a faster tempo"),
        ([130] * 6 + [80] * 6, "it drops to a slower tempo"),
    ],
)
def test_changes_of_tempo_are_read(tempos: list[float], change: str) -> None:
    beats = part(RNG(0), "drums", [Note(at, 0.2, 36) for at in range(12)], split="train")
    score = Score(
        parts=(beats,), quarters=12, tempos=tuple((float(at), bpm) for at, bpm in enumerate(tempos))
    )
    assert changed(score) == change


def test_an_even_piece_has_none_of_the_endings() -> None:
    assert ended(score_of([60, 62, 64, 65, 67, 65, 64, 62])) == "it ends in another way"


def test_walks_stay_on_their_rungs_and_never_repeat() -> None:
    for seed in range(50):
        pitches = walk(RNG(seed), [60, 62, 64], 20)
        assert set(pitches) <= {60, 62, 64}
        assert all(np.diff(pitches) != 0)


def test_instruments_are_listed_in_words() -> None:
    assert listed(["organ", "drums", "flute"]) == "an organ, drums and a flute"
    assert play(score_of([60, 62])) == "A piano plays"


def test_no_line_of_lyrics_is_in_both_splits_or_under_two_themes() -> None:
    lines = [
        (split, line)
        for theme in THEMES.values()
        for group in (theme.said, theme.implied)
        for split in SPLITS
        for line in group[split]
    ]
    lines += [
        (split, line) for table in (WANTED, CHEERFUL, GLOOMY) for split in SPLITS for line in table[split]
    ]
    assert len({line for _, line in lines}) == len(lines)
    assert not set(VOICES["train"]) & set(VOICES["test"])


@pytest.mark.skipif(why_absent() is not None, reason=why_absent() or "")
class TestLyrics:
    """What is spoken over music."""

    def test_every_text_has_every_gold(self) -> None:
        """The text is drawn before the gold, which the same seed of the text leaves open."""
        seen: dict[tuple[str, ...], set[str]] = {}
        for seed in range(600):
            draft = lyrics(RNG(seed), "hard", WORLDS["train"])
            seen.setdefault((draft.question, *sorted(draft.choices)), set()).add(draft.answer)
        cheerful = [golds for text, golds in seen.items() if "cheerful" in text[0]]
        assert cheerful
        assert all(len(golds) == 4 for golds in cheerful)

    def test_words_are_louder_than_the_music(self) -> None:
        song = lyrics(RNG(1), "easy", WORLDS["train"]).sound.args[0]
        sound = perform(song, RATE)
        music = render(song.under, RATE)
        before = sound[: round(0.35 * RATE)]
        assert np.abs(music).max() > 0.4
        assert np.abs(before).max() > 1e-3
        assert np.square(sound[RATE // 2 : -RATE]).mean() > 5 * np.square(before).mean()

    def test_lines_that_take_too_long_are_refused(self) -> None:
        song = lyrics(RNG(1), "easy", WORLDS["train"]).sound.args[0]
        with pytest.raises(ItemError, match="shorten the line"):
            perform(replace(song, words="a very long line that goes on and on and on " * 4), RATE)

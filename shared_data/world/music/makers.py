"""The ten music skills of MMAU, made as scores; every score is read back and checked against its answer.

What easy, medium and hard mean (never the length of a text):

- Rhythm and Tempo Understanding: far numbers on drums; closer ones with bass and chords; the closest, with a
  syncopated melody, uneven strokes, or one instrument for strong and weak beats.
- Instrumentation: a solo; the melody over another option, or how many play; all four options at once
  (highest, lowest), or three of them (not heard).
- Musical Texture Interpretation: two timbres, slow; faster, or layers that come and go; one instrument for
  all voices.
- Melodic Structure Interpretation: shape or motion of a slow line; faster over a chord, or a scale; the form
  of four phrases, or what a second phrase does with the first.
- Harmony and Chord Progressions: block chords; broken chords over a bass; faster and under a melody, or
  sevenths.
- Temporal Reasoning: first or last of two; of three, an entry's time, or the ending; all four options heard.
- Musical Genre Reasoning, Emotional Tone Interpretation, Socio-cultural Interpretation: own instruments; the
  same on a piano; two options in a row on a piano. Conventions: `shared_data.world.music.styles`,
  `shared_data.world.music.occasions`.
- Lyrical Reasoning: a theme that is said; one that is implied; all options mentioned and one wanted, or words
  against music. The words are spoken: espeak-ng does not sing.

No instrument program, drum kit, voice or spoken line is in both splits. Skill names are those of Sakshi et
al., "MMAU: A Massive Multi-Task Audio Understanding and Reasoning Benchmark", ICLR 2025.
"""

from __future__ import annotations

from shared_data.world.exams.item import Maker
from shared_data.world.music.harmony import harmony
from shared_data.world.music.melody import melody
from shared_data.world.music.plan import Planner, maker
from shared_data.world.music.players import instruments
from shared_data.world.music.reasoned import culture, genre, mood
from shared_data.world.music.rhythm import rhythm
from shared_data.world.music.texture import texture
from shared_data.world.music.timing import temporal
from shared_data.world.music.words import lyrics
from shared_data.world.speech.espeak import why_absent

PLANNERS: dict[str, Planner] = {
    "Rhythm and Tempo Understanding": rhythm,
    "Instrumentation": instruments,
    "Musical Texture Interpretation": texture,
    "Melodic Structure Interpretation": melody,
    "Harmony and Chord Progressions": harmony,
    "Temporal Reasoning": temporal,
    "Musical Genre Reasoning": genre,
    "Emotional Tone Interpretation": mood,
    "Socio-cultural Interpretation": culture,
}
_ABSENT = why_absent()
MAKERS: dict[str, Maker] = {skill: maker(skill, planner) for skill, planner in PLANNERS.items()}
MAKERS |= {} if _ABSENT else {"Lyrical Reasoning": lyrics}
UNBUILT: dict[str, str] = {"Lyrical Reasoning": _ABSENT} if _ABSENT else {}

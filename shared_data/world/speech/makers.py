"""The ten speech skills of MMAU, spoken by espeak-ng.

Nothing here is recorded: emotions and stress are prosody by the convention of
`shared_data.world.speech.prosody`, and noise is synthesised. No voice and no spoken sentence is in both
splits; jobs, topics and events of history are, since they are what the skills ask knowledge of. What easy,
medium and hard mean stands in `words`, `feelings` and `talk` beside this module: hard items are in noise, and
often another of their options is heard too.

Without espeak-ng there are no makers, and `UNBUILT` gives the reason.
"""

from __future__ import annotations

from functools import partial

from shared_data.world.exams.item import Maker
from shared_data.world.speech.espeak import why_absent
from shared_data.world.speech.feelings import dissonance, flip, state
from shared_data.world.speech.scripts import Text, draft
from shared_data.world.speech.talk import event, fact, highlight, role
from shared_data.world.speech.words import counting, sequence, stress

TEXTS: dict[str, Text] = {
    "Phonological Sequence Decoding": sequence,
    "Phonemic Stress Pattern Analysis": stress,
    "Emotion State summarisation": state,
    "Dissonant Emotion Interpretation": dissonance,
    "Event-Based Knowledge Retrieval": event,
    "Counting": counting,
    "Multi Speaker Role Mapping": role,
    "Conversational Fact Retrieval": fact,
    "Key highlight Extraction": highlight,
    "Emotion Flip Detection": flip,
}
_ABSENT = why_absent()
MAKERS: dict[str, Maker] = (
    {} if _ABSENT else {skill: partial(draft, skill=skill, text=text) for skill, text in TEXTS.items()}
)
UNBUILT: dict[str, str] = dict.fromkeys(TEXTS, _ABSENT) if _ABSENT else {}

"""The seven sound skills of MMAU, made of a bank's clips; every timeline is checked against its answer.

What easy, medium and hard mean (never the length of a text):

- Eco-Acoustic Knowledge: one animal alone; traits and groups among other sounds; four animals, one of them
  during the rain (wind, ...) that the question names.
- Sound-Based Event Recognition: one sound alone, options of different families; among three in noise; all
  four options heard and one twice, or three of four in overlapping pairs and one not at all.
- Acoustic Source Inference: named sources; riddles in place of names and another sound; riddles of one family
  (four animals, four tools) under a louder sound, or three of four heard.
- Event-Based Sound Reasoning: a cause and its reaction; with one more option heard on the other side of it;
  with all options heard. Convention: what directly follows a sudden sound is the reaction to it.
- Ambient Sound Interpretation: a background 4 dB below one other sound; 8 dB below, with an option heard for
  a moment; 10 dB below with all options heard for a moment, or a background that changes half-way.
- Acoustic Scene Reasoning: three typical sounds; two with a neutral one; one quiet one among neutral ones in
  noise, or two places of which one is asked. Convention: `shared_data.world.exams.common_knowledge` says
  what is typical of a place.
- Temporal Event Reasoning: first or last of two or three sounds; first, last, next or number among four or
  five; second, third, previous, overlapping or longest of close ones.

A person's voice and an animal's call are told by their label in the bank, not by what they may mean.
Mixing, levels and background noise: `shared_data.world.exams.layout` and `core.scenes.compose`. Skill names
are those of Sakshi et al., "MMAU: A Massive Multi-Task Audio Understanding and Reasoning Benchmark", ICLR
2025.
"""

from __future__ import annotations

from shared_data.world.exams.item import Maker
from shared_data.world.exams.plan import Planner, maker
from shared_data.world.exams.sound_events import event_based, recognition, temporal
from shared_data.world.exams.sound_knowledge import ambient, eco_acoustic, scene_reasoning, source_inference

PLANNERS: dict[str, Planner] = {
    "Eco-Acoustic Knowledge": eco_acoustic,
    "Sound-Based Event Recognition": recognition,
    "Acoustic Source Inference": source_inference,
    "Event-Based Sound Reasoning": event_based,
    "Ambient Sound Interpretation": ambient,
    "Acoustic Scene Reasoning": scene_reasoning,
    "Temporal Event Reasoning": temporal,
}
MAKERS: dict[str, Maker] = {skill: maker(skill, planner) for skill, planner in PLANNERS.items()}
UNBUILT: dict[str, str] = {}  # skill -> why it cannot be built honestly

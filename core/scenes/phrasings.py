"""The wordings of all questions, per task; the first one is used at evaluation.

Sounds stand in them as the phrases of the book do ("a dog barking", "sea waves breaking"), singular or
plural, so no verb may agree with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

YES, NO = "yes", "no"
ABSENT = "not heard"  # the key of a question about a sound that is not there
NUMBERS = ("one", "two", "three", "four")

CLOSED = "Closed-ended question: "

# The prompts of LTU's and GAMA's evaluation scripts.
PROMPT_CLASSIFY = CLOSED + "Classify the sound events in the audio clip."
PROMPT_CAPTION = CLOSED + "Write an audio caption describing the sound."
PROMPT_AUDIOCAPS = CLOSED + "Write an audio caption describing the sound, in AudioCaps style."
PROMPT_CLOTHO = CLOSED + "Create a caption for audio, in Clotho style."
PROMPT_DETAIL = "Write an audio caption describing the sound in detail."

# task -> wordings. {a}, {b}: phrases; {place}: "on a farm"; {doing}: "crying"; {which}: first, last, longest;
# {side}: before, after; {size}: longest, shortest.
PHRASINGS: Mapping[str, tuple[str, ...]] = {
    "classification": (
        PROMPT_CLASSIFY,
        CLOSED + "Which sound events are in the audio clip?",
        CLOSED + "List the labels of the sounds.",
    ),
    "caption": (
        PROMPT_CAPTION,
        PROMPT_AUDIOCAPS,
        CLOSED + "Describe the sound in one sentence.",
        CLOSED + "Caption this audio.",
    ),
    "clotho": (PROMPT_CLOTHO,),
    "presence": ("Can you hear {a}?", "Can {a} be heard in the audio?", "Do you hear {a} in this clip?"),
    "first": ("Which sound comes first?", "What is heard first?", "What does the audio start with?"),
    "last": ("Which sound comes last?", "What is heard last?", "What does the audio end with?"),
    "order": (
        "Can {a} be heard {side} {b}?",
        "Does the sound of {a} come {side} the sound of {b}?",
        "Is the sound of {a} heard {side} {b}?",
    ),
    "overlap": (
        "Can {a} and {b} be heard at the same time?",
        "Do the sounds of {a} and {b} overlap?",
        "Is the sound of {a} heard together with {b}?",
    ),
    "longer": (
        "Which sound is longer, {a} or {b}?",
        "Which one lasts longer: {a} or {b}?",
        "Of {a} and {b}, which is heard for longer?",
    ),
    "count": (
        "How many different sounds are heard?",
        "Count the different sounds in the audio.",
        "How many kinds of sounds are there?",
    ),
    "describe": (
        PROMPT_DETAIL,
        "Describe the audio in detail.",
        "What happens in this audio, from the beginning to the end?",
    ),
    "where": (
        "Where might the {which} sound be heard?",
        "What place does the {which} sound suggest?",
        "Judging by the {which} sound, where is this?",
    ),
    "where_all": (
        "Where might this audio have been recorded?",
        "What place do the sounds suggest?",
        "Judging by all that is heard, where is this?",
    ),
    "why": (
        "Could this be {place}, and why?",
        "Might this audio have been recorded {place}? Say why.",
        "Does a sound in the audio belong {place}? Explain.",
    ),
    "who": (
        "Who is {doing}?",
        "Who is heard {doing} in the audio?",
        "Who makes the sound of {doing}?",
    ),
    "who_any": ("Who can be heard?", "Whose voice is in the audio?", "Who uses their voice?"),
    "presence_order": (
        "If {a} can be heard, what comes {side} it?",
        "Can you hear {a}, and if so, what is heard {side} it?",
        "Name the sound {side} {a}, if there is one of {a}.",
    ),
    "order_duration": (
        "Is the {which} sound also the {size} one?",
        "Does the {which} sound also happen to be the {size}?",
        "Compare all lengths: is the {size} sound the {which} one?",
    ),
    "duration_order": (
        "What is heard {side} the {size} sound?",
        "Find the {size} sound. What comes {side} it?",
        "Name the sound that comes {side} the {size} one.",
    ),
    "agent_order": (
        "Whose voice is heard {side} {a}?",
        "Considering what is heard {side} {a}, who is there?",
        "Tell who can be heard {side} {a}.",
    ),
    "setting_order": (
        "Considering what is heard {side} {a}, where might this be?",
        "What place does the sound {side} {a} suggest?",
        "Infer the place from the sound {side} {a}.",
    ),
    "duration_setting": (
        "Considering the {size} sound, where might this be?",
        "What place does the {size} sound suggest?",
        "Infer the place from the {size} sound.",
    ),
    "position_setting": (
        "Could the {which} sound be heard {place}?",
        "Does the {which} sound belong {place}?",
        "Would you expect the {which} sound {place}?",
    ),
}

# The words in which a description tells music and speech.
KEYS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
HOW_MANY = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
ADVERBS = {"happy": "happily", "sad": "sadly", "angry": "angrily", "afraid": "fearfully", "calm": "calmly"}


def listed(names: Sequence[str]) -> str:
    """ "a flute, an organ and drums"."""
    bare = ("drums", "strings", "brass", "bells", "bass")
    words = [name if name in bare else f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

"""Lines of lyrics by theme, wish and feeling; none is in both splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared_data.world.exams.item import Split


@dataclass(frozen=True)
class Theme:
    """What lyrics are about: lines per split that say it, and lines from which it follows."""

    said: Mapping[Split, tuple[str, ...]]
    implied: Mapping[Split, tuple[str, ...]]


THEMES: dict[str, Theme] = {
    "leaving home": Theme(
        {
            "train": ("I packed my bags and left my home today", "Goodbye my home, I have to go away"),
            "test": (
                "Tonight I leave this house where I was born",
                "I am leaving the old home before the dawn",
            ),
        },
        {
            "train": (
                "One last look at the porch, the bus is here",
                "Mother waves at the gate, my case in my hand",
            ),
            "test": (
                "My room is bare, the key lies on the shelf",
                "I close the garden gate and do not turn around",
            ),
        },
    ),
    "missing a distant lover": Theme(
        {
            "train": (
                "I miss you, my love, you are so far away",
                "My darling is far, and I miss her every day",
            ),
            "test": (
                "Come back, my love, an ocean lies between us",
                "So many miles from the one that I love",
            ),
        },
        {
            "train": (
                "Your side of the bed is cold, no letter came",
                "I kiss your picture and I wait for the mail",
            ),
            "test": (
                "I wonder if you see the same moon where you are",
                "Your coat still hangs here, it smells like you",
            ),
        },
    ),
    "celebrating a birthday": Theme(
        {
            "train": ("Happy birthday to you, sing it out loud", "It is my birthday, come and dance with me"),
            "test": ("Today is your birthday, everybody cheers", "We all came here for your birthday night"),
        },
        {
            "train": ("One more candle on the cake, make a wish", "Blow them all out, you are twenty today"),
            "test": (
                "Ten years old, and the cake is on the table",
                "Open your presents, you are one year older",
            ),
        },
    ),
    "winning a race": Theme(
        {
            "train": ("I ran so fast, I won the race", "The race is over and I came in first"),
            "test": ("Nobody could catch me, the race is mine", "We won the race, we beat them all"),
        },
        {
            "train": (
                "The finish line is behind me, gold on my chest",
                "I tore the ribbon and the stadium roared",
            ),
            "test": (
                "They all saw my back, and the medal is mine",
                "One more lap, and I pass the last runner",
            ),
        },
    ),
    "a storm at sea": Theme(
        {
            "train": ("A storm is raging on the open sea", "The sea is wild, the storm is on our ship"),
            "test": ("Out at sea, and the storm will not end", "The storm throws our ship across the sea"),
        },
        {
            "train": (
                "Hold the mast, my boys, the deck is under water",
                "Thunder above, and the waves break the rudder",
            ),
            "test": (
                "The sails are torn and the sailors pray",
                "Lightning hits the mast, the hull fills with foam",
            ),
        },
    ),
    "having no money": Theme(
        {
            "train": ("I have no money, and the rent is due", "No money for bread, no money for shoes"),
            "test": ("All my money is gone, I am poor again", "Poor as a mouse, with no money at all"),
        },
        {
            "train": (
                "Holes in my pockets, the landlord at the door",
                "I count my last pennies for a loaf of bread",
            ),
            "test": (
                "The bank took the car and the bills pile up",
                "My purse is empty and the shop wants cash",
            ),
        },
    ),
    "the coming of winter": Theme(
        {
            "train": (
                "Winter is here, the snow begins to fall",
                "The cold wind tells me that winter has come",
            ),
            "test": ("Winter has begun, the lake is ice", "Here comes the winter with its coat of snow"),
        },
        {
            "train": (
                "The fields turned white while I was sleeping",
                "The last leaf is down and the pond is frozen",
            ),
            "test": (
                "White flakes are dancing down on hats and mittens",
                "Frost on the window, and the birds flew south",
            ),
        },
    ),
    "growing old": Theme(
        {
            "train": ("My hair is grey, I am growing old", "I was young once, now I am old"),
            "test": ("Old age has found me in my chair", "The years went by and I am an old man"),
        },
        {
            "train": (
                "My hands shake now upon the walking stick",
                "My grandchildren laugh at my wrinkled face",
            ),
            "test": (
                "The mirror shows white hair and tired eyes",
                "These stairs are steeper than when I was a boy",
            ),
        },
    ),
}
WISHES = (
    "fame",
    "gold",
    "wine",
    "roses",
    "a fast car",
    "a big house",
    "a long sleep",
    "a warm fire",
    "new shoes",
    "good friends",
)
WANTED: Mapping[Split, tuple[str, ...]] = {
    "train": (
        "Keep your {0}, keep your {1}, keep your {2}, all I want is {gold}",
        "Give me {gold}, I need no {0}, no {1}, no {2}",
    ),
    "test": (
        "Not {0}, not {1}, not {2}, only {gold} for me",
        "I long for {gold}, take away {0}, {1} and {2}",
    ),
}
CHEERFUL: Mapping[Split, tuple[str, ...]] = {
    "train": ("I am so happy that I dance all day", "Laugh with me, the sun is in my heart"),
    "test": ("What a wonderful day, I could sing for joy", "Everybody smiles, and I smile too"),
}
GLOOMY: Mapping[Split, tuple[str, ...]] = {
    "train": ("I cry all night, my heart is broken", "Everything is lost, and I am so alone"),
    "test": ("Tears on my pillow, nobody cares for me", "There is no hope left, only sorrow"),
}

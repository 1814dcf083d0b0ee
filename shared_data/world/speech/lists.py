"""Words and sentences for the speech skills about form. No list is used in both splits."""

from __future__ import annotations

from shared_data.world.exams.item import Split

UNLIKE: dict[Split, tuple[str, ...]] = {
    "train": (
        *("apple", "river", "candle", "garden", "pepper", "window", "tiger"),
        *("hammer", "lemon", "pillow", "ribbon", "basket", "camel", "mirror"),
    ),
    "test": (
        *("banana", "mountain", "ladder", "kitchen", "carrot", "blanket", "zebra"),
        *("pencil", "melon", "bottle", "jacket", "spider", "rocket", "butter"),
    ),
}
RHYMES: dict[Split, tuple[tuple[str, ...], ...]] = {
    "train": (
        ("bat", "cat", "hat", "mat", "rat", "pat"),
        ("pin", "bin", "tin", "fin", "win", "kin"),
        ("bell", "fell", "sell", "tell", "well", "yell"),
        ("cake", "lake", "make", "rake", "bake", "take"),
        ("pan", "ban", "van", "fan", "man", "can"),
    ),
    "test": (
        ("pig", "big", "dig", "fig", "wig", "jig"),
        ("hop", "top", "mop", "pop", "shop", "chop"),
        ("seat", "meat", "heat", "beat", "neat", "wheat"),
        ("ball", "fall", "tall", "wall", "call", "hall"),
        ("light", "night", "right", "fight", "might", "tight"),
    ),
}
INITIALS: dict[str, dict[Split, tuple[str, ...]]] = {
    "b as in boy": {
        "train": ("bird", "bag", "bus", "bone", "bench"),
        "test": ("bear", "bowl", "bee", "bean", "belt"),
    },
    "s as in six": {
        "train": ("sun", "sock", "soup", "sand", "seed"),
        "test": ("salt", "song", "sail", "sink", "seal"),
    },
    "m as in me": {
        "train": ("moon", "map", "milk", "mouse", "mud"),
        "test": ("moth", "mask", "mint", "maze", "mole"),
    },
    "f as in five": {
        "train": ("fish", "fork", "fire", "foot", "farm"),
        "test": ("fox", "fence", "fog", "fudge", "feast"),
    },
    "k as in kid": {
        "train": ("cup", "king", "coin", "corn", "kite"),
        "test": ("cart", "cave", "cook", "key", "comb"),
    },
    "t as in ten": {
        "train": ("tent", "toe", "tail", "tooth", "tape"),
        "test": ("tea", "tool", "tank", "tongue", "tide"),
    },
    "l as in left": {
        "train": ("leaf", "lamp", "lock", "lily", "ladle"),
        "test": ("log", "lid", "loaf", "lawn", "limb"),
    },
    "r as in red": {
        "train": ("rain", "rope", "ring", "road", "roof"),
        "test": ("rug", "rice", "robe", "rock", "ramp"),
    },
}
STRESSABLE: dict[
    Split, tuple[tuple[str, tuple[str, ...]], ...]
] = {  # sentence, words that may bear the stress
    "train": (
        (
            "Maria carried eleven boxes upstairs.",
            ("Maria", "carried", "eleven", "boxes", "upstairs"),
        ),
        (
            "My brother painted the kitchen yellow.",
            ("brother", "painted", "kitchen", "yellow", "My"),
        ),
        (
            "Peter ordered two coffees yesterday.",
            ("Peter", "ordered", "two", "coffees", "yesterday"),
        ),
        ("Anna sold her bicycle last summer.", ("Anna", "sold", "bicycle", "last", "summer")),
        (
            "Our neighbour found a golden button.",
            ("Our", "neighbour", "found", "golden", "button"),
        ),
        ("The teacher closed every window quietly.", ("teacher", "closed", "every", "window", "quietly")),
    ),
    "test": (
        ("Helen brought seven flowers home.", ("Helen", "brought", "seven", "flowers", "home")),
        ("The doctor called my uncle twice.", ("doctor", "called", "my", "uncle", "twice")),
        ("Robert baked a lemon cake today.", ("Robert", "baked", "lemon", "cake", "today")),
        (
            "Her sister parked the old lorry outside.",
            ("Her", "sister", "parked", "old", "lorry", "outside"),
        ),
        ("Thomas lost three green gloves.", ("Thomas", "lost", "three", "green", "gloves")),
    ),
}
CONSONANTS: dict[Split, tuple[str, ...]] = {
    "train": ("b", "d", "k", "m", "s"),
    "test": ("p", "t", "g", "n", "f"),
}
VOWELS = {
    "a": "A:",
    "e": "eI",
    "i": "i:",
    "o": "oU",
    "u": "u:",
}  # letter and espeak's phoneme: none is reduced
KINDS: dict[str, dict[Split, tuple[str, ...]]] = {
    "animals": {
        "train": ("dog", "horse", "duck", "sheep", "monkey"),
        "test": ("lion", "goat", "rabbit", "wolf", "frog"),
    },
    "fruits": {
        "train": ("plum", "cherry", "grape", "peach", "mango"),
        "test": ("pear", "orange", "apricot", "strawberry", "raspberry"),
    },
    "vehicles": {
        "train": ("lorry", "tram", "scooter", "taxi", "ferry"),
        "test": ("tractor", "bicycle", "train", "minibus", "airplane"),
    },
    "clothes": {
        "train": ("shirt", "trousers", "scarf", "glove", "sweater"),
        "test": ("dress", "jumper", "stocking", "apron", "coat"),
    },
}
TURNS: dict[Split, tuple[str, ...]] = {
    "train": (
        *("I will bring some bread.", "We need a bigger table.", "The lamp is in the hall."),
        *("Somebody should call the office.", "There is milk in the fridge.", "The shop opens at nine."),
    ),
    "test": (
        *("I can carry the chairs.", "The garden gate is open.", "We left the map at home."),
        *("The guests arrive at noon.", "There are plates on the shelf.", "Somebody rang the bell."),
    ),
}

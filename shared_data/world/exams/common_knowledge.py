"""What is commonly known of sounds: sources and riddles about them, animals, places, activities, causes.

Conventions of the items built on it. A riddle is true of one source of this table alone. A place or activity
is recognised by sounds that belong to it and to no other option; pairs that share sounds in life (`CONFUSED`)
are never options of one item. A sudden sound is the cause of the reaction that follows it directly.
Labels of the procedural and of the recorded bank are named; what a bank lacks is left out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """What makes a sound. Labels of the same `name` are one source and never heard in the same item."""

    name: str  # "a dog"
    riddle: str  # a description true of this source alone
    family: str
    group: str = ""  # of animals


SOURCES: dict[str, Source] = {
    "dog_bark": Source("a dog", "an animal that fetches sticks", "animal", "a mammal"),
    "cat_meow": Source("a cat", "a pet that purrs", "animal", "a mammal"),
    "cow_moo": Source("a cow", "a farm animal kept for milk", "animal", "a mammal"),
    "sheep_bleat": Source("a sheep", "a farm animal kept for wool", "animal", "a mammal"),
    "horse_neigh": Source("a horse", "an animal that wears a saddle", "animal", "a mammal"),
    "pig_oink": Source("a pig", "a farm animal that wallows in mud", "animal", "a mammal"),
    "rooster_crow": Source("a rooster", "a farm bird that greets the dawn", "animal", "a bird"),
    "bird_chirp": Source("a songbird", "a small singer in the treetops", "animal", "a bird"),
    "bird_song": Source("a songbird", "a small singer in the treetops", "animal", "a bird"),
    "owl_hoot": Source("an owl", "a bird that hunts at night", "animal", "a bird"),
    "crow_caw": Source("a crow", "a clever bird with black feathers", "animal", "a bird"),
    "frog_croak": Source("a frog", "an animal that was once a tadpole", "animal", "an amphibian"),
    "cricket": Source("a cricket", "an insect that sings with its wings", "animal", "an insect"),
    "bee_buzz": Source("a bee", "an insect that makes honey", "animal", "an insect"),
    "rain": Source("rain", "drops falling from the clouds", "nature"),
    "thunder": Source("thunder", "the voice of lightning", "nature"),
    "wind": Source("wind", "air on the move", "nature"),
    "sea_waves": Source("sea waves", "an ocean meeting its shore", "nature"),
    "water_drops": Source("dripping water", "a leak that wastes water", "nature"),
    "water_flow": Source("flowing water", "a stream on its way downhill", "nature"),
    "fire_crackle": Source("a fire", "burning wood", "nature"),
    "car_engine": Source("a car engine", "a motor under a bonnet", "traffic"),
    "car_horn": Source("a car horn", "a driver who warns others", "traffic"),
    "train": Source("a train", "a vehicle on rails", "traffic"),
    "helicopter": Source("a helicopter", "an aircraft that lands without a runway", "traffic"),
    "airplane": Source("an airplane", "an aircraft that needs a runway", "traffic"),
    "siren": Source("a siren", "an ambulance or police car in a hurry", "traffic"),
    "hammer": Source("a hammer", "a tool that drives nails", "device"),
    "saw": Source("a saw", "a tool that cuts planks", "device"),
    "drill": Source("a drill", "a tool that bores holes", "device"),
    "vacuum_cleaner": Source("a vacuum cleaner", "a machine that swallows dust", "device"),
    "typing": Source("a keyboard", "someone writing on a computer", "device"),
    "phone_ring": Source("a telephone", "a caller waiting for an answer", "device"),
    "clock_tick": Source("a clock", "a device that shows the hours", "device"),
    "church_bell": Source("a church bell", "a heavy casting in a tower", "device"),
    "alarm_beep": Source("an alarm", "a device that wakes or warns", "device"),
    "alarm": Source("an alarm", "a device that wakes or warns", "device"),
    "door_creak": Source("a door", "a hinge that needs oil", "device"),
    "glass_break": Source("a glass", "something fragile that was dropped", "device"),
    "camera_shutter": Source("a camera", "a device that takes pictures", "device"),
    "door_knock": Source("a visitor", "someone who wants to come in", "person"),
    "footsteps": Source("a walker", "someone on the move on foot", "person"),
    "applause": Source("an audience", "people pleased with a show", "person"),
    "snoring": Source("a sleeper", "someone fast asleep", "person"),
    "whistling": Source("a whistler", "someone blowing through rounded lips", "person"),
    "heartbeat": Source("a heart", "an organ that pumps blood", "person"),
    "piano": Source("a piano", "hammers that strike strings", "instrument"),
    "organ": Source("a church organ", "air blown through rows of pipes", "instrument"),
    "accordion": Source("an accordion", "bellows squeezed between two hands", "instrument"),
    "guitar": Source("a guitar", "six plucked strings", "instrument"),
    "violin": Source("a violin", "four strings under a bow", "instrument"),
    "trumpet": Source("a trumpet", "a brass tube with three valves", "instrument"),
    "saxophone": Source("a saxophone", "a brass body with a reed", "instrument"),
    "flute": Source("a flute", "breath blown across a tube", "instrument"),
    "marimba": Source("a marimba", "wooden bars under mallets", "instrument"),
    "drums": Source("a drum kit", "stretched skins under sticks", "instrument"),
}
GROUPS = ("a mammal", "a bird", "an amphibian", "an insect")
NATURE = ("rain", "thunder", "wind", "sea_waves", "fire_crackle", "water_drops", "water_flow")
# Sounds that can go on behind others, and what kind of background each is.
BACKGROUNDS: dict[str, str] = {
    "rain": "bad weather",
    "wind": "bad weather",
    "sea_waves": "the sea",
    "fire_crackle": "a fire",
    "car_engine": "engines or motors",
    "helicopter": "engines or motors",
    "vacuum_cleaner": "engines or motors",
    "drill": "engines or motors",
    "cricket": "birds or insects",
    "bird_chirp": "birds or insects",
    "bird_song": "birds or insects",
    "bee_buzz": "birds or insects",
    "applause": "an audience",
    "clock_tick": "",
    "typing": "",
    "siren": "",
    "train": "",
    "snoring": "",
}


@dataclass(frozen=True)
class Setting:
    """A place or an activity, as an option says it, and the sounds that tell it."""

    option: str
    labels: tuple[str, ...]

    def known(self, labels: Collection[str]) -> tuple[str, ...]:
        """Its labels that a bank with these labels has."""
        return tuple(label for label in self.labels if label in labels)


PLACES: dict[str, Setting] = {
    "farm": Setting("on a farm", ("cow_moo", "rooster_crow", "sheep_bleat", "pig_oink", "horse_neigh")),
    "forest": Setting("in a forest", ("owl_hoot", "bird_chirp", "bird_song", "crow_caw")),
    "beach": Setting("on a beach", ("sea_waves",)),
    "pond": Setting("by a pond", ("frog_croak", "cricket")),
    "street": Setting("on a city street", ("car_horn", "siren", "car_engine")),
    "airfield": Setting("at an airfield", ("airplane", "helicopter")),
    "workshop": Setting("in a workshop", ("hammer", "saw", "drill")),
    "office": Setting("in an office", ("typing", "phone_ring", "camera_shutter")),
    "nursery": Setting("in a nursery", ("baby_cry", "baby_laugh", "child_cry", "child_laugh")),
    "home": Setting("in a home", ("vacuum_cleaner", "door_creak", "snoring", "cat_meow")),
    "hall": Setting("in a concert hall", ("applause", "violin", "piano", "flute", "trumpet")),
    "church": Setting("at a church", ("church_bell", "organ")),
    "station": Setting("at a railway station", ("train",)),
    "campsite": Setting("at a campsite", ("fire_crackle",)),
}
ACTIVITIES: dict[str, Setting] = {
    "carpentry": Setting("doing carpentry", ("hammer", "saw", "drill")),
    "cleaning": Setting("cleaning the carpets", ("vacuum_cleaner",)),
    "desk": Setting("working at a desk", ("typing", "phone_ring")),
    "concert": Setting("enjoying a concert", ("applause", "violin", "piano", "flute", "trumpet")),
    "camping": Setting("sitting around a campfire", ("fire_crackle",)),
    "sleeping": Setting("sleeping", ("snoring",)),
    "walking": Setting("taking a walk", ("footsteps",)),
    "children": Setting(
        "looking after small children", ("baby_cry", "baby_laugh", "child_cry", "child_laugh")
    ),
    "travelling": Setting("travelling by train", ("train",)),
    "driving": Setting("driving through traffic", ("car_engine", "car_horn")),
    "farming": Setting("feeding farm animals", ("cow_moo", "sheep_bleat", "rooster_crow", "pig_oink")),
    "worship": Setting("going to church", ("church_bell", "organ")),
}
CONFUSED: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        ("forest", "campsite"),
        ("forest", "pond"),
        ("forest", "farm"),
        ("farm", "pond"),
        ("pond", "campsite"),
        ("beach", "campsite"),
        ("home", "nursery"),
        ("home", "office"),
        ("home", "workshop"),
        ("home", "farm"),
        ("hall", "church"),
        ("street", "station"),
        ("camping", "walking"),
        ("concert", "worship"),
        ("sleeping", "children"),
        ("sleeping", "travelling"),
        ("walking", "worship"),
        ("desk", "children"),
    )
)
NEUTRAL = ("wind", "rain", "thunder", "man_cough", "woman_cough", "cough", "dog_bark", "alarm_beep", "alarm")

# Sudden sounds, as the cause of a reaction; the reactions of people and animals; and who may be applauded.
CAUSES: dict[str, str] = {
    "glass_break": "breaking glass",
    "thunder": "thunder",
    "door_knock": "a knocking visitor",
    "door_creak": "a creaking door",
    "car_horn": "a car horn",
    "alarm_beep": "an alarm",
    "alarm": "an alarm",
    "phone_ring": "a telephone",
    "siren": "a siren",
    "church_bell": "a church bell",
    "hammer": "a hammer",
    "airplane": "an airplane",
    "rooster_crow": "a rooster",
    "explosion": "an explosion",
}
CRIES: dict[str, str] = {  # label -> what the cause made somebody do
    "baby_cry": "the baby cry",
    "child_cry": "the child cry",
    "woman_shout": "the woman shout",
    "man_shout": "the man shout",
    "dog_bark": "the dog bark",
    "scream": "the person scream",
}
REACTIONS = (*CRIES, "child_laugh", "woman_laugh", "man_laugh", "laughter", "cat_meow", "applause")
PERFORMERS = tuple(label for label, source in SOURCES.items() if source.family == "instrument")

"""What is said in the speech skills about content. No sentence is in both splits."""

from __future__ import annotations

from dataclasses import dataclass

from shared_data.world.exams.item import Split

Exchange = tuple[str, str]  # what the first and the second speaker say, with named places


@dataclass(frozen=True, kw_only=True)
class Matter:
    """A fact that two people talk about.

    `settled` asks for what both agree on, `own` for what is true of one {who}. `simple` says {gold} once,
    `each` has a value of either speaker, {x} and {y}, `corrected` dismisses {a}, {b}, {c} and keeps {gold}.
    """

    values: tuple[str, ...]
    settled: tuple[str, ...]
    own: tuple[str, ...]
    simple: dict[Split, Exchange]
    each: dict[Split, Exchange]
    corrected: dict[Split, Exchange]


MATTERS = (
    Matter(
        values=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        settled=("On which day will they meet?", "Which day do the speakers agree on?"),
        own=("On which day does the {who} leave?", "Which day of departure does the {who} name?"),
        simple={
            "train": ("When shall we meet?", "Let us meet on {gold}."),
            "test": ("Which day suits you?", "Come and see me on {gold}."),
        },
        each={
            "train": ("I leave on {x}, and you?", "My trip starts on {y}."),
            "test": ("My train goes on {x}.", "Mine departs on {y}."),
        },
        corrected={
            "train": ("Shall we meet on {a} or {b}?", "I am away then, and {c} is full. Let us say {gold}."),
            "test": (
                "I wrote down {a}, but you said {b}.",
                "It was {c} at first. Now we moved it to {gold}.",
            ),
        },
    ),
    Matter(
        values=("five euros", "eight euros", "twelve euros", "twenty euros", "thirty euros", "forty euros"),
        settled=("How much does the jacket cost?", "What is the price of the jacket?"),
        own=("How much did the {who} pay?", "What price did the {who} pay?"),
        simple={
            "train": ("How much is this jacket?", "It costs {gold}."),
            "test": ("What do you want for the jacket?", "You can have it for {gold}."),
        },
        each={
            "train": ("I paid {x} for my ticket.", "Oh, mine was {y}."),
            "test": ("They charged me {x}.", "In my case it was {y}."),
        },
        corrected={
            "train": ("Is the jacket {a} or {b}?", "It was {c} last week. Today it is {gold}."),
            "test": (
                "The label says {a}, the list says {b}.",
                "Forget {c} as well. With the discount you pay {gold}.",
            ),
        },
    ),
    Matter(
        values=("Paris", "London", "Madrid", "Vienna", "Oslo", "Lisbon"),
        settled=("Where will they spend their holiday?", "Which city will the speakers travel to?"),
        own=("Where does the {who} live?", "In which city is the home of the {who}?"),
        simple={
            "train": ("Where do we go this year?", "I have booked a flat in {gold}."),
            "test": ("What are our plans for the summer?", "We are flying to {gold}."),
        },
        each={
            "train": ("I live in {x}, and you?", "My home is in {y}."),
            "test": ("I moved to {x} last year.", "And I settled in {y}."),
        },
        corrected={
            "train": (
                "I would love to see {a} or {b}.",
                "Too far, and {c} is too hot. So it is {gold}.",
            ),
            "test": ("Not {a} again, and {b} is crowded.", "Then no {c} either. I choose {gold}."),
        },
    ),
    Matter(
        values=("tea", "coffee", "juice", "water", "lemonade", "milk"),
        settled=("Which drink is chosen?", "What is going to be drunk?"),
        own=("What does the {who} drink?", "Which drink is for the {who}?"),
        simple={
            "train": ("What shall we drink?", "I will make some {gold}."),
            "test": ("What can I bring you?", "I would like some {gold}, please."),
        },
        each={
            "train": ("I take {x} in the morning.", "I never do, I prefer {y}."),
            "test": ("Give me a glass of {x}.", "And one of {y} for me."),
        },
        corrected={
            "train": (
                "Do you want {a} or {b}?",
                "No, and {c} makes me ill. I would like {gold}.",
            ),
            "test": ("We are out of {a} and {b}.", "And I do not like {c}. Then {gold}, please."),
        },
    ),
    Matter(
        values=tuple(f"{hour} o'clock" for hour in ("five", "six", "seven", "eight", "nine", "ten")),
        settled=("At what time does the concert start?", "When does the concert begin?"),
        own=("When does the {who} get up?", "At what time does the {who} wake?"),
        simple={
            "train": ("When does the concert start?", "It starts at {gold}."),
            "test": ("Do you know the time of the concert?", "The music begins at {gold}."),
        },
        each={
            "train": ("I get up at {x}.", "I stay in bed until {y}."),
            "test": ("My alarm rings at {x}.", "Mine wakes me at {y}."),
        },
        corrected={
            "train": (
                "Does the concert start at {a} or {b}?",
                "Dinner is at {c}. The music starts at {gold}.",
            ),
            "test": (
                "The poster said {a}, the ticket {b}.",
                "They changed it to {c}, and later to {gold}.",
            ),
        },
    ),
)

ROLES: dict[str, dict[Split, tuple[str, ...]]] = {
    "a doctor": {
        "train": ("Take this medicine twice a day.", "Breathe in, I am listening to your lungs."),
        "test": ("Your blood pressure is too high.", "The X-ray shows that your arm is broken."),
    },
    "a teacher": {
        "train": ("Open your books at page ten, class.", "Hand in your homework before the bell."),
        "test": ("Everybody passed the spelling test.", "Quiet please, the lesson has begun."),
    },
    "a waiter": {
        "train": ("Are you ready to order?", "Here is your soup, enjoy your meal."),
        "test": ("Shall I bring you the bill?", "Today's menu is fish with rice."),
    },
    "a pilot": {
        "train": ("Fasten your seat belts, we land soon.", "We are climbing above the clouds."),
        "test": ("The tower has cleared us for takeoff.", "We are cruising at ten thousand metres."),
    },
    "a mechanic": {
        "train": ("The engine needs new oil.", "I have replaced your brakes."),
        "test": ("Your gearbox is broken.", "I changed all four tyres."),
    },
    "a farmer": {
        "train": ("I milked the cows at five.", "I must plough the field today."),
        "test": ("My tractor is in the barn.", "We harvest the potatoes next week."),
    },
    "a baker": {
        "train": ("I knead the dough at four.", "The loaves are still warm."),
        "test": ("The rolls are in my oven.", "This bread is made of rye."),
    },
    "a librarian": {
        "train": ("You can borrow these books.", "Novels are on the second shelf."),
        "test": ("Your book is overdue.", "Whisper please, people are reading."),
    },
    "a police officer": {
        "train": ("Show me your driving licence.", "You are under arrest."),
        "test": ("We caught the thief last night.", "You drove too fast, here is your fine."),
    },
    "a hairdresser": {
        "train": ("How short shall I cut it?", "Let me wash your hair first."),
        "test": ("Shall I trim your fringe?", "This dye will hide the grey."),
    },
    "a lawyer": {
        "train": ("My client is innocent, your honour.", "Say nothing until the trial."),
        "test": ("I will defend you in court.", "We shall appeal against the sentence."),
    },
    "a plumber": {
        "train": ("The pipe under your sink leaks.", "I have unblocked the drain."),
        "test": ("Your toilet is clogged.", "I will replace the tap."),
    },
}
REPLIES: dict[Split, tuple[str, ...]] = {
    "train": ("Thank you, that is good to know.", "All right, I understand."),
    "test": ("Thanks, I will remember that.", "Fine, that is clear to me."),
}

TOPICS: dict[str, dict[Split, str]] = {  # what is said about each; its name is not
    "saving water": {
        "train": "Turn off the tap while you brush. Showers should be short.",
        "test": "Collect rain for the plants. Repair every dripping tap.",
    },
    "healthy food": {
        "train": "Eat fresh vegetables every day. Sweets should be rare.",
        "test": "Fruit and whole grains keep you fit. Cut down on sugar.",
    },
    "learning languages": {
        "train": "Repeat ten new words daily. Speak with natives from the start.",
        "test": "Films with subtitles train your ear. Do not fear grammar.",
    },
    "road safety": {
        "train": "Look both ways before you cross. Always wear a helmet.",
        "test": "Slow down near schools. Never use a phone while driving.",
    },
    "good sleep": {
        "train": "Go to bed at the same hour. Keep the room dark.",
        "test": "Avoid screens late in the evening. Your mattress should be firm.",
    },
    "bird watching": {
        "train": "Take binoculars and sit still. The robin comes at dawn.",
        "test": "Listen for the song of the thrush. Keep away from nests.",
    },
    "saving money": {
        "train": "Write down what you spend. Put a little aside each month.",
        "test": "Compare prices before you buy. Pay your debts first.",
    },
    "space travel": {
        "train": "Rockets carry people into orbit. Astronauts float in the cabin.",
        "test": "The flight to Mars takes months. The crew lives without gravity.",
    },
    "recycling waste": {
        "train": "Glass and paper go in separate bins. Old bottles become new ones.",
        "test": "Sort plastic from metal. Even broken phones can be used again.",
    },
    "keeping pets": {
        "train": "Walk your dog twice a day. Cats want a clean tray.",
        "test": "Brush the rabbit gently. A hamster needs fresh straw.",
    },
}
ASIDES: dict[Split, tuple[str, ...]] = {
    "train": ("Last week we heard about {topic}.", "I will not go into {topic}."),
    "test": ("Another talk will cover {topic}.", "You have read enough on {topic}."),
}


@dataclass(frozen=True, kw_only=True)
class Happening:
    """An event of history. `told` has two accounts a split: one that names it and one that does not."""

    year: str
    told: dict[Split, tuple[str, str]]
    country: str | None = None
    person: str | None = None


HAPPENINGS = (
    Happening(
        year="1969",
        person="Neil Armstrong",
        told={
            "train": (
                "We celebrate the first landing on the Moon.",
                "He stepped off the ladder into grey dust, far from Earth.",
            ),
            "test": (
                "The Apollo crew has landed on the Moon.",
                "He left the first footprints on a world without air.",
            ),
        },
    ),
    Happening(
        year="1903",
        person="Orville Wright",
        country="the United States",
        told={
            "train": (
                "The first motor plane flew for twelve seconds.",
                "The bicycle maker lay between the wings and rose above the dunes.",
            ),
            "test": (
                "We recall the first powered flight in history.",
                "His brother ran beside him as the engine lifted him off the sand.",
            ),
        },
    ),
    Happening(
        year="1912",
        told={
            "train": (
                "The Titanic sank on her first voyage.",
                "They called the ship unsinkable, until she met the iceberg.",
            ),
            "test": (
                "We remember the sinking of the Titanic.",
                "The band played on while the great liner went down.",
            ),
        },
    ),
    Happening(
        year="1989",
        country="Germany",
        told={
            "train": (
                "The Berlin Wall has fallen.",
                "Crowds with hammers climbed the concrete that split a city.",
            ),
            "test": (
                "People danced as the Berlin Wall came down.",
                "That night the guards raised the barrier between East and West.",
            ),
        },
    ),
    Happening(
        year="1928",
        person="Alexander Fleming",
        country="England",
        told={
            "train": (
                "This is about the discovery of penicillin.",
                "The mould in a forgotten dish had killed all the germs.",
            ),
            "test": (
                "Penicillin was found by chance.",
                "After the holidays a dirty plate gave us the first antibiotic.",
            ),
        },
    ),
    Happening(
        year="1953",
        person="Edmund Hillary",
        country="Nepal",
        told={
            "train": (
                "Two men have climbed Mount Everest for the first time.",
                "A beekeeper and a Sherpa stood higher than anyone before.",
            ),
            "test": (
                "The first ascent of Mount Everest has succeeded.",
                "With Tenzing at his side he looked down from the roof of the world.",
            ),
        },
    ),
    Happening(
        year="1492",
        person="Christopher Columbus",
        country="the Bahamas",
        told={
            "train": (
                "Three Spanish ships reached the New World.",
                "After ten weeks at sea the sailor from Genoa saw an unknown coast.",
            ),
            "test": (
                "This is how America was discovered.",
                "He sought a western route to India and found another continent.",
            ),
        },
    ),
    Happening(
        year="1876",
        person="Alexander Graham Bell",
        country="the United States",
        told={
            "train": (
                "This was the first telephone call.",
                "Come here, I want to see you, said the voice in the wire.",
            ),
            "test": (
                "The telephone has been invented.",
                "His assistant in the next room heard him through a cable.",
            ),
        },
    ),
    Happening(
        year="1961",
        person="Yuri Gagarin",
        country="the Soviet Union",
        told={
            "train": (
                "The first human has travelled into space.",
                "He circled the Earth in a capsule and came down by parachute.",
            ),
            "test": (
                "Today the first cosmonaut was in orbit.",
                "Let us go, he called, and the rocket took him beyond the sky.",
            ),
        },
    ),
    Happening(
        year="1911",
        person="Roald Amundsen",
        told={
            "train": (
                "The South Pole has been reached for the first time.",
                "With dogs and skis he beat Scott by five weeks.",
            ),
            "test": (
                "The race to the South Pole is won.",
                "The Norwegian planted his flag at the bottom of the world.",
            ),
        },
    ),
    Happening(
        year="1990",
        person="Nelson Mandela",
        country="South Africa",
        told={
            "train": (
                "The most famous enemy of apartheid was freed today.",
                "After twenty-seven years he walked out of jail, his fist raised.",
            ),
            "test": (
                "The leader against apartheid has left prison.",
                "He had broken stones on Robben Island, now the crowd cheered him.",
            ),
        },
    ),
    Happening(
        year="1986",
        country="Ukraine",
        told={
            "train": (
                "The reactor of Chernobyl has exploded.",
                "A test at the nuclear plant went wrong, and Pripyat was emptied.",
            ),
            "test": (
                "This is about the disaster of Chernobyl.",
                "Firemen ran to the burning reactor and knew nothing of radiation.",
            ),
        },
    ),
    Happening(
        year="1922",
        person="Howard Carter",
        country="Egypt",
        told={
            "train": (
                "The tomb of Tutankhamun has been found.",
                "I see wonderful things, said the digger with the candle.",
            ),
            "test": (
                "They opened the grave of Tutankhamun.",
                "Behind the sealed door lay the golden mask of a boy king.",
            ),
        },
    ),
    Happening(
        year="1898",
        person="Marie Curie",
        country="France",
        told={
            "train": (
                "Radium has been discovered.",
                "In a cold shed she boiled tons of ore until something glowed.",
            ),
            "test": (
                "This is the story of the discovery of radium.",
                "With her husband Pierre she found a metal that shines in the dark.",
            ),
        },
    ),
    Happening(
        year="1666",
        country="England",
        told={
            "train": (
                "We speak of the Great Fire of London.",
                "A spark in Pudding Lane, and thirteen thousand houses burned.",
            ),
            "test": (
                "The Great Fire of London broke out at night.",
                "Flames from a baker's shop destroyed old Saint Paul's.",
            ),
        },
    ),
    Happening(
        year="1967",
        person="Christiaan Barnard",
        country="South Africa",
        told={
            "train": (
                "A human heart was transplanted for the first time.",
                "The surgeon in Cape Town gave a grocer the heart of a young woman.",
            ),
            "test": (
                "The first heart transplant has succeeded.",
                "In his operating room a dead woman's heart beat again in another chest.",
            ),
        },
    ),
)

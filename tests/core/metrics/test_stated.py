from __future__ import annotations

import pytest

from core.metrics.stated import StatedError, correct, mentions, normalise, stated

LABELS = ("dog_bark", "rain", "car_horn")
WAYS = {
    "dog_bark": ("a dog barking", "a dog barks", "dog"),
    "rain": ("rain falling", "falling rain"),
    "car_horn": ("a car honking", "the honking of a car"),
    "yes": ("yes",),
    "no": ("no", "not", "isn't"),
    "not heard": ("not heard", "there is no", "no sound of"),
    "farm": ("a farm", "on a farm"),
    "forest": ("a forest", "in a forest"),
}


def test_words_lose_case_punctuation_and_articles() -> None:
    assert normalise("It's The dog-bark, an \u201caccident\u201d_here.") == [
        "it's",
        "dog",
        "bark",
        "accident",
        "here",
    ]


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ("a dog barking.", "dog_bark"),
        ("The DOG barks, then rain falling.", "dog_bark"),
        ("Dog bark", "dog_bark"),  # the label itself, though no alias says so
        ("I think that it is the honking of a car", "car_horn"),
        ("the sound of falling rain", "rain"),
        ("not a dog barking but rain falling", "rain"),
        ("there is no sound of a dog, only rain", "rain"),
        ("after the dog barks, rain falling is heard", "rain"),
        ("rain falling, before a car honking", "rain"),
        ("compared to a car honking, the rain is longer", "rain"),
        ("instead of rain, a car honking", "car_horn"),
        ("it isn't a dog but rain falling", "rain"),
        ("it isn’t a dog barking, it is a car honking", "car_horn"),
        ("neither dog nor rain", None),
        ("neither a dog barking nor rain falling, but a car honking", "car_horn"),
        ("not a dog or rain falling, a car honking", "car_horn"),
        ("I don't hear any dog; rain falling", "rain"),
        ("I can't hear a dog, I hear rain falling", "rain"),
        ("it doesn't sound like a dog", None),
        ("you cannot hear rain", None),
        ("a dog barking, nor rain", "dog_bark"),
        ("a dog barking, which isn't loud", "dog_bark"),
        ("a hotdog stand in a train", None),  # whole words only
        ("something else", None),
        ("", None),
        ("either a dog barking or rain falling", None),
        ("no rain", None),
    ],
)
def test_the_first_decisive_mention_counts(answer: str, key: str | None) -> None:
    assert stated(answer, LABELS, WAYS) == key


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ("Yes.", "yes"),
        ("yes, because there is no rain", "yes"),
        ("No, it is not.", "no"),
        ("It isn't.", "no"),
        ("yes or no", None),
        ("I know nothing", None),
    ],
)
def test_yes_and_no(answer: str, key: str | None) -> None:
    assert stated(answer, ("yes", "no"), WAYS) == key


def test_a_key_of_several_words_is_preferred_to_one_inside_it() -> None:
    options = ("car", "car_horn")
    assert stated("a car horn", options) == "car_horn"
    assert stated("a car and its horn", options) == "car"
    assert [m.key for m in mentions("car horn, car", options)] == ["car_horn", "car"]


def test_an_absent_sound_is_stated_though_its_words_negate() -> None:
    options = ("rain", "not heard")
    assert stated("not heard, because there is no sound of a dog barking.", options, WAYS) == "not heard"
    assert stated("there is no dog", options, WAYS) == "not heard"
    assert stated("rain falling, after a dog barking.", options, WAYS) == "rain"


def test_order_of_the_options_does_not_matter() -> None:
    answer = "on a farm, not in a forest"
    assert stated(answer, ("forest", "farm"), WAYS) == stated(answer, ("farm", "forest"), WAYS) == "farm"


def test_correct_compares_with_the_key_and_nothing_stated_is_wrong() -> None:
    assert correct("a dog barking", "dog_bark", LABELS, WAYS)
    assert not correct("rain", "dog_bark", LABELS, WAYS)
    assert not correct("who knows", "dog_bark", LABELS, WAYS)


def test_what_cannot_be_told_apart_is_an_error() -> None:
    with pytest.raises(StatedError, match="'cow_moo' is not one of"):
        correct("a cow", "cow_moo", LABELS, WAYS)
    with pytest.raises(StatedError, match="repeat"):
        stated("yes", ("yes", "yes"))
    with pytest.raises(StatedError, match="'bell' could mean 'a' and 'b'"):
        stated("bell", ("a", "b"), {"a": ("bell",), "b": ("the bell",)})
    with pytest.raises(StatedError, match="no words"):
        stated("bell", ("the",))

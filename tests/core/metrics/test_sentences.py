"""The sentence counter that needs no data."""

from __future__ import annotations

import pytest

from core.metrics import sentences
from core.metrics.sentences import count_sentences, counter


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n ", 0),
        ("***", 0),
        ("A dog barks", 1),
        ("A dog barks.", 1),
        ("A dog barks. Rain falls.", 2),
        ("A dog barks. rain falls.", 2),
        ("A dog barks.\nRain falls.", 2),
        ("A dog barks\nRain falls", 1),
        ("Is it a dog? Yes! It is.", 3),
        ("What?! No.", 2),
        ('He says "Stop." Then he runs.', 2),
        ("(It rains.) A dog barks.", 2),
        ("“It rains.” “A dog barks.”", 2),
        ("Dr. Smith met Mr. Jones at St. Paul.", 1),
        ("It was J. S. Bach. He wrote it.", 2),
        ("Neither you nor I. We left.", 2),
        ("Animals, e.g. dogs, bark. They do.", 2),
        ("It begins at 9 a.m. and ends late.", 1),
        ("It begins at 9 a.m. Then it ends.", 2),
        ("In the U.S. it rains.", 1),
        ("Dogs, cats, etc. are heard.", 1),
        ("Dogs, cats, etc. Rain falls.", 2),
        ("Is it loud? No. It is quiet.", 3),
        ("It is No. 5 of the list.", 1),
        ("It lasts 3.5 seconds.", 1),
        ("There were 3. Then it rained.", 2),
        ("1. Rain falls.\n2. A dog barks.", 2),
        ("Well... it rains.", 1),
        ("Well... It rains.", 2),
        ("Well… it rains.", 1),
        ("下雨了。狗在叫！", 2),
        ("See example.com for more.", 1),
    ],
)
def test_count(text: str, count: int) -> None:
    assert count_sentences(text) == count


def test_counter_says_which_one_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tokenize:
        @staticmethod
        def sent_tokenize(text: str) -> list[str]:
            return ["x"] * 7

    monkeypatch.setattr(sentences.importlib, "import_module", lambda name: Tokenize)
    name, count = counter()
    assert (name, count("Anything")) == ("punkt", 7)

    class NoData:
        @staticmethod
        def sent_tokenize(text: str) -> list[str]:
            raise LookupError("punkt_tab is not downloaded")

    for failing in (lambda name: NoData, lambda name: (_ for _ in ()).throw(ImportError(name))):
        monkeypatch.setattr(sentences.importlib, "import_module", failing)
        name, count = counter()
        assert (name, count("One. Two.")) == ("built-in", 2)


@pytest.mark.timeout(20)  # a text without an end took the square of its length
@pytest.mark.parametrize("piece", ["e.g. ", "A. ", "Mr. ", "etc. a ", "\n1. "])
def test_long_texts_are_counted_in_time(piece: str) -> None:
    assert count_sentences(piece * 30_000) == 1

"""CIDEr-D by hand and against its formula, and SPICE with a Java that is not one."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.metrics import captioning
from core.metrics.captioning import CaptionScoreError, caption_scores, cider_d, plain_words, spice_missing

SPICE_JARS = re.findall(
    r"\S+",
    """ejml-0.23 fst-2.47 guava-19.0 hamcrest-core-1.3 jackson-core-2.5.3 javassist-3.19.0-GA
json-simple-1.1.1 junit-4.12 lmdbjni-0.4.6 lmdbjni-linux64-0.4.6 lmdbjni-osx64-0.4.6 lmdbjni-win64-0.4.6
Meteor-1.5 objenesis-2.4 SceneGraphParser-1.0 slf4j-api-1.7.12 slf4j-simple-1.7.21 stanford-corenlp-3.6.0
stanford-corenlp-3.6.0-models""",
)

FAKE_JAVA = """#!{python}
import json, sys
if sys.argv[1] == "-version":
    sys.exit(print('openjdk version "{version}" 2019-01-15'))
arguments = sys.argv[1:]
asked = json.load(open(arguments[arguments.index("-jar") + 3]))
if any("crash" in item["test"] for item in asked):
    sys.exit(1)
scores = ["NaN" if "mumble" in item["test"] else item["test"].count("dog") / 10 for item in asked]
found = [{{"scores": {{"All": {{"f": score}}}}}} for score in scores]
json.dump(found, open(arguments[arguments.index("-out") + 1], "w"))
"""


@pytest.fixture
def spice_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SPICE's files, empty, and a Java 11 that counts dogs: tests nothing of SPICE itself."""
    home = tmp_path / "aac-metrics" / "spice"
    for folder in ("lib", "cache"):
        (home / folder).mkdir(parents=True)
    for name in ["spice-1.0", *(f"lib/{jar}" for jar in SPICE_JARS)]:
        (home / f"{name}.jar").touch()
    monkeypatch.setenv("AAC_METRICS_CACHE_PATH", str(tmp_path))
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", str(java(tmp_path, "11.0.2")))
    return home


def java(folder: Path, version: str) -> Path:
    path = folder / "java"
    path.write_text(FAKE_JAVA.format(python=sys.executable, version=version))
    path.chmod(0o755)
    return path


def formula(
    candidates: list[str], references: list[list[str]], *, n: int = 4, sigma: float = 6.0
) -> list[float]:
    """CIDEr-D as its authors' scorer computes it; the length in the penalty counts bigrams."""

    def grams(text: str, size: int) -> Counter:
        words = text.split()
        return Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1))

    scores = []
    for candidate, own in zip(candidates, references):
        total = 0.0
        for reference in own:
            for size in range(1, n + 1):
                weights = []
                for text in (candidate, reference):
                    weights.append(
                        {
                            gram: count
                            * math.log(
                                len(references)
                                / max(
                                    1, sum(any(gram in grams(r, size) for r in each) for each in references)
                                )
                            )
                            for gram, count in grams(text, size).items()
                        }
                    )
                said, true = weights
                norm = math.sqrt(sum(w * w for w in said.values()) * sum(w * w for w in true.values()))
                clipped = sum(min(w, true.get(gram, 0.0)) * true.get(gram, 0.0) for gram, w in said.items())
                apart = grams(candidate, 2).total() - grams(reference, 2).total()
                total += (clipped / norm if norm else 0.0) * math.exp(-(apart**2) / (2 * sigma**2))
        scores.append(10 * total / n / len(own))
    return scores


def test_words_are_lower_case_without_punctuation():
    words = ["a", "dogs", "bark", "faroff", "it", "doesnt", "stop"]
    assert plain_words("A dog's bark, far-off; it doesn’t stop!") == words
    assert plain_words("far\u2011off “rain” — drip_drop…") == ["faroff", "rain", "dripdrop"]
    assert plain_words(" ... ") == []


def test_cider_d_by_hand():
    # Two items whose references share no word: all n-grams weigh log 2.
    references = [["one two three four"], ["five six"]]
    assert cider_d(["One two, three four.", "five six"], references) == pytest.approx([10.0, 10 * 2 / 4])
    # One word less: 3 of 3 and 4 unigrams, 2 of 2 and 3 bigrams, 1 of 1 and 2 trigrams, 2 bigrams against 3.
    expected = 10 / 4 * (3 / math.sqrt(12) + 2 / math.sqrt(6) + 1 / math.sqrt(2)) * math.exp(-1 / 72)
    assert cider_d(["one two three", "nine"], references) == pytest.approx([expected, 0.0])


def test_cider_d_equals_the_formula():
    rng = np.random.default_rng(0)
    words = ["dog", "rain", "bell", "barks", "falls", "and", "while", "a"]

    def sentence() -> str:
        return " ".join(rng.choice(words, size=rng.integers(1, 9)))

    references = [[sentence() for _ in range(rng.integers(1, 6))] for _ in range(12)]
    candidates = [sentence() for _ in range(12)]
    np.testing.assert_allclose(cider_d(candidates, references), formula(candidates, references), atol=1e-9)


def test_repeating_all_items_lowers_those_with_words_that_no_reference_has():
    candidates, references = (
        ["a dog barks", "rain falls hard"],
        [["a dog is barking", "a dog barks"], ["heavy rain falls"]],
    )
    once, often = cider_d(candidates, references), cider_d(candidates * 5, references * 5)
    assert often.reshape(5, 2)[:, 0] == pytest.approx([once[0]] * 5)
    assert (often.reshape(5, 2)[:, 1] < 0.9 * once[1]).all()


def test_an_empty_candidate_scores_nothing_and_bad_items_are_named():
    references = [["a dog barks"], ["rain falls"]]
    assert cider_d(["...", "rain falls"], references)[0] == 0.0
    with pytest.raises(CaptionScoreError, match="clip7 has no reference"):
        cider_d(["a", "b"], [["a dog"], []], ids=["clip3", "clip7"])
    with pytest.raises(CaptionScoreError, match="item 0 has no reference, or one without a word"):
        cider_d(["a", "b"], [["a dog", "?!"], ["b"]])
    with pytest.raises(CaptionScoreError, match="whole test set"):
        cider_d(["a"], [["a"]])
    with pytest.raises(CaptionScoreError, match="2 candidates, 1 lists"):
        caption_scores(["a", "b"], [["a"]])


def test_without_java_there_is_a_reason_and_no_score(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", "no-such-java")
    ours = caption_scores(["a dog", "rain"], [["a dog"], ["rain"]])
    assert ours.spice is None
    assert ours.spider is None
    assert ours.not_run.startswith("not run: ")
    assert "no 'no-such-java'" in ours.not_run
    assert len(ours.cider_d) == 2
    assert "not asked for" in caption_scores(["a", "b"], [["a"], ["b"]], with_spice=False).not_run


def test_reasons_name_what_is_missing(spice_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert spice_missing() == ""
    (spice_home / "spice-1.0.jar").unlink()
    assert spice_missing().startswith("not run: SPICE's models are absent or not whole")
    java(tmp_path, "17.0.1")
    assert "Java 8 to 13, and 'java' is another" in spice_missing()
    java(tmp_path, "of no number")
    assert "is another" in spice_missing()


def test_spice_per_item_and_spider(spice_home: Path, monkeypatch: pytest.MonkeyPatch):
    candidates = ["a dog", "", "dog dog dog", "mumble"]
    ours = caption_scores(candidates, [["a dog"], ["rain"], ["a dog"], ["bell"]])
    assert ours.not_run == ""
    assert ours.spice is not None
    assert ours.spice.tolist() == pytest.approx([0.1, 0.0, 0.3, 0.0])  # NaN: neither side has a tuple
    np.testing.assert_allclose(ours.spider, (ours.cider_d + ours.spice) / 2)
    with pytest.raises(CaptionScoreError, match="SPICE broke"):
        caption_scores(["crash", "dog"], [["a"], ["b"]])


def test_the_real_spice_likes_the_reference_best():
    if reason := spice_missing():
        pytest.skip(reason)
    references = [["a dog barks loudly in the rain"], ["a bell rings while a man speaks"]]
    ours = caption_scores(["a dog barks loudly in the rain", "a cat sleeps"], references)
    assert ours.spice is not None
    assert ours.spice.tolist() == pytest.approx([1.0, 0.0])


def test_importing_the_module_needs_no_torch():
    code = f"import sys, {captioning.__name__}; print('torch' in sys.modules or 'aac_metrics' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.strip().lower()) is False

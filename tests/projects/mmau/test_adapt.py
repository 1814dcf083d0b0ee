"""Known words are found in a recording, and the Gaussians move to what was heard, and no further."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from projects.mmau import adapt
from projects.mmau.adapt import SHAPE, Aligned, Aligner, Statistics, add, gather, no_statistics, write_adapted
from projects.mmau.recognise import RATE, RecogniserError
from shared_data.world.speech import espeak as say

WORDS = ["the", "doctor", "lost", "three", "green", "gloves"]


@pytest.fixture(scope="module")
def aligned() -> Aligned:
    if say.why_absent():
        pytest.skip("no synthetic voice")
    sound = say.say(" ".join(WORDS), voice=say.VOICES["train"][0], sample_rate=RATE, rate=140)
    sound = sound + 1e-3 * np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32)
    found = Aligner().align(sound, WORDS, name="item")
    assert found is not None
    return found


def test_words_and_phonemes_are_in_order_and_cover_the_recording(aligned: Aligned) -> None:
    assert [word.text.split("(")[0] for word in aligned.words] == WORDS
    assert all(a.stop <= b.start + 0.011 for a, b in pairwise(aligned.words))
    starts = [start for _, start, _ in aligned.phonemes]
    ends = [start + frames for _, start, frames in aligned.phonemes]
    assert starts[1:] == ends[:-1]
    assert abs(ends[-1] - len(aligned.cepstra)) <= 2
    assert {"D", "K", "L", "TH", "IY", "G", "Z"} <= {name for name, _, _ in aligned.phonemes}


def test_unknown_words_are_not_aligned(aligned: Aligned) -> None:
    assert Aligner().align(np.ones(RATE, np.float32), ["kobadisu"], name="item") is None


def test_every_frame_counts_once_in_every_stream(aligned: Aligned) -> None:
    sums = gather(aligned)
    frames = min(sum(frames for _, _, frames in aligned.phonemes), len(aligned.cepstra))
    assert sums.count.sum(axis=(0, 2)) == pytest.approx([frames] * 3)
    features = adapt._features(aligned.cepstra)[:frames]
    assert sums.first.sum(axis=(0, 2)) == pytest.approx(features.sum(axis=0), abs=1e-6)
    twice = add([sums, sums])
    assert np.array_equal(twice.second, 2 * sums.second)


def test_features_by_hand() -> None:
    cepstra = np.random.default_rng(0).standard_normal((9, 13))
    found = adapt._features(cepstra)
    centred = cepstra - cepstra.mean(axis=0)
    at = lambda frame: centred[min(max(frame, 0), 8)]  # noqa: E731
    for frame in range(9):
        slope = [at(frame + by + 2) - at(frame + by - 2) for by in (-1, 0, 1)]
        assert np.allclose(found[frame], [centred[frame], slope[1], slope[2] - slope[0]])


def test_what_was_heard_often_replaces_the_old_means(tmp_path: Path) -> None:
    _, means, variances = adapt._gaussians()
    sums = no_statistics()
    sums.count[5, 0, 7], sums.count[6, 1, 8] = 1e6, 2.0
    target = means[5, 0, 7] + 3.0
    sums.first[5, 0, 7] = 1e6 * target
    sums.second[5, 0, 7] = 1e6 * (target**2 + 4.0)
    sums.first[6, 1, 8] = 2.0 * (means[6, 1, 8] + 1.0)  # as many frames as the old mean counts for
    sums.second[6, 1, 8] = 2.0 * (means[6, 1, 8] + 1.0) ** 2
    places = [adapt._decode(path) for path in write_adapted(tmp_path, sums)]
    assert places[0][5, 0, 7] == pytest.approx(target, abs=1e-3)
    assert places[1][5, 0, 7] == pytest.approx(np.maximum(4.0, 0.3 * variances[5, 0, 7]), rel=1e-3)
    assert places[0][6, 1, 8] == pytest.approx(means[6, 1, 8] + 0.5, abs=1e-3)
    untouched = np.ones(SHAPE[:3], bool)
    untouched[5, 0, 7] = untouched[6, 1, 8] = False
    assert np.allclose(places[0][untouched], means[untouched], rtol=1e-6)
    assert np.allclose(places[1][untouched], variances[untouched], rtol=1e-5)


def test_nothing_heard_is_an_error(tmp_path: Path) -> None:
    empty: list[Statistics] = []
    with pytest.raises(RecogniserError, match="nothing to adapt to"):
        write_adapted(tmp_path, add(empty))

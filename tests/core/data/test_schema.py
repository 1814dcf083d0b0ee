"""Which recording an audio was cut from."""

from __future__ import annotations

import pytest

from core.data.schema import recording_of


@pytest.mark.parametrize(
    ("clips", "recording"),
    [
        (["freesound:12"], "freesound:12"),
        (["youtube:a-b_c@0-10"], "youtube:a-b_c"),
        (["youtube:a@0-10", "youtube:a@30-40"], "youtube:a"),
        (["rain-on-roof#3"], "rain-on-roof"),
        (["procedural/dog_bark-1"], "procedural/dog_bark-1"),
        (["tut2017:development/b020"], "tut2017:development/b020"),
        (["freesound:1", "freesound:2"], ""),
        ([], ""),
    ],
)
def test_segments_of_a_recording_name_it(clips: list[str], recording: str) -> None:
    assert recording_of(clips) == recording

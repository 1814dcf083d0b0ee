"""The bank of AudioSet-Strong's segments, on a folder in the official layout."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from core.data.cards import CARDS
from core.scenes.algebra import parse
from core.scenes.bank import Bank, read_bank
from core.scenes.captions import draw_wording, parse_caption, phrase_book, write
from core.scenes.compose import render
from core.scenes.draw import realise
from shared_data.bank import Config
from shared_data.bank import bank as build
from shared_data.world.sounds.segments import (
    SHARES,
    SegmentsError,
    label_of,
    load_segments,
    phrase_table,
    read_segments,
    split_of,
    youtube_ids,
)

RATE = 8000
NAMES = {
    "/m/05tny_": "Bark",
    "/m/02zsn": "Female speech, woman speaking",
    "/m/07p6fty": "Pour",
    "/m/02rr_": "Rattle (instrument)",
    "/m/07qn4z3": "Rattle",
    "/m/07q5rw0": "Dishes, pots, and pans",
    "/t/dd00126": 'Inside, "large" room',
}
BARK, WOMAN, POUR, *_, DISHES, _ = NAMES
VIDEOS = [f"{letter}_x-{number:07d}" for number, letter in enumerate("abcdefgh")]  # ids hold _ and -


def write_tsv(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def annotate(folder: Path, rows: list[tuple[str, float, float, str]]) -> None:
    header = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
    texts = [(clip, f"{start:.3f}", f"{end:.3f}", mid) for clip, start, end, mid in rows]
    write_tsv(folder / "audioset_train_strong.tsv", [header, *texts])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """8 videos of 10 s: silence, then 400 Hz of the first label, then 1600 Hz of another."""
    (tmp_path / "audio").mkdir()
    write_tsv(tmp_path / "mid_to_display_name.tsv", [*NAMES.items()])
    rows: list[tuple[str, float, float, str]] = []
    for number, video in enumerate(VIDEOS):
        clip = f"{video}_30000"
        first, second = (BARK, WOMAN) if number % 2 else (POUR, DISHES)
        rows += [
            (clip, 1.0, 3.0, first),
            (clip, 4.0, 9.0, second),
            (clip, 0.0, 1.0, first),  # not longer than 1 s
            (clip, 0.0, 9.5, second),  # not shorter than 9.5 s
            (clip, 2.0, 2.2, WOMAN),
        ]
        time = np.arange(10 * RATE) / RATE
        sound = np.where(time < 3.5, np.sin(800 * np.pi * time), np.sin(3200 * np.pi * time))
        sound = 0.3 * sound * ((time >= 1.0) & (time < 3.0) | (time >= 4.0) & (time < 9.0))
        name = f"{clip}.{'flac' if number < 4 else 'wav'}"
        soundfile.write(tmp_path / "audio" / name, np.stack([sound, sound], axis=1), RATE)
    annotate(tmp_path, [*rows, rows[0]])  # the same row twice
    return tmp_path


def pitch(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave))


def test_segments_become_clips(folder: Path) -> None:
    bank = load_segments(folder, sample_rate=RATE)
    assert Counter(clip.label for clip in bank.clips) == {
        "bark": 4,
        "female_speech_woman_speaking": 4,
        "pour": 4,
        "dishes_pots_and_pans": 4,
    }
    for clip, wave in zip(bank.clips, bank.waveforms, strict=True):
        short = clip.label in ("bark", "pour")
        assert len(wave) == pytest.approx((2 if short else 5) * RATE, abs=RATE // 50)
        assert pitch(wave) == pytest.approx(400 if short else 1600, abs=5)  # its own part of the file
        assert np.abs(wave).max() == pytest.approx(0.5)
        assert clip.group in VIDEOS
        assert clip.id.startswith(f"{clip.group}_30000@")
        assert clip.domain == ("speech" if "speech" in clip.label else "sound")
        assert "CC BY 4.0" in clip.license
        assert clip.split == split_of(clip.group)
    again = load_segments(folder, sample_rate=RATE, workers=1)
    assert again.clips == bank.clips
    assert all(np.array_equal(a, b) for a, b in zip(again.waveforms, bank.waveforms, strict=True))


def test_resampled_to_the_rate_of_the_bank(folder: Path) -> None:
    bank = load_segments(folder, sample_rate=2 * RATE, max_per_label=1)
    assert len(bank.waveforms[0]) == pytest.approx(2 * 2 * RATE, abs=RATE // 25)


def test_a_video_is_in_one_split_and_shares_are_kept(folder: Path) -> None:
    ids = [f"video-{number:05d}" for number in range(4000)]
    found = Counter(split_of(each) for each in ids)
    assert {name: found[name] / 4000 for name in SHARES} == pytest.approx(dict(SHARES), abs=0.02)
    halves = {"train": 0.5, "test": 0.5}
    bank = load_segments(folder, sample_rate=RATE, splits=halves)
    home: dict[str, set[str]] = {}
    for clip in bank.clips:
        home.setdefault(clip.group, set()).add(clip.split)
    assert all(len(splits) == 1 for splits in home.values())
    assert set.union(*home.values()) == {"train", "test"}
    with pytest.raises(SegmentsError, match="add up to 1"):
        load_segments(folder, sample_rate=RATE, splits={"train": 0.5})


def test_excluded_videos_give_no_clip(folder: Path) -> None:
    lists = folder / "test.csv"
    lists.write_text(f"audiocap_id,youtube_id,start_time,caption\n1,{VIDEOS[0]},30,A helicopters\n")
    names = folder / "files.txt"
    names.write_text(f"{VIDEOS[1]}_30000.wav\nY{VIDEOS[2]}.wav\nyoutube:{VIDEOS[3]}@30-40\n")
    banned = youtube_ids([lists, names])
    assert set(VIDEOS) & banned == set(VIDEOS[:4])
    bank = load_segments(folder, sample_rate=RATE, exclude=banned)
    assert {clip.group for clip in bank.clips} == set(VIDEOS[4:])
    with pytest.raises(SegmentsError, match=r"gone\.txt: this list of excluded videos is missing"):
        youtube_ids([folder / "gone.txt"])


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "Y{}",
        "{}_30000",
        "Y{}_30000",
        "{}_30000_40000",
        "{}_30.000_40.000.wav",
        "youtube:{}@30-40",
        "a,{},b",
    ],
)
@pytest.mark.parametrize("video", ["aB3_dE-gH1k", "YB3_dE-gH1k", "-B3_dE-gH1_", "Y_123456789"])
def test_ids_are_found_however_lists_write_them(tmp_path: Path, text: str, video: str) -> None:
    (tmp_path / "list.txt").write_text(text.format(video) + "\n")
    assert video in youtube_ids([tmp_path / "list.txt"])


def test_at_most_so_many_clips_a_label(folder: Path) -> None:
    whole = load_segments(folder, sample_rate=RATE)
    bank = load_segments(folder, sample_rate=RATE, max_per_label=2)
    assert set(Counter(clip.label for clip in bank.clips).values()) == {2}
    assert {clip.id for clip in bank.clips} < {clip.id for clip in whole.clips}


def test_missing_audio_is_an_error_or_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for video in VIDEOS[:2]:
        (folder / "audio" / f"{video}_30000.flac").unlink()
    with pytest.raises(SegmentsError, match=f"2 of the 8 files .*{VIDEOS[0]}_30000.*allow_missing"):
        load_segments(folder, sample_rate=RATE)
    with caplog.at_level(logging.WARNING):
        bank = load_segments(folder, sample_rate=RATE, allow_missing=True)
    assert "2 clips without audio" in caplog.text
    assert {clip.group for clip in bank.clips} == set(VIDEOS[2:])
    fewer = load_segments(folder, sample_rate=RATE, allow_missing=True, max_per_label=3)
    assert set(Counter(clip.label for clip in fewer.clips).values()) == {3}  # others stand in
    for path in (folder / "audio").iterdir():
        path.unlink()
    with pytest.raises(SegmentsError, match="none of 16 segments has audio"):
        load_segments(folder, sample_rate=RATE, allow_missing=True)


def test_unusable_audio_is_named_or_left_out(folder: Path) -> None:
    clip = f"{VIDEOS[5]}_30000"
    soundfile.write(folder / "audio" / f"{clip}.wav", np.full(10 * RATE, 0.0), RATE)
    with pytest.raises(SegmentsError, match=f"2 of 16 segments cannot be used:\n  {clip}@.* silent"):
        load_segments(folder, sample_rate=RATE)
    bank = load_segments(folder, sample_rate=RATE, allow_missing=True)
    assert {each.group for each in bank.clips} == set(VIDEOS) - {VIDEOS[5]}


def test_files_that_are_not_the_official_ones(folder: Path) -> None:
    annotate(folder, [(f"{VIDEOS[0]}_30000", 1.0, 3.0, "/m/unknown")])
    with pytest.raises(
        SegmentsError, match=r"1 machine ids are not in mid_to_display_name\.tsv \(/m/unknown"
    ):
        read_segments(folder)
    annotate(folder, [("no-start", 1.0, 3.0, BARK)])
    with pytest.raises(SegmentsError, match="line 2: 'no-start' is no <YouTube id>_<start in ms>"):
        read_segments(folder)
    write_tsv(folder / "audioset_train_strong.tsv", [("clip", "onset", "offset", "label")])
    with pytest.raises(SegmentsError, match="the header is"):
        read_segments(folder)
    write_tsv(folder / "audioset_train_strong.tsv", [("segment_id", "start_time_seconds")])
    with pytest.raises(SegmentsError, match="1 rows have not 4 fields"):
        read_segments(folder)
    (folder / "audioset_train_strong.tsv").unlink()
    with pytest.raises(SegmentsError, match=r"is missing; get it from https://research\.google\.com"):
        read_segments(folder)


def test_labels_in_words() -> None:
    assert label_of("Female speech, woman speaking") == "female_speech_woman_speaking"
    assert label_of("Children's voices (loud)") == "children's_voices_loud"


def test_phrases_are_nouns_that_no_two_labels_share() -> None:
    table = phrase_table([*NAMES.values(), "Rock and roll", "Siren", "Whistle, siren", "Fill (with liquid)"])
    assert table["bark"] == ("bark", "the sound of bark", "bark being heard")
    nouns = {label: phrases[0] for label, phrases in table.items()}
    assert nouns["inside_large_room"] == "inside large room"
    assert nouns["rattle"] == "rattle"
    assert nouns["rattle_instrument"] == "instrument rattle"
    assert nouns["female_speech_woman_speaking"] == "female speech"
    assert nouns["dishes_pots_and_pans"] == "dishes"
    assert nouns["fill_with_liquid"] == "fill"
    assert nouns["rock_and_roll"] == "rock-and-roll"  # "and" would connect two sounds
    assert len(set(nouns.values())) == len(nouns)
    assert phrase_table(reversed([*NAMES.values()])) == phrase_table(NAMES.values())


def test_captions_of_segments_are_read_back(folder: Path) -> None:
    """Its labels, phrases and clips serve expressions, captions and mixtures like those of any bank."""
    bank: Bank = load_segments(folder, sample_rate=RATE)
    tree = parse("((bark+female_speech_woman_speaking)*dishes_pots_and_pans)")
    book = phrase_book(bank)
    assert set(book) == set(bank.labels())
    rng = np.random.default_rng(0)
    for _ in range(20):
        wording = draw_wording([tree], book, rng=rng)
        assert tree in parse_caption(write(tree, wording), book)
    scene = realise(tree, bank=bank, rng=rng, duration=10.0)
    assert np.abs(render(scene, bank)).max() == pytest.approx(0.5)


def test_stage_builds_the_bank_of_segments(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    home = root / CARDS["audioset_strong"].folder
    home.parent.mkdir(parents=True)
    home.symlink_to(folder)
    (root / "tests.txt").write_text(f"{VIDEOS[0]}\n")
    logged: dict[str, float] = {}
    context = SimpleNamespace(
        root=root,
        module="shared_data.bank",
        path=root.joinpath,
        tracker=SimpleNamespace(log_metrics=lambda values, step: logged.update(values)),
    )
    config = Config(kind="segments", sample_rate=RATE, max_per_label=3, exclude=["tests.txt"])
    build(config, context=context)  # type: ignore[arg-type]
    bank = read_bank(root / "bank")
    assert VIDEOS[0] not in {clip.group for clip in bank.clips}
    assert set(Counter(clip.label for clip in bank.clips).values()) == {3}
    assert sum(value for name, value in logged.items() if name.endswith("/clips")) == len(bank.clips)


def test_the_card_lists_what_is_read() -> None:
    paths = {file.path for file in CARDS["audioset_strong"].files}
    assert {"audioset_train_strong.tsv", "mid_to_display_name.tsv", "audio/"} <= paths

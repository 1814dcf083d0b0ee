"""A throw-away world for profile `paper`: every data set that the papers read, in its official layout, faked.

Names, columns and folders are those of the releases; sounds are tones in noise, and there are few. The
defects of real files are in it: a clip of 0.3 s, one of 40 s, stereo, sample rates from 16 to 48 kHz, videos
that are listed and not there, label names with commas, an answer of several hundred words.
"""

from __future__ import annotations

import csv
import json
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
LONG_ANSWER = " ".join(["A dog barks near the road because a car goes past, and a man calls it back."] * 24)
GTZAN_TRACKS = 2  # of a genre
SHORT, LONG = 0.3, 40.0  # seconds of the shortest and the longest clip


@dataclass(frozen=True)
class World:
    """draw: the only source of chance."""

    draw: random.Random = field(default_factory=lambda: random.Random(0))

    def video(self) -> str:
        """A YouTube id."""
        return "".join(self.draw.choices(ALPHABET, k=11))

    def sound(self, path: Path, seconds: float, *, rate: int = 44100, channels: int = 1) -> None:
        """A tone in noise, 16 bits."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(self.draw.randrange(2**32))
        times = np.arange(round(seconds * rate)) / rate
        wave = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 2000) * times)
        wave += 0.02 * rng.standard_normal(len(times))
        both = wave if channels == 1 else np.stack([wave, 0.5 * wave], axis=1)
        soundfile.write(path, both, rate, subtype="PCM_16")


def compa_order(world: World, folder: Path) -> None:
    rows = []
    for i in range(8):
        files = [f"{i}.wav", f"{i}_rev.wav", f"{i}_trip.wav" if i < 2 else "-"]
        third = f"A dog barks amidst a cat meowing {i}" if i < 2 else "-"
        texts = [f"A dog barks followed by a cat meowing {i}", f"A cat meowing followed by a dog barks {i}"]
        rows.append([*texts, third, *files])
        for name in files:
            if name != "-":
                world.sound(folder / "CompA_order_files" / name, 10.0)
    columns = ("pair_caption", "reversed_pair_caption", "triplet_caption")
    files = ["pair_file", "reversed_pair_file", "triplet_file"]
    _table(folder / "CompA_order_benchmark.csv", rows, [*columns, *files])


def compa_attribute(world: World, folder: Path) -> None:
    rows = []
    for i in range(6):
        files = [f"{i}.wav", f"{i}_rev.wav"]
        texts = [f"A man talks while a woman sings {i}", f"A woman talks while a man sings {i}"]
        rows.append([*texts, world.video(), world.video(), *files])
        for name in files:
            world.sound(folder / "CompA_attribute_files" / name, 6.0, rate=32000)
    columns = ["pair_caption", "reversed_pair_caption", "pair_file", "reversed_pair_file"]
    _table(
        folder / "CompA_attribute" / "Compa-Attribute.csv",
        rows,
        [*columns, "pair_file.1", "reversed_pair_file.1"],
    )


def audiocaps(world: World, folder: Path) -> None:
    number = 1000
    for split, clips, home in (("train", 26, "train"), ("val", 4, "valid"), ("test", 6, "test")):
        rows = []
        for place in range(clips):
            video, start = world.video(), world.draw.randrange(200)
            for version in range(1 if split == "train" else 5):
                animal = world.draw.choice(["dog", "cat", "bird"])
                rows.append([number, video, start, f"A {animal} is heard {place} {version}"])
                number += 1
            if place == 1 and split != "val":
                continue  # this video is gone
            seconds = {2: SHORT, 3: LONG}.get(place, 10.0) if split != "val" else 10.0
            world.sound(folder / "audio" / home / f"{video}_{start}.wav", seconds, rate=48000)
        _table(folder / f"{split}.csv", rows, ["audiocap_id", "youtube_id", "start_time", "caption"])


def clotho(world: World, folder: Path) -> None:
    for number, (part, clips) in enumerate((("development", 8), ("validation", 2), ("evaluation", 6))):
        rows, told = [], []
        for i in range(clips):
            name = f"{part} clip, {i}.wav"
            world.sound(folder / part / name, 15.0 + 5 * (i % 3))
            rows.append([name, *(f"Clip {i} of water, said in way {j}" for j in range(5))])
            home = f"https://freesound.org/people/x/sounds/{number}{i}"
            told.append([name, "water;rain", f"{number}{i}", home, "0.0", "x", "CC BY 3.0"])
        _table(
            folder / f"clotho_captions_{part}.csv",
            rows,
            ["file_name", *(f"caption_{j}" for j in range(1, 6))],
        )
        columns = ["file_name", "keywords", "sound_id", "sound_link", "start_end_samples"]
        _table(folder / f"clotho_metadata_{part}.csv", told, [*columns, "manufacturer", "license"])


def esc50(world: World, folder: Path) -> None:
    kinds, rows = ["dog", "rooster", "sea_waves", "crackling_fire", "clapping", "footsteps"], []
    for i in range(12):
        name = f"{i % 5 + 1}-{100000 + i}-A-{i % 6}.wav"
        rows.append([name, i % 5 + 1, i % 6, kinds[i % 6], "False", 100000 + i, "A"])
        world.sound(folder / "ESC-50-master" / "audio" / name, 5.0)
    columns = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    _table(folder / "ESC-50-master" / "meta" / "esc50.csv", rows, columns)


def urbansound8k(world: World, folder: Path) -> None:
    kinds, rows = ["air_conditioner", "car_horn", "children_playing", "dog_bark"], []
    for i in range(10):
        name, fold = f"{200000 + i}-{i % 4}-0-0.wav", i % 10 + 1
        rows.append([name, 200000 + i, 0.0, 2.5, 1, fold, i % 4, kinds[i % 4]])
        seconds = SHORT if i == 0 else 2.5
        world.sound(folder / "UrbanSound8K" / "audio" / f"fold{fold}" / name, seconds, channels=2)
    columns = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    _table(folder / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv", rows, columns)


def vggsound(world: World, folder: Path) -> None:
    kinds, rows = ["people marching", "dog barking", "playing piano", "car engine, idling"], []
    for i in range(30):
        video, start, part = world.video(), world.draw.randrange(200), "test" if i < 8 else "train"
        rows.append([video, start, kinds[i % 4], part])
        if i not in (3, 12):  # these videos are gone
            world.sound(folder / part / f"{video}_{start:06d}.wav", 10.0)
    _table(folder / "vggsound.csv", rows, None)


def fsd50k(world: World, folder: Path) -> None:
    truth = folder / "FSD50K.ground_truth"
    known = ["Electric_guitar", "Bark", "Domestic_sounds_and_home_sounds", "Animal", "Rain"]
    _table(truth / "vocabulary.csv", [[i, name, f"/m/0{i}"] for i, name in enumerate(known)], None)
    rows: list[list[Any]] = []
    for i in range(12):
        labels = "Bark,Animal" if i % 2 else "Rain"
        rows.append([300000 + i, labels, "/m/01,/m/03", "train" if i < 10 else "val"])
        seconds = SHORT if i == 0 else world.draw.uniform(0.4, 29)
        world.sound(folder / "FSD50K.dev_audio" / f"{300000 + i}.wav", seconds)
    _table(truth / "dev.csv", rows, ["fname", "labels", "mids", "split"])
    rows = []
    for i in range(8):
        labels = ("Bark,Animal", "Rain", "Electric_guitar", "Domestic_sounds_and_home_sounds")[i % 4]
        rows.append([310000 + i, labels, "/m/01"])
        world.sound(folder / "FSD50K.eval_audio" / f"{310000 + i}.wav", world.draw.uniform(0.4, 29))
    _table(truth / "eval.csv", rows, ["fname", "labels", "mids"])


def dcase2017(world: World, folder: Path) -> None:
    labels = ["Train horn", "Air horn, truck horn", "Car alarm", "Ambulance (siren)", "Screaming", "Bus"]
    lines = []
    for i, label in enumerate(labels):
        video, start = world.video(), float(world.draw.randrange(100))
        name = f"{video}_{start:.3f}_{start + 10:.3f}.wav"
        heard = [label, labels[1]] if i == 0 else [label]
        lines += [f"{name}\t{start:.3f}\t{start + 10:.3f}\t{each}" for each in heard]
        world.sound(folder / "evaluation" / f"Y{name}", 10.0)
    _text(folder / "groundtruth_weak_label_evaluation_set.csv", lines)


def vocalsound(world: World, folder: Path) -> None:
    codes = {
        "/m/01j3sz": "Laughter",
        "/m/07plz5l": "Sigh",
        "/m/01b_21": "Cough",
        "/m/0dl9sf8": "Throat clearing",
        "/m/01hsr_": "Sneeze",
        "/m/07ppn3j": "Sniff",
    }
    rows = [[i, code, name] for i, (code, name) in enumerate(codes.items())]
    _table(folder / "class_labels_indices_vs.csv", rows, ["index", "mid", "display_name"])
    items = []
    for i, (code, label) in enumerate(codes.items()):
        name = f"f{i:04d}_0_{label.lower().replace(' ', '')}.wav"
        items.append({"wav": f"/data/sls/scratch/vocalsound/{name}", "labels": code})
        world.sound(folder / "audio_16k" / name, 4.0, rate=16000)
    _json(folder / "datafiles" / "te.json", {"data": items})


def tut2017(world: World, folder: Path) -> None:
    home, lines = folder / "TUT-acoustic-scenes-2017-evaluation", []
    for i, place in enumerate(["beach", "bus", "cafe/restaurant", "city_center", "forest_path"]):
        lines.append(f"audio/{1000 + i}.wav\t{place}")
        world.sound(home / "audio" / f"{1000 + i}.wav", 10.0, channels=2)
    _text(home / "meta.txt", lines)


def beijing_opera(world: World, folder: Path) -> None:
    for i, kind in enumerate(["bangu", "naobo", "daluo", "xiaoluo"]):
        world.sound(folder / "audios" / f"{205900 + i}__ajaysm__{kind}-{i + 1:02d}.wav", 2.0)


def nsynth(world: World, folder: Path) -> None:
    for split, notes in (("train", 8), ("test", 6)):
        examples = {}
        for i in range(notes):
            family = ("bass", "brass", "synth_lead" if split == "train" else "reed")[i % 3]
            source = ("acoustic", "electronic", "synthetic")[i % 3]
            name = f"{family}_{source}_{i:03d}-{60 + i:03d}-100"
            examples[name] = {
                "note": i,
                "note_str": name,
                "pitch": 60 + i,
                "velocity": 100,
                "sample_rate": 16000,
                "instrument_family_str": family,
                "instrument_source_str": source,
            }
            world.sound(folder / f"nsynth-{split}" / "audio" / f"{name}.wav", 4.0, rate=16000)
        _json(folder / f"nsynth-{split}" / "examples.json", examples)


def gtzan(world: World, folder: Path) -> None:
    """The importer counts the tracks of a genre: a hundred in the official folder."""
    genres = "blues classical country disco hiphop jazz metal pop reggae rock"
    for genre in genres.split():
        for i in range(GTZAN_TRACKS):
            world.sound(folder / "genres" / genre / f"{genre}.{i:05d}.wav", 30.0, rate=22050)


def medley_solos(world: World, folder: Path) -> None:
    rows = []
    for i in range(6):
        part, of = "test" if i < 5 else "training", str(uuid.UUID(int=world.draw.getrandbits(128)))
        rows.append([part, ("clarinet", "piano", "violin")[i % 3], i % 3, i, of])
        world.sound(folder / "Medley-solos-DB" / f"Medley-solos-DB_{part}-{i % 3}_{of}.wav", 3.0)
    columns = ["subset", "instrument", "instrument_id", "song_id", "uuid4"]
    _table(folder / "Medley-solos-DB_metadata.csv", rows, columns)


def audioset(world: World, folder: Path) -> None:
    names = ["Speech", "Male speech, man speaking", "Dog", "Rain", "Music"]
    rows = [[i, f"/m/a{i}", name] for i, name in enumerate(names)]
    _table(folder / "class_labels_indices.csv", rows, ["index", "mid", "display_name"])
    lines = ["# Segments csv created Sun Mar  5 10:54:31 2017", "# num_ytids=6", "# YTID, start, end, labels"]
    for i in range(6):
        video = world.video()
        lines.append(f'{video}, {30 + i}.000, {40 + i}.000, "/m/a{i % 5},/m/a{(i + 1) % 5}"')
        if i != 5:  # this video is gone
            world.sound(folder / "eval" / f"{video}.wav", 10.0)
    _text(folder / "eval_segments.csv", lines)


def clothoaqa(world: World, folder: Path) -> None:
    for part, clips in (("train", 6), ("val", 2), ("test", 4)):
        rows = []
        for i in range(clips):
            name = f"{part} aqa {i}.wav"
            world.sound(folder / "audio_files" / name, 18.0)
            for question, answers in (("What barks?", "dog dogs dog"), ("Is it a dog?", "yes yes no")):
                rows += [[name, question, answer, "yes"] for answer in answers.split()]
        columns = ["file_name", "QuestionText", "answer", "confidence"]
        _table(folder / f"clotho_aqa_{part}.csv", rows, columns)


def openaqa(world: World, folder: Path) -> None:
    for name, clips in (("openaqa_5.6M.json", 8), ("openaqa_test.json", 3)):
        items = []
        for i in range(clips):
            video = world.video()
            world.sound(folder / "audio" / "as_strong" / f"{video}.flac", 10.0, rate=16000)
            for j in range(3):
                said = LONG_ANSWER if i == j == 0 else f"A dog barks in clip {i} {j}."
                items.append(
                    {
                        "instruction": f"What is heard {j}?",
                        "input": "",
                        "audio_id": f"/data/sls/scratch/audiollm/as_strong/{video}.flac",
                        "dataset": "as_strong_train",
                        "task": "open-ended question",
                        "output": said,
                    }
                )
        _json(folder / name, items)


def compa_r(world: World, folder: Path) -> None:
    about = {"input": "", "dataset": "compa_r", "task": "open-ended question"}
    test, train = [], []
    for _ in range(3):
        name = f"Y{world.video()}.wav"
        world.sound(folder / "compa_r_test_audios" / name, 10.0, rate=16000)
        pairs = [("Infer why the dog barks.", "A car passes."), ("Deduce the place.", "A street.")]
        test.append(
            {
                "audio_id": f"./compa_r_test_audios/{name}",
                "caption": "A dog barks near a road.",
                "timestamp_events": "(Dog-0.0-2.5), (Car-1.0-9.9)",
                **about,
                "instruction_output": [{"instruction": i, "output": o} for i, o in pairs],
            }
        )
    for i in range(8):
        name = f"Y{world.video()}.wav"
        world.sound(folder / "compa_r_train_audios" / name, 10.0, rate=16000)
        for j in range(3):
            said = LONG_ANSWER if i == j == 0 else f"Because of a car {i}."
            asked = {"instruction": f"Infer the reason {j}.", "output": said}
            train.append({"audio_id": f"./compa_r_train_audios/{name}", **asked, **about})
    _json(folder / "CompA-R-test.json", test)
    _json(folder / "CompA-R.json", train)


def audioset_strong(world: World, folder: Path) -> None:
    names = {
        "/m/0bt9lr": "Dog",
        "/m/05tny_": "Bark",
        "/m/06mb1": "Rain",
        "/m/07q0yl5": "Snap",
        "/m/01yrx": "Cat",
        "/m/04rlf": "Music",
        "/m/09x0r": "Speech",
        "/m/0k4j": "Car",
        "/m/015p6": "Bird",
        "/m/0ytgt": "Child speech, kid speaking",
    }
    _text(folder / "mid_to_display_name.tsv", [f"{code}\t{name}" for code, name in names.items()])
    lines, codes = ["segment_id\tstart_time_seconds\tend_time_seconds\tlabel"], list(names)
    for i in range(160):
        segment = f"{world.video()}_{world.draw.randrange(200) * 1000}"
        world.sound(folder / "audio" / f"{segment}.wav", 10.0, rate=44100 if i % 2 else 16000)
        for j in range(2):
            start = world.draw.uniform(0, 4)
            end = start + world.draw.uniform(1.2, 5)
            lines.append(f"{segment}\t{start:.3f}\t{end:.3f}\t{codes[(i + j) % 10]}")
    _text(folder / "audioset_train_strong.tsv", lines)


def mmau(world: World, folder: Path) -> None:
    skills = [
        ("sound", "Temporal Event Reasoning", "Reasoning"),
        ("music", "Instrumentation", "Information Extraction"),
        ("speech", "Counting", "Information Extraction"),
    ]
    options, items = ["Dog", "Cat", "Two birds", "A man"], []
    for i in range(12):
        task, skill, category = skills[i % 3]
        of = str(uuid.UUID(int=world.draw.getrandbits(128)))
        items.append(
            {
                "id": of,
                "audio_id": f"./test-mini-audios/{of}.wav",
                "question": f"What is heard {i}?",
                "choices": options,
                "answer": options[i % 4],
                "dataset": "AudioSet",
                "task": task,
                "split": "test-mini",
                "category": category,
                "sub-category": skill,
                "difficulty": ("easy", "medium", "hard")[i % 3],
            }
        )
        world.sound(folder / "test-mini-audios" / f"{of}.wav", LONG if i == 0 else 10.0, rate=16000)
    _json(folder / "mmau-test-mini.json", items)


def mmau_pro(world: World, folder: Path) -> None:
    """Closed, open and rule-checked questions, one of two files and one longer than a model's window."""
    columns = "id question answer category sub-cat length_type dataset transcription task_identifier"
    columns += " task_classification"
    empty: dict[str, Any] = dict.fromkeys(columns.split(), "")
    empty |= {
        "choices": [],
        "audio_path": [],
        "perceptual_skills": [],
        "reasoning_skills": [],
        "kwargs": "{}",
    }
    rows = []
    for i, category in enumerate(["sound", "music", "speech", "open", "instruction following", "multi"]):
        names = [f"data/{i}_{j}.wav" for j in range(2 if category == "multi" else 1)]
        for name in names:
            world.sound(folder / name, LONG if i == 0 else 10.0, rate=16000, channels=1 + (i == 1))
        row = {**empty, "id": f"q{i}", "question": f"What is heard {i}?", "category": category}
        row |= {"audio_path": names, "length_type": "short", "dataset": "x"}
        if category == "instruction following":
            row |= {"answer": None, "task_identifier": "Word Count", "kwargs": '{"N": 20}'}
        elif category == "open":
            row |= {"answer": "A dog barks."}
        else:
            row |= {"answer": "Dog", "choices": ["Dog", "Cat", "Rain"]}
        rows.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "test.parquet")


MAKERS: Mapping[str, Callable[[World, Path], None]] = {
    made.__name__: made
    for made in (
        *(compa_order, compa_attribute, audiocaps, clotho, esc50, urbansound8k, vggsound, fsd50k),
        *(dcase2017, vocalsound, tut2017, beijing_opera, nsynth, gtzan, medley_solos, audioset),
        *(clothoaqa, openaqa, compa_r, audioset_strong, mmau, mmau_pro),
    )
}


def make_data(raw: Path, names: Iterable[str] = MAKERS) -> None:
    """Write the data sets under `raw`, each by chance of its own, so that a choice of them changes none."""
    for name in names:
        MAKERS[name](World(random.Random(name)), raw / name)


def _table(path: Path, rows: Sequence[Sequence[Any]], header: Sequence[str] | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*([header] if header else []), *rows])


def _text(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")

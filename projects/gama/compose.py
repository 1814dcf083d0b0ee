"""Write the instruction data. Reads: the bank (mini) or the training splits of imported data sets; writes:
data/<profile>/scenes.jsonl and data/<profile>/instructions/*.json in GAMA's official schema.

Files: `classification` (stages 1 and 2), `closed` and `open` (OpenAQA's two halves), `compa_r_train`
(CompA-R, from scenes or imported), and `captions`, from which the Q-Former is pre-trained. An audio is named
"<set>:<id>", as in the feature store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.data.instructions import Instruction, write_instructions
from core.data.parquet import read_dataset, why_absent
from core.run.files import write_text_atomic
from core.run.progress import progress
from core.run.stage import Context
from core.scenes.bank import Bank, read_bank
from core.scenes.captions import phrase_book
from core.scenes.draw import SceneSource, voice_attributes
from core.scenes.phrasings import CLOSED, PROMPT_CAPTION, PROMPT_CLASSIFY
from core.scenes.places import PLACES
from core.scenes.questions import CLOSED_TASKS, OPEN_TASKS, ask, compa_r
from core.scenes.timeline import Scene, scene_to_json

PROMPT_INSTRUMENT = CLOSED + "What is the instrument of this music?"
PROMPT_SOURCE = CLOSED + "What is the source of this music?"
Files = dict[str, list[Instruction]]


@dataclass(frozen=True)
class Config:
    """scenes: how many training scenes (0: none, only `sets`). placed: share of them whose sounds belong to
    one place, where the bank has enough of any. captions, closed, open, compa_r: texts per scene and file.

    singles, sizes: shares of scenes of 1, and of 2, 3, 4 events.
    sets: imported data sets whose training split is used.
    """

    scenes: int = 0
    sets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # of the bank; empty is all
    duration: float = 5.0
    noise_db: tuple[float, float] = (-35.0, -10.0)
    singles: float = 0.3
    sizes: tuple[float, ...] = (0.6, 0.4)
    placed: float = 0.3
    captions: int = 4
    closed: int = 6
    open: int = 4
    compa_r: int = 3
    seed: int = 0


def compose(config: Config, *, context: Context) -> None:
    """Write scenes and instructions and log how many there are."""
    out = context.path("data")
    files: Files = {name: [] for name in ("classification", "captions", "closed", "open", "compa_r_train")}
    scenes: list[Scene] = []
    if config.scenes:
        folder = context.root / "shared_data" / "bank" / context.profile
        bank = read_bank(folder, splits=["train"]).only(config.labels)
        scenes = draw_scenes(bank, config)
        instruct(progress(scenes, desc="write", unit="scene"), bank, config, files)
    for name in config.sets:
        folder = context.root / "shared_data" / "datasets" / context.profile / name
        if reason := why_absent(folder):
            print(f"{name}: {reason}")
            continue
        columns = [c for c in read_dataset(folder, "train").column_names if not c.endswith("audio")]
        for row in read_dataset(folder, "train", columns=columns):
            for file, item in from_row(name, row):
                files[file].append(item)
    write_text_atomic(out / "scenes.jsonl", "".join(scene_to_json(scene) + "\n" for scene in scenes))
    for name, items in files.items():
        write_instructions(out / "instructions" / f"{name}.json", items)
        context.tracker.log_metrics({f"instructions/{name}": float(len(items))})
        print(f"{name}: {len(items)} instructions of {len({item.audio_id for item in items})} audios")


def draw_scenes(bank: Bank, config: Config) -> list[Scene]:
    """Training scenes, a share of them with the sounds of one place only, so that places can be told."""
    voices = bool(voice_attributes(bank))
    common: dict[str, Any] = {
        "bank": bank,
        "duration": config.duration,
        "noise_db": config.noise_db,
        "sizes": config.sizes,
    }
    known = [place.known(bank.labels()) for place in PLACES.values()]
    homes = [labels for labels in known if len(labels) > len(config.sizes)]
    placed = int(config.scenes * config.placed) if homes else 0
    source = SceneSource(
        seed=config.seed,
        singles=config.singles,
        attribute_share=0.1 if voices else 0.0,
        **common,
    )
    scenes = [scene for scene, _ in source.draw(0, config.scenes - placed)]
    for number, labels in enumerate(homes):
        share = placed // len(homes) + (number < placed % len(homes))
        source = SceneSource(seed=config.seed + 1 + number, labels=labels, **common)
        scenes += [scene for scene, _ in source.draw(0, share)]
    return scenes


def instruct(scenes: Iterator[Scene], bank: Bank, config: Config, files: Files) -> None:
    """Add the questions of every scene to the files, each a function of seed and place."""
    book, voices = phrase_book(bank), voice_attributes(bank)
    shares = (config.singles, *(size * (1 - config.singles) / sum(config.sizes) for size in config.sizes))
    for place, scene in enumerate(scenes):
        rng = np.random.default_rng((config.seed, place))
        some: dict[str, Any] = {"book": book, "rng": rng, "voices": voices}
        for file, tasks, count in (
            ("classification", ("classification",), 1),
            ("captions", ("caption",), config.captions),
            ("closed", tuple(CLOSED_TASKS), config.closed),
            ("open", tuple(OPEN_TASKS), config.open),
        ):
            for task in rng.choice(len(tasks), size=count):
                if made := ask(scene, task=tasks[int(task)], sizes=shares, **some):
                    files[file].append(_item(scene, made))
        files["compa_r_train"] += [_item(scene, made) for made in compa_r(scene, n=config.compa_r, **some)]


def _item(scene: Scene, question: Any) -> Instruction:
    return Instruction(
        audio_id=f"scenes:{scene.id}",
        instruction=question.instruction,
        output=question.output,
        dataset="scenes",
        task=question.task,
    )


def from_row(name: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Instruction]]:
    """(file, instruction) of a row of any schema: labels, captions, notes, or questions with answers."""

    def item(instruction: str, output: str, task: str) -> Instruction:
        return Instruction(
            audio_id=f"{name}_train:{row['id']}",
            instruction=instruction,
            output=output,
            dataset=name,
            task=task,
        )

    labels: Sequence[str] = row.get("labels") or ([row["label"]] if row.get("label") else [])
    if labels:
        said = "; ".join(label.replace("_", " ") for label in labels)
        yield "classification", item(PROMPT_CLASSIFY, f"{said}.", "classification")
    for caption in row.get("captions") or ():
        yield "closed", item(PROMPT_CAPTION, caption, "caption")
        yield "captions", item(PROMPT_CAPTION, caption, "caption")
    if row.get("instrument"):
        yield "classification", item(PROMPT_INSTRUMENT, f"{row['instrument']}.", "instrument")
        yield "classification", item(PROMPT_SOURCE, f"{row['source']}.", "source")
    if row.get("question"):
        for answer in sorted(set(row["answers"])):
            yield "closed", item(CLOSED + row["question"], answer, "question")
    asked = "compa_r_train" if name == "compa_r" else "open"
    for pair in row.get("questions") or ():
        yield asked, item(pair["instruction"], pair["output"], pair["task"])


if __name__ == "__main__":
    from core.run.stage import run

    run(compose, Config)

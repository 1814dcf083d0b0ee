"""Show what the models heard and said. Reads: predictions/<profile>/{gold,<model>/<condition>}/<set>.jsonl
and the data sets in shared_data/datasets/<profile>; writes: figures/<profile>/examples.html, one file that
needs no other.

Per example: a spectrogram, the events where the set has them, the question, the references and the answers of
every row, one a training seed.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.audio.files import Kind
from core.audio.read import read_audio
from core.data.parquet import read_dataset
from core.metrics.bootstrap import dataset_seed
from core.run.files import write_text_atomic
from core.run.jsonl import LineError, parse_line, split_lines
from core.run.stage import Context

RANGE_DB = 60.0  # below the loudest cell everything is black
COLOURS = 12  # few, so that the page stays small enough for git
WINDOW = 512  # samples of a frame; a sound shorter than two frames is padded
SILENT_TOO: tuple[Kind, ...] = ("silent",)
NO_ANSWER = "(no answer)"
REFERENCES = ("labels", "captions", "answers", "output")  # what a question's right answer may be called

Line = dict[str, Any]

STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222 }
section { border-top: 1px solid #ccc; padding: 1em 0 }
img { display: block; max-width: 100% }
table { border-collapse: collapse; margin-top: .5em; width: 100% }
th, td { border: 1px solid #ddd; padding: .3em .6em; text-align: left; vertical-align: top }
th { width: 12em; font-weight: 600; background: #f6f6f6 }
tr.reference td, tr.reference th { background: #eef6ee }
small, .missing { color: #666 }
"""


class ExampleError(ValueError):
    """Predictions that cannot be shown beside each other, or beside their data set."""


@dataclass(frozen=True)
class Config:
    """rows: "<model>/<condition>", in the order shown. datasets: sets of questions.

    n: examples per set, each of another audio where there are as many, drawn by `seed`.
    """

    rows: tuple[str, ...]
    datasets: tuple[str, ...]
    n: int = 3
    seed: int = 0


def examples(config: Config, *, context: Context) -> None:
    """Write the page; a row that did not answer a set says so, with its reason."""
    if config.n < 1:
        raise ExampleError(f"n is {config.n}; show at least 1 example of each set")
    body: list[str] = []
    shown = 0
    for name in config.datasets:
        body.append(f"<h2>{html.escape(name)}</h2>")
        path = context.path("predictions", "gold", f"{name}.jsonl")
        if not path.is_file():
            body.append('<p class="missing">not in this profile</p>')
            continue
        asked = _lines(path, stage="gold", read=_question)
        said, absent = _predictions(context, config.rows, name, list(asked))
        body += [
            f'<p class="missing">{html.escape(f"{row}: {reason}")}</p>' for row, reason in absent.items()
        ]
        if not said:
            continue
        chosen = _chosen(list(asked.values()), name, n=config.n, seed=config.seed)
        sounds = _sounds(
            context.root / "shared_data" / "datasets" / context.profile, [line["audio"] for line in chosen]
        )
        for line in chosen:
            answers = {row: lines[line["id"]]["answers"] for row, lines in said.items()}
            body.append(_example(line, sounds[line["audio"]], answers))
        shown += len(chosen)
    if not shown:
        raise ExampleError(
            f"no predictions of {', '.join(config.rows)} under {context.path('predictions')}; run the stages "
            "`gold` and `predict` first"
        )
    title = html.escape(f"{context.paper}, {context.profile}: examples")
    page = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )
    path = context.path("figures", "examples.html")
    write_text_atomic(path, page)
    context.tracker.log_artifact(path)


def _predictions(
    context: Context, rows: Sequence[str], name: str, ids: Sequence[str]
) -> tuple[dict[str, dict[str, Line]], dict[str, str]]:
    """row -> id -> line of those that answered this set, and why the others did not."""
    said, absent = {}, {}
    for row in rows:
        folder = context.path("predictions", row)
        path = folder / f"{name}.jsonl"
        if (folder / "not_run.txt").is_file():
            absent[row] = (folder / "not_run.txt").read_text(encoding="utf-8").strip()
        elif path.is_file():
            said[row] = _lines(path, stage="predict", read=lambda line: _texts(line["answers"]))
            if list(said[row]) != list(ids):
                raise ExampleError(
                    f"{path} answers other questions than the gold file: run its stage `predict` again"
                )
        else:
            absent[row] = "not run"
    return said, absent


def _lines(path: Path, *, stage: str, read: Callable[[Line], Any]) -> dict[str, Line]:
    """id -> line. `read` takes from a line what the page needs of it and fails where that is not there."""
    found: dict[str, Line] = {}
    for number, content in enumerate(split_lines(path.read_bytes()), start=1):
        try:
            line = parse_line(content)
            id = line["id"]
            read(line)
        except (LineError, KeyError, TypeError) as error:
            raise ExampleError(
                f"{path}, line {number}, is not what the stage `{stage}` writes ({error!r}): run it again"
            ) from None
        if id in found:
            raise ExampleError(f"{path}, line {number}: {id} occurs twice; run the stage `{stage}` again")
        found[id] = line
    return found


def _question(line: Line) -> tuple[str, str, list[str]]:
    """Audio, question and what a right answer is, whatever the set's schema."""
    kinds = [kind for kind in REFERENCES if kind in line]
    if len(kinds) != 1:
        raise TypeError(f"one of {', '.join(REFERENCES)} must be there, found {kinds}")
    return line["audio"], line["instruction"], _texts(line[kinds[0]])


def _chosen(asked: Sequence[Line], name: str, *, n: int, seed: int) -> list[Line]:
    """n questions in the order of their file, about different audios as long as there are any."""
    rng = np.random.default_rng((seed, dataset_seed(name)))
    order = [int(place) for place in rng.permutation(len(asked))]
    first = {asked[place]["audio"]: place for place in reversed(order)}  # the first drawn of each audio
    order.sort(key=lambda place: first[asked[place]["audio"]] != place)  # stable: the draw's order stays
    return [asked[place] for place in sorted(order[:n])]


def _sounds(datasets: Path, audios: Sequence[str]) -> dict[str, bytes]:
    """The encoded files of audios named "<data set>:<id of a row>"."""
    found: dict[str, bytes] = {}
    for folder in sorted({audio.partition(":")[0] for audio in audios}):
        dataset = read_dataset(datasets / folder)
        place = {f"{folder}:{id}": index for index, id in enumerate(dataset["id"])}
        wanted = [audio for audio in audios if audio.partition(":")[0] == folder]
        if strange := [audio for audio in wanted if audio not in place]:
            raise ExampleError(
                f"{datasets / folder} has no {', '.join(strange)}: the questions are of another one, "
                "run the stages `gold` and `predict` again"
            )
        found |= {audio: dataset[place[audio]]["audio"]["bytes"] for audio in wanted}
    return found


def _example(line: Line, sound: bytes, answers: Mapping[str, Any]) -> str:
    """One section of the page."""
    audio, question, references = _question(line)
    events = "; ".join(
        f"{label} {onset:.1f}–{offset:.1f} s" for label, onset, offset in line.get("events") or []
    )
    cells = [("question", "", [question]), ("reference", ' class="reference"', references)]
    cells += [(row, "", _texts(texts)) for row, texts in answers.items()]
    table = "\n".join(
        f"<tr{kind}><th>{html.escape(name)}</th><td>{'<br>'.join(map(html.escape, texts))}</td></tr>"
        for name, kind, texts in cells
    )
    image = base64.b64encode(_spectrogram(sound, name=audio)).decode("ascii")
    id = html.escape(line["id"])
    about = f"<small>{id}</small>" + (f"<p>{html.escape(events)}</p>" if events else "")
    return (
        f'<section>\n<img alt="spectrogram of {html.escape(audio)}" src="data:image/png;base64,{image}">\n'
        f"{about}\n<table>\n{table}\n</table>\n</section>"
    )


def _texts(value: Any) -> list[str]:
    """One text, or several (annotators' answers, the training seeds'). TypeError for what is none."""
    texts = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{value!r} is not text")
    return [text if text.strip() else NO_ANSWER for text in texts] or [NO_ANSWER]


def _spectrogram(audio: bytes, *, name: str) -> bytes:
    """A small PNG, the same bytes each time: seconds against kHz, the level in dB."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.mlab import specgram

    sound, rate = read_audio(audio, sample_rate=None, accept=SILENT_TOO, name=name)
    sound = np.pad(sound, (0, max(0, 2 * WINDOW - len(sound))))
    power = np.asarray(specgram(sound, NFFT=WINDOW, Fs=rate, noverlap=WINDOW // 2)[0])
    floor = max(float(power.max()), 1e-12) * 10 ** (-RANGE_DB / 10)
    figure, axis = plt.subplots(figsize=(6.0, 1.6), dpi=72)
    axis.imshow(
        10 * np.log10(np.maximum(power, floor)),
        extent=(0, len(sound) / rate, 0, rate / 2000),
        origin="lower",
        aspect="auto",
        cmap=plt.get_cmap("magma", COLOURS),
        interpolation="nearest",
        vmin=10 * np.log10(floor),
        vmax=10 * np.log10(floor) + RANGE_DB,
    )
    axis.set_ylabel("kHz")
    axis.set_xlabel("s")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


if __name__ == "__main__":
    from core.run.stage import run

    run(examples, Config)

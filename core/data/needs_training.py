"""What the trainings of a paper's profile need, each with its arithmetic: checkpoints on disk, and memory.

Read off the configuration of the stages that train: CompA's CLAPs (`objective`), GAMA's Q-Former
(`bridging`), rows of an audio language model (`phases`). A stage of another kind says that it is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.data import model_sizes as sizes
from core.data.inputs import SHARED, Work
from core.data.needs import BANK_SECONDS, Need, Plan, clips_of, paper_of, size_of_outs

ADAM = 8  # bytes of optimiser a trained value
TRAINED = 16  # bytes in memory: value, gradient and optimiser
GPUS = 8  # of the papers: a global batch is shared by them
SECONDS = 10.0  # of the audio before a training item
KEPT = 2  # step folders, where the options do not say (core.train.optimisation)
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def checkpoint_needs(plan: Plan) -> Iterator[Need]:
    """What trainings write: weights, and the kept step folders with the optimiser's state."""
    for one in plan.work:
        if one.without or one.stage.file == SHARED:
            continue
        try:
            made = _training(plan, one)
        except KeyError as error:
            made = (0.0, f"{error} is not known here")
        if made is None:
            continue
        size, text = made
        yield Need(
            part=f"checkpoints of {paper_of(one)}",
            what=one.stage.key,
            sum=text,
            bytes=size,
            there=size_of_outs(plan, one),
            cached=True,
            unknown="" if size else "not counted",
        )


def _training(plan: Plan, one: Work) -> tuple[float, str] | None:
    """(bytes, arithmetic) of a training's outputs; None for a stage that is none. Raises KeyError."""
    config, seeds = one.config, len(one.config.get("seeds") or (0,))
    if one.stage.stage == "init" and "shape" in config:
        whole = sum(sizes.clap_sizes(config["shape"]).values())
        return whole * 4.0, f"{whole:,} values x 4 B"
    if "objective" in config:
        start = (
            other.config
            for other in plan.work
            if other.stage.key == "init" and paper_of(other) == paper_of(one)
        )
        clap = sizes.clap_sizes(next(start, {})["shape"])
        whole, options = sum(clap.values()), config["options"]
        trained = sizes.matching(clap, options.get("trainable", ("*",)))
        kept = int(options.get("keep", KEPT))
        text = f"{seeds} seeds x ({whole:,} values x 4 B + {kept} steps x {trained:,} trained x {4 + ADAM} B)"
        return float(seeds * (whole * 4 + kept * trained * (4 + ADAM))), text
    if "bridging" in config:
        return _pretraining(plan, config)
    if not config.get("phases"):
        return None
    values = _row(plan, one)
    whole, steps = sum(values.values()), 0.0
    for phase in config["phases"].values():
        steps += int(phase["options"].get("keep", KEPT)) * sizes.matching(values, phase["parts"])
    files = len(config["phases"]) + 1
    text = (
        f"{seeds} seeds x ({files} files x {whole:,} values x 4 B + {steps:,.0f} values in kept steps x "
        f"{4 + ADAM} B)"
    )
    return seeds * (files * whole * 4 + steps * (4 + ADAM)), text


def _pretraining(plan: Plan, config: Mapping[str, Any]) -> tuple[float, str]:
    shape = dict(config.get("shape") or {}) | {
        "feature_size": plan.shape("tagger")["hidden_size"],
        "vocab_size": plan.shape("text_tower")["vocab_size"],
    }
    first = sum(sizes.former_sizes(shape, text=True).values())
    branch = sizes.branch_sizes(
        "qformer",
        widths={"ast": shape["feature_size"]},
        out=plan.shape("language_model")["hidden_size"],
        bridge={"qformer": config.get("shape") or {}},
    )
    second = sum(branch.values())
    kept = [int(config[name].get("keep", KEPT)) for name in ("bridging", "generative")]
    text = " + ".join(
        f"{values:,} values x (4 + {keep} steps x {4 + ADAM}) B"
        for values, keep in zip((first, second), kept, strict=True)
    )
    return sum(
        values * (4.0 + keep * (4 + ADAM)) for values, keep in zip((first, second), kept, strict=True)
    ), text


def _row(plan: Plan, one: Work) -> dict[str, int]:
    """What a row of an audio language model may train; a tuned one has its parent's branches."""
    top = _top(plan, one)
    clap = (plan.config("init").get("shape") or {}).get("joint_dim", 512)
    widths = {
        "ast": plan.shape("tagger").get("hidden_size", 0),
        "listener": plan.shape("listener").get("d_model", 0),
        "clap": clap,
    }
    return sizes.row_sizes(
        top.config["branches"],
        widths=widths,
        lm=plan.shape("language_model"),
        bridge=top.config.get("bridge") or {},
        soft_prompt=bool(one.config.get("hints")),
    )


def _top(plan: Plan, one: Work) -> Work:
    """The row that says what a row is built of: itself, or the parent of a tuned one. Raises KeyError."""
    top: Work | None = one
    while top is not None and "branches" not in top.config:
        parent, file = top.config.get("parent"), one.stage.file
        of = (other for other in plan.work if other.stage.file == file and other.stage.variant == parent)
        top = next((other for other in of if other.stage.stage in ("train", "tune")), None)
    if top is None:
        raise KeyError(f"the branches of {one.stage.key}")
    return top


def memory_needs(plan: Plan) -> list[Need]:
    """The bank in each process that reads it, and on a GPU the rows that take the most."""
    found = []
    if (bank := plan.config("bank")).get("kind") == "segments":
        clips, text = clips_of(bank)
        rate = int(bank.get("sample_rate", 16_000))
        size = clips * BANK_SECONDS * rate * sizes.SINGLE
        found.append(
            Need(part="memory, a process", what="bank", sum=f"{text} x {rate:,}/s x 4 B", bytes=size)
        )
        if front := (plan.config("init").get("shape") or {}).get("front_end"):
            bands, rate = int(front["n_mels"]), front["sample_rate"] / front["hop"]
            size = clips * BANK_SECONDS * rate * bands * sizes.SINGLE
            found.append(
                Need(
                    part="memory, a process",
                    what="bank as mels, in CompA's stages 2 and 3",
                    sum=f"{text} x {rate:g} frames/s x {bands} x 4 B",
                    bytes=size,
                )
            )
    lm = plan.shape("language_model")
    if not lm:
        return found
    if any("bridging" in one.config for one in plan.work):
        config = next(one.config for one in plan.work if "bridging" in one.config)
        found.append(_language_model(lm, str(config.get("dtype", "float32")), what="pretrain"))
    rows = []
    for one in plan.work:
        try:
            rows.append(_row_memory(plan, one, lm) if one.config.get("phases") else [])
        except KeyError:  # a branch that is not known here: said where its checkpoints are counted
            continue
    return found + max(rows, key=lambda needs: sum(need.bytes for need in needs[:3]), default=[])


def _row_memory(plan: Plan, one: Work, lm: Mapping[str, Any]) -> list[Need]:
    """Language model, trained values, and activations without and with gradient checkpointing, a GPU."""
    top = _top(plan, one)
    bridge = top.config.get("bridge") or {}
    values = _row(plan, one)
    most = max(sizes.matching(values, phase["parts"]) for phase in one.config["phases"].values())
    prefix = sum(
        sizes.prefix_tokens(
            name,
            SECONDS,
            bridge=bridge,
            stride=int(plan.shape("tagger").get("time_stride", 10)),
            pool=int((plan.config("features", "listener").get("options") or {}).get("pool", 2)),
        )
        for name in top.config["branches"]
    )
    text = max(int(phase.get("max_tokens", 108)) for phase in one.config["phases"].values())
    items = max(int(phase["batch_size"]) for phase in one.config["phases"].values()) // GPUS
    tokens, layers = prefix + text, int(lm["num_hidden_layers"])
    saved, kept = sizes.saved_values(lm) * sizes.HALF, int(lm["hidden_size"]) * sizes.HALF
    shown = f"{items} items x ({prefix} + {text}) tokens"
    return [
        _language_model(lm, str(bridge.get("dtype", "float32")), what=one.stage.key),
        Need(
            part="memory, a GPU",
            what=f"{one.stage.key}: what it trains",
            sum=f"{most:,} values x {TRAINED} B (value, gradient, Adam)",
            bytes=most * TRAINED,
        ),
        Need(
            part="memory, a GPU",
            what=f"{one.stage.key}: activations, all kept",
            sum=f"{shown} x {layers} layers x {saved:,} B",
            bytes=items * tokens * layers * saved,
        ),
        Need(
            part="memory, a GPU",
            what=f"{one.stage.key}: with gradient checkpointing",
            sum=f"{shown} x ({layers} layers x {kept:,} B + {saved:,} B)",
            bytes=items * tokens * (layers * kept + saved),
        ),
    ]


def _language_model(lm: Mapping[str, Any], dtype: str, *, what: str) -> Need:
    values = sizes.lm_parameters(lm)
    return Need(
        part="memory, a GPU",
        what=f"{what}: language model",
        sum=f"{values:,} values x {BYTES[dtype]} B ({dtype})",
        bytes=values * BYTES[dtype],
    )

"""What the stages of a paper read that no stage makes, for a profile: computed from DVC's graph and `conf/`.

The graph says which stages the paper's tables stand on, those of shared_data and of other papers too; the
configuration of each says what it reads under shared_data/raw: data sets and their splits (`source:
official`), the bank's source (`kind`), foundations (`checkpoint`), and every path that is written there. A
path that rows.yaml gives to a row is that row's own public weights: without it the row alone is not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.data.card import RAW, Card, CheckpointCard
from core.data.cards import CARDS, CHECKPOINTS
from core.data.cards_exams import EXAM_CARDS, EXAM_CHECKPOINTS
from core.data.layouts import beside, files_of, weights_of
from core.run import config as configuration
from core.run.pipeline import Stage, ancestors, overlap, read_pipeline, read_pipelines
from core.run.rows import like_chain, read_rows

DATA: Mapping[str, Card] = {**CARDS, **EXAM_CARDS}
WEIGHTS: Mapping[str, CheckpointCard] = {**CHECKPOINTS, **EXAM_CHECKPOINTS}
BANK = "audioset_strong"  # the card of a bank of segments
RECORDINGS = f"{RAW}/debian/unpacked/"
SHARED = "shared_data/dvc.yaml"


@dataclass(frozen=True, kw_only=True)
class Work:
    """A stage that a paper's tables stand on, and its configuration. without: why it reads nothing here."""

    stage: Stage
    config: Mapping[str, Any] = field(default_factory=dict)
    own: frozenset[str] = frozenset()  # paths that rows.yaml gives to this row

    @property
    def without(self) -> str:
        return str(self.config.get("absent") or self.config.get("without") or "")


@dataclass(frozen=True, kw_only=True)
class Input:
    """A place that a stage reads and no stage makes.

    path: from the repository's root; a folder ends in "/", alternatives are separated by "|". of: the data
    set, checkpoint or list. needed: False where the stage goes on without it.
    """

    path: str
    of: str
    needed: bool
    read_by: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Whether a file is this place, or lies in it."""
        return any(f"{path}/".startswith(f"{place.rstrip('/')}/") for place in self.path.split("|"))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of one kind is read: a data set's splits, a checkpoint, a list. read_by: addresses of stages."""

    name: str
    read_by: tuple[str, ...]
    needed: bool = True
    splits: tuple[str, ...] = ()
    allow_missing: bool = False
    foundation: bool = False  # a stage of shared_data verifies its revision


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that a paper reads. artefacts: stages of other papers whose outputs it reads; endpoints: stages
    that would ask one and have none."""

    sets: tuple[Wanted, ...] = ()
    weights: tuple[Wanted, ...] = ()
    lists: tuple[Wanted, ...] = ()
    bank: Wanted | None = None
    recordings: Wanted | None = None
    artefacts: tuple[Stage, ...] = ()
    endpoints: tuple[Wanted, ...] = ()


def work_of(root: Path, paper: str, *, profile: str) -> tuple[Work, ...]:
    """Every stage behind the tables of a paper, with its configuration, in the order of the dvc.yaml files.

    Stages without a configuration file of the profile are left out: the doctor says that it is missing.
    Raises PipelineError and ConfigError.
    """
    stages = read_pipelines(root, profile=profile)
    ends = [one for one in stages if one.module == "core.report.tables" and one.variant == paper]
    own = root / "projects" / paper / "dvc.yaml"
    if not ends and own.is_file():
        ends = list(read_pipeline(own, root=root, profile=profile))
    behind = {one for end in ends for one in (end, *ancestors(stages, end))}
    found = []
    for stage in stages:
        folder = (root / stage.file).parent
        if stage not in behind or not stage.module or stage.module.startswith("core."):
            continue
        if (folder / "conf" / f"{profile}.yaml").is_file():
            config = configuration.resolve(folder, profile=profile, stage=stage.stage, variant=stage.variant)
            found.append(Work(stage=stage, config=config, own=_own_paths(folder, stage)))
    return tuple(found)


def reading_of(work: Iterable[Work], *, paper: str) -> Reading:
    """What these stages read that none of them makes."""
    work = tuple(work)
    found: list[tuple[str, Wanted]] = []
    for one in work:
        if not one.without:
            found += _wanted(one)
    kinds = {kind: _merged(wanted for of, wanted in found if of == kind) for kind, _ in found}
    return Reading(
        sets=kinds.get("set", ()),
        weights=kinds.get("weights", ()),
        lists=kinds.get("list", ()),
        bank=next(iter(kinds.get("bank", ())), None),
        recordings=next(iter(kinds.get("recordings", ())), None),
        endpoints=kinds.get("endpoint", ()),
        artefacts=_artefacts(work, paper),
    )


def inputs(root: Path, paper: str, profile: str) -> list[Input]:
    """The places under shared_data/raw that the doctor looks at for a paper and profile, sorted.

    What a stage opens there and no place `covers` is a gap in this list; what is `needed` and never opened is
    asked for in vain. Raises PipelineError and ConfigError.
    """
    reading = reading_of(work_of(root, paper, profile=profile), paper=paper)
    found: list[Input] = []

    def add(place: str, wanted: Wanted, *, needed: bool = True) -> None:
        found.append(
            Input(path=place, of=wanted.name, needed=needed and wanted.needed, read_by=wanted.read_by)
        )

    for wanted in (*reading.sets, *((reading.bank,) if reading.bank else ())):
        card = DATA[wanted.name]
        for file in dict.fromkeys(file.path for split in wanted.splits for file in files_of(card, split)):
            add(_below(card.folder, file), wanted)
        for place in beside(card):
            add(_below(card.folder, place), wanted, needed=False)
    for wanted in (one for one in reading.weights if one.name in WEIGHTS):
        for names in weights_of(WEIGHTS[wanted.name]):
            add(_below(WEIGHTS[wanted.name].folder, names), wanted)
        add(f"{WEIGHTS[wanted.name].folder}/", wanted, needed=False)  # shards, tokenizer files, notes
    for wanted in reading.lists:
        add(wanted.name, wanted)
    if reading.recordings:
        add(RECORDINGS, reading.recordings)
    return sorted(set(found), key=lambda one: (one.path, not one.needed, one.of))


def _own_paths(folder: Path, stage: Stage) -> frozenset[str]:
    """The paths that rows.yaml gives to this row itself, or to one that it is like."""
    rows = read_rows(folder / "rows.yaml")
    names = like_chain(rows, stage.stage, stage.variant) if stage.variant else []
    entries = [entries[name] for entries in rows.values() for name in names if name in entries]
    return frozenset(path for entry in entries for path in _raw_paths(entry))


def _raw_paths(value: Any) -> Iterator[str]:
    """Every text in a configuration that is a path under shared_data/raw."""
    if isinstance(value, str):
        if value.startswith(f"{RAW}/"):
            yield value.rstrip("/")
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _raw_paths(each)


def _wanted(work: Work) -> Iterator[tuple[str, Wanted]]:
    """(kind, what is read) of one stage."""
    config, stage = work.config, work.stage
    by = (stage.address,)
    shared = stage.file == SHARED
    if shared and config.get("source") == "official" and stage.variant in DATA:
        splits = tuple(config.get("splits") or ("test",))
        missing = bool(config.get("allow_missing"))
        yield (
            "set",
            Wanted(name=str(stage.variant), read_by=by, splits=splits, allow_missing=missing),
        )
    if shared and stage.stage == "bank" and config.get("kind") == "segments":
        missing = bool(config.get("allow_missing"))
        yield "bank", Wanted(name=BANK, read_by=by, splits=("train",), allow_missing=missing)
    if shared and stage.stage == "bank" and config.get("kind") == "recorded":
        yield "recordings", Wanted(name="recorded bank", read_by=by)
    if shared and config.get("checkpoint"):
        yield "weights", Wanted(name=str(config["checkpoint"]), read_by=by, foundation=True)
    for path in dict.fromkeys(_raw_paths(config)):
        needed = path not in work.own
        card = next((card for card in WEIGHTS.values() if overlap(card.folder, path)), None)
        if card is None:
            yield "list", Wanted(name=path, read_by=by, needed=needed)
        else:
            yield "weights", Wanted(name=card.name, read_by=by, needed=needed)
    if isinstance(endpoint := config.get("endpoint"), Mapping) and not (
        endpoint.get("url") and endpoint.get("model")
    ):
        yield "endpoint", Wanted(name=stage.address, read_by=by, needed=False)


def _merged(found: Iterable[Wanted]) -> tuple[Wanted, ...]:
    """One for each name: read by all its readers, needed when one needs it."""
    merged: dict[str, Wanted] = {}
    for one in found:
        before = merged.get(one.name)
        if before is not None:
            one = replace(
                before,
                read_by=tuple(dict.fromkeys((*before.read_by, *one.read_by))),
                needed=before.needed or one.needed,
                foundation=before.foundation or one.foundation,
            )
        merged[one.name] = one
    return tuple(merged.values())


def _artefacts(work: Iterable[Work], paper: str) -> tuple[Stage, ...]:
    """The stages of other papers whose outputs this paper's own stages read."""
    stages = [one.stage for one in work]
    mine = [one for one in stages if one.file == f"projects/{paper}/dvc.yaml"]
    others = [one for one in stages if one.file != SHARED and one not in mine]
    read = [dep for one in mine for dep in one.deps]
    return tuple(one for one in others if any(overlap(dep, out) for dep in read for out in one.outs))


def _below(folder: str, alternatives: str) -> str:
    return "|".join(f"{folder}/{name}".replace("/./", "/") for name in alternatives.split("|"))

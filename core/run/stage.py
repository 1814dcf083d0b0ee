"""What turns a function into a stage: configuration, seeds, tracking, clean stops.

    if __name__ == "__main__":
        from core.run.stage import run
        run(train, Config)

`python -m projects.compa.train vanilla --profile mini` then fills Config from projects/compa/conf/mini.yaml.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from core.run import config as configuration
from core.run import hardware, place, provenance, tracking
from core.run.pipeline import paper_folder

OURS = ("core", "projects", "shared_data", "__main__")  # exceptions defined there speak to the user


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where and as what a stage runs. `variant` is None for a stage without variants."""

    paper: str
    stage: str
    variant: str | None
    profile: str
    root: Path
    tracker: tracking.Tracker
    seed: int

    @property
    def module(self) -> str:
        """The stage's dotted name."""
        return f"{'' if self.paper == 'shared_data' else 'projects.'}{self.paper}.{self.stage}"

    @property
    def folder(self) -> Path:
        """The paper's folder; shared_data/ for its own stages."""
        return paper_folder(self.root, self.paper)

    def path(self, kind: str, *parts: str) -> Path:
        """Return <paper's folder>/<kind>/<profile>/<parts>, such as path("checkpoints", "vanilla")."""
        return self.folder.joinpath(kind, self.profile, *parts)


class OneProcessError(ValueError):
    """Several processes were launched for a stage that is made for one: each would write the same files."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to stop; a KeyboardInterrupt, so that `except Exception` lets it pass."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def run(
    stage_function: Callable[..., None],
    schema: type[Any],
    argv: list[str] | None = None,
    *,
    processes: bool = False,
) -> None:
    """Run `stage_function(config, context=...)` as the command line asks: [VARIANT] [--profile NAME].

    processes: whether it shares its work under `accelerate launch`, and leaves files to the first process.
    Exit codes: 0; 2 with one message for wrong configuration or input (exceptions that this repository
    defines or raises); 128 + signal after Ctrl-C or SIGTERM. Anything else is a bug and leaves its traceback.
    """
    module, root = _module_and_root(stage_function)
    paper, stage = _paper_and_stage(module)
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=_first_lines(stage_function))
    parser.add_argument("variant", nargs="?", help="a variant that the configuration names")
    parser.add_argument("--profile", help="default: the one in params.yaml")
    arguments = parser.parse_args(argv)
    _silence_libraries()
    command = " ".join([f"python -m {module}", *(sys.argv[1:] if argv is None else argv)])
    began = time.monotonic()
    with _signals_raise():
        try:
            launched = int(os.environ.get("WORLD_SIZE", "1"))
            if launched > 1 and not processes:
                raise OneProcessError(
                    f"{launched} processes were launched (WORLD_SIZE), but this stage runs in one: start it "
                    f"as `python -m {module}`, without accelerate launch"
                )
            _run(stage_function, schema, paper, stage, module, root, arguments.variant, arguments.profile)
        except KeyboardInterrupt as stop:  # Stopped, or TrainingStopped with a checkpoint written
            number = getattr(stop, "number", signal.SIGINT)
            if hardware.is_main_process():
                cause, seconds = signal.Signals(number).name, time.monotonic() - began
                _say(
                    f"{stage} stopped by {cause} after {seconds:.0f} s. "
                    f"Nothing half-written is left; the same command goes on from what was saved: {command}"
                )
            raise SystemExit(128 + number) from None
        except Exception as error:
            if not _is_ours(error):
                raise
            _say(f"{command}: {error}")
            raise SystemExit(2) from None


def _run(
    stage_function: Callable[..., None],
    schema: type[Any],
    paper: str,
    stage: str,
    module: str,
    root: Path,
    variant: str | None,
    profile: str | None,
) -> None:
    profile = profile or configuration.default_profile(root)
    folder = paper_folder(root, paper)
    config = configuration.load(schema, folder=folder, profile=profile, stage=stage, variant=variant)
    seed = int(getattr(config, "seed", 0))
    threads = hardware.limit_threads()
    seed_all(seed)
    name = f"{stage} {variant}" if variant else stage
    if hardware.is_main_process() and (where := place.begin(root, profile=profile)):
        _say(f"{name}: {where}")
    tracker = tracking.off()
    if hardware.is_main_process():
        tracker = tracking.open_run(
            root=root,
            experiment=paper,
            name=f"{stage}@{variant}" if variant else stage,
            params=configuration.flatten(config),
            tags={
                "profile": profile,
                "stage": stage,
                "variant": variant or "",
                "dvc.stage": provenance.dvc_stage(),
                "device": hardware.device(),
                "threads": threads,
                "seed": seed,
                "mlflow.source.name": module,
            },
        )
        tracker.set_tags_later(
            lambda: {
                **provenance.git_state(root),
                "data.hash": provenance.data_hash(root, deps=_deps(root, module, profile, variant)),
            }
        )
    context = Context(
        paper=paper, stage=stage, variant=variant, profile=profile, root=root, tracker=tracker, seed=seed
    )
    status, began = "FAILED", time.monotonic()
    try:
        stage_function(config, context=context)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        used = {"wall_seconds": time.monotonic() - began, **hardware.peak_memory()}
        tracker.log_metrics(used)
        tracker.set_tags({"device": hardware.device()})
        # After a signal the machine may be about to go: what cannot be sent at once goes to the pending file.
        tracker.end(status, timeout=3.0 if status == "KILLED" else tracking.CLOSE_TIMEOUT)
        if hardware.is_main_process():
            if status == "FINISHED":
                place.end(root, profile=profile)
            seconds, memory = used["wall_seconds"], used["peak_memory_gib"]
            _say(f"{name}: {status.lower()}, {seconds:.1f} s, {memory:.2f} GiB at most")


def _deps(root: Path, module: str, profile: str, variant: str | None) -> list[str]:
    """What DVC's stage of this module and variant reads; nothing where no dvc.yaml can be read."""
    from core.run.pipeline import PipelineError, read_pipelines

    try:
        stages = read_pipelines(root, profile=profile)
    except PipelineError:  # provenance is told where it can be; it never stops a run
        return []
    return [
        dep for stage in stages if (stage.module, stage.variant) == (module, variant) for dep in stage.deps
    ]


def seed_all(seed: int) -> None:
    """Seed python, numpy, and torch where it is imported already.

    A stage that imports torch inside a function calls this again after the import.
    """
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _silence_libraries() -> None:
    """Keep off the console what libraries say to their own developers; our own warnings stay.

    TRANSFORMERS_VERBOSITY, HF_HUB_DISABLE_PROGRESS_BARS and PYTHONWARNINGS win where they are set.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # bars of a second each, of local files
    if "huggingface_hub" in sys.modules and os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1":
        sys.modules["huggingface_hub"].utils.disable_progress_bars()  # it has read the variable already
    if "PYTHONWARNINGS" in os.environ or sys.warnoptions:
        return
    # transformers deprecates what peft and accelerate still call
    for library in ("transformers", "peft", "accelerate", "torch"):
        for category in (FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", category=category, module=rf"{library}\.")
    # so it is meant: what precedes the answer is audio and a prompt, given as embeddings
    warnings.filterwarnings("ignore", message="Passing `repetition_penalty` with `inputs_embeds`")


def _module_and_root(stage_function: Callable[..., None]) -> tuple[str, Path]:
    """Return the stage's dotted module name and the folder that holds its top package."""
    module = stage_function.__module__
    loaded = sys.modules[module]
    file = Path(str(loaded.__file__)).resolve()
    if module == "__main__":
        spec = getattr(loaded, "__spec__", None)  # None when run as a file: then the path tells
        tops = [i for i, part in enumerate(file.parts) if part in ("projects", "shared_data")]
        if spec is not None:
            module = spec.name
        elif tops:
            module = ".".join([*file.parts[tops[-1] : -1], file.stem])
    return module, file.parents[module.count(".")]


def _paper_and_stage(module: str) -> tuple[str, str]:
    top, *rest = module.split(".")
    if top == "projects" and len(rest) >= 2:
        return rest[0], ".".join(rest[1:])
    if top == "shared_data" and rest:
        return top, ".".join(rest)
    raise SystemExit(f"{module}: a stage is a module projects.<paper>.<stage> or shared_data.<stage>")


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Within the block the first Ctrl-C or SIGTERM raises Stopped; another Ctrl-C ends the process.

    Where Ctrl-C is ignored (a job started with `&`, nohup, cron) it stays so: a Ctrl-C at that terminal is
    meant for what runs in the foreground. SIGTERM stops such a job.
    """
    owner = os.getpid()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    numbers = [n for n, handler in before.items() if n != signal.SIGINT or handler is not signal.SIG_IGN]

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker: no message, no clean-up that belongs to its parent
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if signal.SIGINT in numbers:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # accelerate's launcher adds one to every Ctrl-C
        raise Stopped(number)

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])


def _first_lines(stage_function: Callable[..., None]) -> str:
    return (sys.modules[stage_function.__module__].__doc__ or "").strip()


def _is_ours(error: Exception) -> bool:
    """Whether this repository defined the exception, or raised it in so many words: then it is an advice."""
    if type(error).__module__.split(".")[0] in OURS:
        return True
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not (frames[-1].line or "").startswith("raise "):
        return False
    folders = Path(frames[-1].filename).parts
    return any(name in folders for name in OURS) and "site-packages" not in folders


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)

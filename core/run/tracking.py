"""MLflow tracking that can neither slow nor stop a training run.

A background thread imports MLflow, opens the run and sends what it logs (core.run.outbox): the stage starts
at once. What a slow or dead server does not take is kept in `mlflow-pending.jsonl` and delivered later by

    python -m core.run.tracking resend

Importing MLflow takes seconds, so the stages of a `dvc repro` (or core.run.jobs) do not: they write that
file, and one process for all of them delivers from it while they work (`resend --follow`), until their run
ends.

Delivery is at least once: metrics carry their own step and time, so sending one twice changes nothing.
MLFLOW_TRACKING_URI names a server; without it runs go to `mlflow.db` and `mlartifacts/` in the repository.
RESOUND_TRACKING=off tracks nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from core.run import hardware, place, provenance
from core.run.mlflow_store import Store
from core.run.outbox import Operation, Outbox, settle_pending, take_pending
from core.run.secrets import redact_fields
from core.run.tracking_names import Names, cut, fit_name

SYSTEM_EVERY = 10.0  # seconds between two samples of processor and memory
CLOSE_TIMEOUT = 30.0  # seconds that the end of a run waits for what is not delivered yet
LARGEST_ARTIFACT = 64 * 2**20  # bytes; checkpoints belong to DVC, not to MLflow
RUN_PROCESS = "RESOUND_RUN_PROCESS"  # set by core.run.jobs: its process id
SENDER_LOG = "mlflow-pending.log"
SENDER = "mlflow-pending.sender"  # locked by the process that delivers, holds the process that it follows
LONGEST_PARAM, LONGEST_TAG, PARAMS_PER_REQUEST = 6000, 5000, 100  # MLflow's limits


class Tracker:
    """One MLflow run. Every method returns at once and none raises because of the server."""

    def __init__(
        self, outbox: Outbox | None, store: Store | None, run: str, system_every: float = 0.0
    ) -> None:
        self._outbox, self._store, self.run = outbox, store, run
        self._metrics, self._params, self._tags = Names(), Names(), Names()
        self._ended = threading.Event()
        self._finding: list[threading.Thread] = []
        self._sampler: threading.Thread | None = None
        if outbox is not None and system_every > 0:
            self._sampler = threading.Thread(target=self._sample, args=(system_every,), daemon=True)
            self._sampler.start()

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers at `step`."""
        now = int(time.time() * 1000)
        self._put(
            "metrics",
            metrics=[[self._metrics.fit(name), float(value), now, step] for name, value in metrics.items()],
        )

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log settings as text; values longer than MLflow's limit are cut, which the value then says."""
        shown = redact_fields({name: str(value) for name, value in params.items()})
        texts = {self._params.fit(name): cut(value, LONGEST_PARAM) for name, value in shown.items()}
        names = list(texts)
        for start in range(0, len(names), PARAMS_PER_REQUEST):
            self._put(
                "params", params={name: texts[name] for name in names[start : start + PARAMS_PER_REQUEST]}
            )

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags (as text)."""
        shown = redact_fields({name: str(value) for name, value in tags.items()})
        texts = {self._tags.fit(name): cut(value, LONGEST_TAG) for name, value in shown.items()}
        self._put("tags", tags=texts)

    def set_tags_later(self, find: Callable[[], Mapping[str, object]]) -> None:
        """Set the tags that `find` returns, without waiting: git and long lock files take time."""
        if self._outbox is None:
            return

        def work() -> None:
            try:
                self.set_tags(find())
            except Exception as error:  # what cannot be found is not told; the run goes on
                assert self._outbox is not None
                self._outbox.say("tags", f"tracking: some tags are missing ({error})")

        self._finding.append(threading.Thread(target=work, name="tags", daemon=True))
        self._finding[-1].start()

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Attach a file (or every file of a folder) as it is now, under `folder` of the run's artefacts."""
        if self._outbox is None:
            return
        try:
            if path.is_dir():
                for file in sorted(each for each in path.rglob("*") if each.is_file()):
                    self.log_artifact(file, str(Path(folder, path.name, file.parent.relative_to(path))))
                return
            size = path.stat().st_size
        except OSError as error:
            self._outbox.say(f"lost {path}", f"tracking: {path} is not attached: {error.strerror or error}")
            return
        if size > LARGEST_ARTIFACT:
            self._outbox.say(f"large {path}", f"tracking: {path} is not attached: larger than 64 MiB")
            return
        self._stage(path.name, folder, lambda copy: shutil.copyfile(path, copy))

    def log_figure(self, figure: Any, name: str) -> None:
        """Attach a matplotlib figure as the image `name` (such as "plots/shuffle.png")."""
        if self._outbox is not None:
            folder = str(Path(name).parent)
            self._stage(
                Path(name).name,
                "" if folder == "." else folder,
                lambda copy: figure.savefig(copy, bbox_inches="tight"),
            )

    @contextlib.contextmanager
    def child(self, name: str, *, params: Mapping[str, object] | None = None) -> Iterator[Tracker]:
        """Open a run nested in this one (one per seed); it ends with the block, FAILED after an exception."""
        run = uuid.uuid4().hex
        child = Tracker(self._outbox, self._store, run)
        child._put("start", name=name, parent=self.run, time=int(time.time() * 1000), tags={})
        child.log_params(params or {})
        status = "FAILED"
        try:
            yield child
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            status = "KILLED"
            raise
        finally:
            child._put("end", status=status, time=int(time.time() * 1000))

    def end(self, status: str = "FINISHED", *, timeout: float = CLOSE_TIMEOUT) -> None:
        """End the run (FINISHED, FAILED or KILLED) and deliver what is queued; used by core.run.stage."""
        if self._outbox is None or self._ended.is_set():
            return
        self._ended.set()
        for thread in (self._sampler, *self._finding):
            if thread is not None:
                thread.join(timeout)
        self._put("end", status=status, time=int(time.time() * 1000))
        # Where a signal came there is no time; where another process delivers there is nothing to wait for.
        if timeout >= CLOSE_TIMEOUT and self._store is not None and not self._outbox.holds:
            self._store.wait_until_tried()
        self._outbox.close(timeout=timeout)

    def _put(self, op: str, **values: Any) -> None:
        if self._outbox is not None:
            self._outbox.put({"op": op, "run": self.run, **values})

    def _stage(self, name: str, folder: str, write: Callable[[Path], object]) -> None:
        """Keep a copy of an artefact until it is delivered, so that this is what was logged."""
        assert self._store is not None
        assert self._outbox is not None
        place: Path | None = None
        try:
            place = self._store.stage()
            write(place / name)
        except OSError as error:  # a full or read-only disk
            if place is not None:
                shutil.rmtree(place, ignore_errors=True)
            self._outbox.say("stage", f"tracking: {name} is not attached: {error}")
            return
        self._put("artifact", path=f"{place.name}/{name}", folder=fit_name(folder) if folder else "")

    def _sample(self, every: float) -> None:
        step = 0
        _load()  # the first reading of processor use is always 0
        while True:
            ended = self._ended.wait(every)
            self.log_metrics(_load(), step)
            step += 1
            if ended:
                return


def off() -> Tracker:
    """Return a tracker that tracks nothing."""
    return Tracker(None, None, "")


def open_run(
    *,
    root: Path,
    experiment: str,
    name: str,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    system_every: float = SYSTEM_EVERY,
) -> Tracker:
    """Open the MLflow run `name` in `experiment`; always returns a tracker, whatever the server does."""
    if os.environ.get("RESOUND_TRACKING", "").lower() in ("off", "0", "false"):
        return off()
    store = Store(root)
    outbox = Outbox(store.deliver, pending=root / "mlflow-pending.jsonl", receiver=store.shown)
    store.say = outbox.say
    run = uuid.uuid4().hex
    now = int(time.time() * 1000)
    start: Operation = {
        "op": "start",
        "run": run,
        "experiment": experiment,
        "name": name,
        "time": now,
        "tags": {},
    }
    process = _run_of_stages()
    if process:
        outbox.hold()
        outbox.keep([start])
        _start_sender(root, process)
    else:
        outbox.put(start)
    tracker = Tracker(outbox, store, run, system_every)
    tracker.set_tags(tags or {})
    tracker.log_params(params or {})
    return tracker


def _run_of_stages() -> int:
    """Return the id of the process that runs stage after stage, core.run.jobs or DVC; 0 for a stage by
    itself."""
    if named := os.environ.get(RUN_PROCESS):
        return int(named)
    try:
        return int(place.dvc_process()[0][0]) if provenance.dvc_stage() else 0
    except LookupError:
        return 0


def _start_sender(root: Path, process: int) -> None:
    """Start the one process that delivers for the stages of `process`, unless it runs already."""
    lock = root / SENDER
    with open(lock, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if lock.read_text(encoding="utf-8") == str(process):
                if said := complaint(root):
                    print(said, file=sys.stderr, flush=True)
                return
    command = ["-m", "core.run.tracking", "resend", "--follow", str(process), "--root", str(root)]
    # Its output is a file: whoever reads that of a stage to its end would wait for this process too.
    with contextlib.suppress(OSError), open(root / SENDER_LOG, "w") as log:  # else the file keeps all
        subprocess.Popen(
            [sys.executable, *command],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the stages
        )


def complaint(root: Path) -> str:
    """Return what the process that delivers said last, "" where all goes well."""
    try:
        lines = (root / SENDER_LOG).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.startswith("tracking: ")), "")


def _goes_on(process: int) -> bool:
    """Whether it runs; one that has ended but that nobody waited for yet does not."""
    import psutil

    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def follow(root: Path, process: int, *, uri: str | None = None, every: float = 3.0) -> int:
    """Deliver what comes to `mlflow-pending.jsonl` until `process` has ended; return what is left.

    One at a time under `root`: another one waits until this has ended.
    """
    with open(root / SENDER, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(process))
        file.flush()
        store, said, left, goes_on = Store(root, uri), set[str](), 0, True
        while goes_on:
            until = time.monotonic() + (every if not left else 10 * every)  # a dead server is left in peace
            while (goes_on := _goes_on(process)) and time.monotonic() < until:
                time.sleep(0.1)
            if (root / "mlflow-pending.jsonl").exists():
                _, left = resend(root, store=store, said=said)
        return left


def resend(
    root: Path, *, uri: str | None = None, store: Store | None = None, said: set[str] | None = None
) -> tuple[int, int]:
    """Deliver what `mlflow-pending.jsonl` holds; return the numbers of operations delivered and left.

    store: in place of one for `uri`; said: reasons of failures that were told before, which grows.
    """
    pending = root / "mlflow-pending.jsonl"
    operations, torn = take_pending(pending)
    if torn:
        print(f"tracking: {torn} lines of {pending} cannot be read and are dropped", file=sys.stderr)
    store, said = store or Store(root, uri), said if said is not None else set()
    left: list[Operation] = []
    reasons: dict[str, int] = {}
    try:
        for index, operation in enumerate(operations):
            try:
                if operation.get("op") != "start" or not _begun(store, str(operation.get("run"))):
                    store.deliver(operation)
            except Exception as error:  # refused or unreachable: the file keeps it
                left.append(operation)
                reason = " ".join(store.hide(str(error)).split())[:160]
                reasons[reason] = reasons.get(reason, 0) + 1
                if index == len(left) - 1 == 2:  # nothing gets through
                    left.extend(operations[index + 1 :])
                    break
    except BaseException:
        left = operations  # stopped in the middle: delivering twice is harmless, losing is not
        raise
    finally:
        settle_pending(pending, left)
    for reason, count in reasons.items():
        if reason in said:
            continue
        said.add(reason)
        print(f"tracking: {count} operations not taken by {store.shown}: {reason}", file=sys.stderr)
    with contextlib.suppress(OSError):
        (root / "mlflow-pending").rmdir()  # only when empty
    return len(operations) - len(left), len(left)


def _begun(store: Store, key: str) -> bool:
    try:
        store.known(key)
    except LookupError:
        return False
    return True


def _load() -> dict[str, float]:
    """Return the machine's load; nothing while the stage imports torch, which a thread sees half filled."""
    specification = getattr(sys.modules.get("torch"), "__spec__", None)
    return {} if getattr(specification, "_initializing", False) else hardware.load()


def main(argv: list[str] | None = None) -> int:
    """Command line: `python -m core.run.tracking resend [--to URI]`."""
    parser = argparse.ArgumentParser(
        prog="python -m core.run.tracking", description=(__doc__ or "").split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("resend", help="deliver what a dead server did not take")
    command.add_argument(
        "--to", help="tracking URI; by default MLFLOW_TRACKING_URI or the repository's mlflow.db"
    )
    command.add_argument("--follow", type=int, metavar="PID", help="until this process has ended")
    command.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    arguments = parser.parse_args(argv)
    try:
        if arguments.follow:
            return 1 if follow(arguments.root, arguments.follow, uri=arguments.to) else 0
        sent, left = resend(arguments.root, uri=arguments.to)
    except OSError as error:
        print(f"tracking: {error}; nothing is lost, run the same command again", file=sys.stderr)
        return 2
    print(f"{sent} operations delivered, {left} left")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())

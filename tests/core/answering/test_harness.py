"""The harness: the same file whatever the processes, batches, kills; failures counted and named."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.answering import records as records_module
from core.answering.harness import HarnessError, Summary, evaluate
from core.answering.items import Item, ItemError, option_order
from core.answering.outputs import Unanswered
from core.answering.question import Question
from core.answering.records import PredictionsError, read_predictions
from core.answering.sharing import ProcessError, Processes, launched
from core.language.client import EndpointError
from core.run.files import OutputError

IDENTITY = {"model": "echo", "revision": "1"}
N = 23


def make_items(n: int = N) -> list[Item]:
    """Items of different lengths with 0 to 4 options; every third has two audios."""
    return [
        Item(
            id=f"item-{i:03d}",
            question=f"What is heard in {i}?",
            choices=tuple(f"option {c} of {i}" for c in "abcd"[: i % 5]),
            audios=tuple(f"sound {i} {place}".encode() for place in range(1 + (i % 3 == 0))),
            seconds=float(i * 7 % 11),
        )
        for i in range(n)
    ]


def echo(asked: Sequence[Question]) -> list[str]:
    """The last option shown, and what was heard; nothing at all for one item."""
    return [
        "" if q.id == "item-004" else f"{(q.choices or ('none',))[-1]} / {b' + '.join(q.audios).decode()}"
        for q in asked
    ]


def run(out: Path, answer: Callable[[Sequence[Question]], list[str]] = echo, **options: Any) -> Summary:
    settings = {"items": make_items(), "identity": IDENTITY, "batch_size": 4, "shuffles": 3, "seed": 5}
    settings |= options
    return evaluate(answer, settings.pop("items"), out=out, **settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What one process writes that is not disturbed."""
    out = tmp_path_factory.mktemp("whole") / "predictions.jsonl"
    run(out)
    return out.read_bytes()


def shared(out: Path, answers: Sequence[Callable[..., list[str]]], **options: Any) -> list[Any]:
    """Run as many processes as there are answers, as threads; summaries or the exceptions raised."""
    world = len(answers)
    barrier, values = threading.Barrier(world, timeout=20), [None] * world

    def process(rank: int) -> Any:
        def gather(value: Any) -> list[Any]:
            values[rank] = value
            barrier.wait()
            all_values = list(values)
            barrier.wait()
            return all_values

        shares = Processes(rank=rank, world=world, gather=gather)
        try:
            return run(out, answers[rank], processes=shares, **options)
        except (Exception, KeyboardInterrupt) as error:
            return error

    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(process, range(world)))


def only(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir())


# --- what is written


def test_file_holds_every_item_in_order_with_its_orders(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "predictions.jsonl"
    summary = run(out)
    assert summary == Summary(items=N, missing=0, asked=N, kept=0, changed=0, failed=0, silent=1)
    assert out.read_bytes() == whole
    assert only(out) == ["predictions.jsonl"]
    records = read_predictions(out)
    for item, record in zip(make_items(), records, strict=True):
        assert record.id == item.id
        assert len(record.orders) == (3 if len(item.choices) > 1 else 1)
        for k, order in enumerate(record.orders):
            assert order == option_order(item.id, k, len(item.choices), seed=5)
            assert sorted(order) == list(range(len(item.choices)))
            if order and item.id != "item-004":
                assert record.outputs[k].startswith(item.choices[order[-1]] + " / ")
    assert list(json.loads(out.read_bytes().splitlines()[0])) == ["id", "answers", "hash"]
    shuffled = next(line for line in map(json.loads, out.read_bytes().splitlines()) if "orders" in line)
    assert list(shuffled) == ["id", "answers", "orders", "hash"]
    assert len(shuffled["hash"]) == 16


def test_own_order_first_or_not(tmp_path: Path) -> None:
    run(tmp_path / "a", shuffles=1)
    assert all(r.orders[0] == tuple(range(len(r.orders[0]))) for r in read_predictions(tmp_path / "a"))
    run(tmp_path / "b", shuffles=1, own_order_first=False)
    orders = [r.orders[0] for r in read_predictions(tmp_path / "b") if len(r.orders[0]) == 4]
    assert any(order != (0, 1, 2, 3) for order in orders)


def test_orders_are_uniform_and_those_written_down_once() -> None:
    counts = Counter(option_order(f"id {i}", 1 + i % 4, 3, seed=i % 7) for i in range(6000))
    assert len(counts) == 6
    assert sum((n - 1000) ** 2 / 1000 for n in counts.values()) < 20.5  # chi-square, 5 degrees, p = 0.001
    assert option_order("item", 1, 5, seed=0) == (3, 1, 4, 0, 2)
    assert option_order("item", 0, 5, seed=0, own_order_first=False) == (1, 2, 3, 0, 4)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 1000}, {"by_duration": False}])
def test_batches_and_their_order_change_nothing(
    tmp_path: Path, whole: bytes, options: dict[str, Any]
) -> None:
    run(tmp_path / "out", **options)
    assert (tmp_path / "out").read_bytes() == whole


def test_calls_hold_batch_size_questions_longest_first(tmp_path: Path) -> None:
    sizes, order = [], []

    def answer(asked: Sequence[Question]) -> list[str]:
        sizes.append(len(asked))
        order.extend(q.id for q in asked)
        return echo(asked)

    run(tmp_path / "out", answer, batch_size=8, shuffles=1)
    assert sizes == [8, 8, 7]
    seconds = {item.id: item.seconds for item in make_items()}
    assert [seconds[id] for id in order] == sorted(seconds.values(), reverse=True)


def test_prompt_shows_the_options_in_their_order_and_the_style(tmp_path: Path) -> None:
    prompts: list[str] = []

    def answer(asked: Sequence[Question]) -> list[str]:
        prompts.extend(q.prompt for q in asked)
        return ["" for _ in asked]

    item = Item(id="x", question="Who?", choices=("a man", "a woman"), audios=())
    run(tmp_path / "out", answer, items=[item], shuffles=1, prompt_style="letters")
    assert prompts == ["Who? Please choose the answer from the following options: (A) a man, (B) a woman."]


# --- resume


def test_a_second_run_asks_nothing(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out"
    run(out)

    def never(asked: Sequence[Question]) -> list[str]:
        raise AssertionError("asked again")

    summary = run(out, never, batch_size=2)
    assert (summary.asked, summary.kept, summary.silent) == (0, N, 1)
    assert out.read_bytes() == whole


class Stop(KeyboardInterrupt):
    pass


def stopping(after: int, error: BaseException | None = None) -> Callable[[Sequence[Question]], list[str]]:
    """An Answer that ends the run after so many calls."""
    calls = iter(range(10**6))

    def answer(asked: Sequence[Question]) -> list[str]:
        if next(calls) >= after:
            raise Stop() if error is None else error
        return echo(asked)

    return answer


@pytest.mark.parametrize("error", [Stop(), EndpointError("the server is gone"), SystemExit(3)])
def test_what_ends_a_run_leaves_what_was_answered(tmp_path: Path, whole: bytes, error: BaseException) -> None:
    out = tmp_path / "out"
    with pytest.raises(type(error)):
        run(out, stopping(3, error), shuffles=1)
    assert not out.exists()
    summary = run(out, shuffles=1)
    assert (summary.kept, summary.asked) == (12, N - 12)
    run(tmp_path / "other", shuffles=1)
    assert out.read_bytes() == (tmp_path / "other").read_bytes()


def test_line_cut_or_damaged_is_asked_again(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out"
    lines = whole.splitlines(keepends=True)
    part = tmp_path / ".out.part-00003"
    part.write_bytes(b"".join(lines[:5]) + b"\0\0\0\n" + b'{"id": "item-009", "hash": 3}\n' + lines[9][:-20])
    summary = run(out)
    assert (summary.kept, summary.asked, summary.changed) == (5, N - 5, 0)
    assert out.read_bytes() == whole
    assert only(out) == ["out"]


def test_every_possible_cut_of_a_part_resumes_to_the_same_file(tmp_path: Path, whole: bytes) -> None:
    for cut in range(0, len(whole), 397):
        out = tmp_path / f"{cut}" / "out"
        out.parent.mkdir()
        (out.parent / ".out.part-00000").write_bytes(whole[:cut])
        assert run(out).kept == whole[:cut].count(b"\n")
        assert out.read_bytes() == whole


class Killed(BaseException):
    pass


def test_a_kill_at_any_write_or_removal_resumes_to_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    """Every step of a run that resumes another one's part is the last of a process once."""
    kept, step, finished = [], 0, False
    while not finished:
        out = tmp_path / str(step) / "out"
        out.parent.mkdir()
        (out.parent / ".out.part-00001").write_bytes(b"".join(whole.splitlines(keepends=True)[3:8]))
        left = [step]

        def dying(do: Callable[..., Any], left: list[int] = left) -> Callable[..., Any]:
            def step_or_die(*arguments: Any, **options: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:  # and all that a dying Python would still tidy up is not done
                    raise Killed
                return do(*arguments, **options)

            return step_or_die

        with monkeypatch.context() as patched:
            for module, name in (
                (os, "write"),
                (os, "fsync"),
                (os, "replace"),
                (os, "unlink"),
            ):
                patched.setattr(module, name, dying(getattr(module, name)))
            try:
                run(out, batch_size=12)
                finished = True
            except Killed:
                pass
        for path in out.parent.glob(".out.lock"):
            path.unlink()  # the lock of a dead process is released; only its name is left
        summary = run(out)
        assert out.read_bytes() == whole, step
        assert [path.name for path in out.parent.iterdir() if ".tmp" not in path.name] == ["out"], step
        kept.append(summary.kept)
        step += 1
    assert min(kept) == 5
    assert kept[-1] == N
    assert kept == sorted(kept)
    assert len(set(kept)) > 4  # it died between batches, too


def changes() -> dict[str, dict[str, Any]]:
    first, *rest = make_items()
    second = rest[3]
    return {
        "identity": {"identity": IDENTITY | {"revision": "2"}},
        "seed": {"seed": 6},
        "shuffles": {"shuffles": 2},
        "style": {"prompt_style": "plain"},
        "audio": {"items": [first, *rest[:3], replace(second, audios=(b"other",)), *rest[4:]]},
        "question": {"items": [first, *rest[:3], replace(second, question="Why?"), *rest[4:]]},
        "choices": {"items": [first, *rest[:3], replace(second, choices=second.choices[::-1]), *rest[4:]]},
    }


@pytest.mark.parametrize("what", changes())
def test_changed_items_are_asked_again_and_said(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    run(out)
    summary = run(out, **changes()[what])
    assert 0 < summary.changed == summary.asked
    assert summary.changed + summary.kept == N
    if "items" in changes()[what]:
        assert summary.changed == 1
    assert f"asking {summary.changed} items again" in caplog.text
    run(fresh, **changes()[what])
    assert out.read_bytes() == fresh.read_bytes()


def test_answers_of_two_models_in_what_was_left_are_kept_apart(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out"
    run(out)
    with pytest.raises(Stop):
        run(out, stopping(3), identity={"model": "other"})
    assert run(out).kept == N  # the stopped run of another model cost nothing
    assert out.read_bytes() == whole


def test_answers_to_other_items_are_not_lost_silently(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out)
    before = out.read_bytes()
    with pytest.raises(HarnessError, match=r"holds answers to 20 items that are not asked now \(item-003"):
        run(out, items=make_items()[:3])
    assert out.read_bytes() == before
    assert run(out, items=make_items()[:3], drop_others=True) == Summary(
        items=3, missing=0, asked=0, kept=3, changed=0, failed=0, silent=0
    )
    assert len(read_predictions(out)) == 3
    assert run(out).kept == 3  # more items than before are no loss


# --- several processes


@pytest.mark.parametrize("world", [2, 3, 7, 40])
def test_any_number_of_processes_writes_the_same(tmp_path: Path, whole: bytes, world: int) -> None:
    summaries = shared(tmp_path / "out", [echo] * world)
    assert set(summaries) == {Summary(items=N, missing=0, asked=N, kept=0, changed=0, failed=0, silent=1)}
    assert (tmp_path / "out").read_bytes() == whole
    assert only(tmp_path / "out") == ["out"]


def test_no_item_is_asked_twice_and_all_processes_have_work(tmp_path: Path) -> None:
    asked: list[list[str]] = [[], [], []]

    def answers(rank: int) -> Callable[[Sequence[Question]], list[str]]:
        def answer(questions: Sequence[Question]) -> list[str]:
            asked[rank] += [q.id for q in questions]
            return echo(questions)

        return answer

    shared(tmp_path / "out", [answers(rank) for rank in range(3)], shuffles=1)
    assert sorted(id for ids in asked for id in ids) == [item.id for item in make_items()]
    assert [len(ids) for ids in asked] == [8, 8, 7]


def test_stopped_with_three_processes_resumed_with_two_then_one(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out"
    first = shared(out, [stopping(1), stopping(2), stopping(1)], batch_size=3)
    assert all(isinstance(error, Stop) for error in first)
    second = shared(out, [stopping(1), stopping(0)], batch_size=6)
    assert all(isinstance(error, Stop) for error in second)
    summary = run(out)
    assert 4 + 2 <= summary.kept < N
    assert summary.kept + summary.asked == N
    assert out.read_bytes() == whole
    assert only(out) == ["out"]


def test_others_do_not_wait_for_a_process_that_failed(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out"
    good, bad, other = shared(out, [echo, stopping(1, EndpointError("gone")), echo])
    assert isinstance(bad, EndpointError)
    for error in (good, other):
        assert isinstance(error, ProcessError)
        assert "process 1 of 3 failed: EndpointError('gone')" in str(error)
    assert run(out).kept > N // 2
    assert out.read_bytes() == whole


def test_an_error_of_the_first_process_is_everyones(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out)
    first, second = shared(out, [echo, echo], items=make_items()[:2])
    assert isinstance(first, HarnessError)
    assert isinstance(second, ProcessError)
    assert "holds answers to 21 items" in str(second)


def test_processes_that_accelerate_does_not_see_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import PartialState

    PartialState()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProcessError, match="2 processes were launched but accelerate counts 1"):
        launched()


SCRIPT = """
import os, signal, sys, time
sys.path[:0] = [{tests!r}]
from pathlib import Path
import test_harness as t

out, kill_rank, kill_after, log = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
rank = os.environ.get("RANK", "0")
calls = 0

def answer(asked):
    global calls
    calls += 1
    if rank == kill_rank and calls > kill_after:
        os.kill(os.getpid(), signal.SIGKILL)
    with open(log, "a") as file:
        file.write("".join(rank + " " + q.id + "\\n" for q in asked))
    return t.echo(asked)

print(t.run(out, answer, batch_size=3))
"""


def script(tmp_path: Path, out: Path, kill_rank: str, kill_after: int, *launcher: str, **env: str) -> Any:
    path = tmp_path / "run_harness.py"
    path.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(
        [sys.executable, *launcher, str(path), str(out), kill_rank, str(kill_after), str(tmp_path / "log")],
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "1", "RESOUND_TRACKING": "off", "PYTHONPATH": str(root)} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_kill_9_of_one_process_then_two_launched_then_bytes_are_equal(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out"
    killed = script(tmp_path, out, "0", 4)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / ".out.part-00000").read_bytes().count(b"\n") == 4
    # --multi_gpu is what makes accelerate start several processes, also where they run on CPU
    launcher = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2")
    launcher += ("--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no")
    launcher += (f"--main_process_port={free_port()}",)
    resumed = script(tmp_path, out, "nobody", 0, *launcher)
    said, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert said.count(f"Summary(items={N}, missing=0, asked={N - 4}, kept=4,") == 2
    asked = Counter(line.split()[1] for line in (tmp_path / "log").read_text().splitlines())
    assert set(asked) == {item.id for item in make_items()}
    assert set(asked.values()) == {1, 3}  # the shuffles of each, once
    assert {line.split()[0] for line in (tmp_path / "log").read_text().splitlines()} == {"0", "1"}
    assert out.read_bytes() == whole
    assert only(out) == ["log", "out", "run_harness.py"]


def test_kill_9_of_one_of_two_processes_then_one_goes_on(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out"
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    pair = [script(tmp_path, out, "1", 3, RANK=str(rank), LOCAL_RANK=str(rank), **world) for rank in range(2)]
    _, errors = pair[1].communicate(timeout=60)
    assert pair[1].returncode == -signal.SIGKILL, errors
    until = time.monotonic() + 30
    while not (tmp_path / ".out.end-00000").exists() and time.monotonic() < until:
        time.sleep(0.05)  # process 0 waits for the other; a launcher would end it
    pair[0].kill()
    pair[0].communicate(timeout=60)
    assert not out.exists()
    summary = run(out)
    assert summary.kept == 12 + 3
    assert out.read_bytes() == whole


# --- failures


def test_a_batch_that_raises_is_asked_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out, calls = tmp_path / "out", Counter[str]()

    def answer(asked: Sequence[Question]) -> list[str]:
        calls.update(q.id for q in asked)
        if any(q.id == "item-007" for q in asked):
            raise RuntimeError("shape mismatch\n in layer 3")
        if any(q.id == "item-011" for q in asked) and len(asked) > 1:
            raise MemoryError
        return echo(asked)

    summary = run(out, answer, shuffles=1)
    assert (summary.failed, summary.silent, summary.asked) == (1, 1, N)
    by_id = {record.id: record for record in read_predictions(out)}
    assert by_id["item-007"].outputs == ("",)
    assert by_id["item-007"].errors == ("RuntimeError: shape mismatch in layer 3",)
    assert by_id["item-011"].errors == ("",)
    assert by_id["item-011"].outputs[0].endswith("sound 11 0")
    assert calls["item-007"] == calls["item-011"] == 2
    assert "item-007: counted as unanswered: RuntimeError: shape mismatch" in caplog.text
    assert run(out, echo, shuffles=1).asked == 0
    again = run(out, echo, shuffles=1, ask_failed_again=True)
    assert (again.asked, again.changed, again.failed) == (1, 1, 0)
    run(tmp_path / "clean", shuffles=1)
    assert out.read_bytes() == (tmp_path / "clean").read_bytes()


def test_retries(tmp_path: Path) -> None:
    calls = Counter[str]()

    def answer(asked: Sequence[Question]) -> list[str]:
        calls.update(q.id for q in asked)
        if asked[0].id == "item-001" and calls["item-001"] < 4:
            raise ValueError("busy")
        return echo(asked)

    assert run(tmp_path / "a", answer, items=make_items(2), retries=2).failed == 1
    assert calls["item-001"] == 3
    assert run(tmp_path / "b", answer, items=make_items(2), retries=2).failed == 0


def test_a_reason_that_comes_with_the_output(tmp_path: Path) -> None:
    def answer(asked: Sequence[Question]) -> list[str]:
        return [Unanswered("content filter") if q.id == "item-002" else "yes" for q in asked]

    summary = run(tmp_path / "out", answer, shuffles=2, stop_after=1)
    assert (summary.failed, summary.silent) == (1, 0)
    failed = next(r for r in read_predictions(tmp_path / "out") if r.id == "item-002")
    assert (failed.outputs, failed.errors) == (("", ""), ("content filter", "content filter"))


def test_a_broken_model_ends_the_run_and_nothing_of_it_is_recorded(tmp_path: Path, whole: bytes) -> None:
    out, good = tmp_path / "out", {f"item-{i:03d}" for i in range(10)}

    def answer(asked: Sequence[Question]) -> list[str]:
        if any(q.id not in good for q in asked):
            raise RuntimeError("device-side assert")
        return echo(asked)

    with pytest.raises(HarnessError, match=r"raised for 5 items in a row, item-010 to item-014.*device-side"):
        run(out, answer, by_duration=False, stop_after=5)
    summary = run(out)
    assert (summary.kept, summary.failed) == (10, 0)
    assert out.read_bytes() == whole
    everything = run(tmp_path / "all", answer, by_duration=False, stop_after=None)
    assert everything.failed == N - 10


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda asked: ["x"] * (len(asked) + 1), r"gave 4 outputs for 3 questions"),
        (lambda asked: [None] * len(asked), r"item-\d+: the model's output is NoneType"),
    ],
)
def test_an_answer_of_another_shape_is_an_error(tmp_path: Path, answer: Any, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        run(tmp_path / "out", answer)


def test_ugly_outputs_survive(tmp_path: Path) -> None:
    ugly = ["line\nbreak\u2028and\x85more", '"quoted" \\ \0', "half a pair \ud800", "日本語 \U0001f600"]
    items = [Item(id=f"{i}", question="?", choices=(), audios=()) for i in range(len(ugly))]
    run(tmp_path / "out", lambda asked: [ugly[int(q.id)] for q in asked], items=items)
    outputs = [record.outputs[0] for record in read_predictions(tmp_path / "out")]
    assert outputs == [*ugly[:2], "half a pair ?", ugly[3]]


def test_full_disk_is_explained_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    out, room, write = tmp_path / "out", [2000], os.write

    def full(file: int, content: Any) -> int:
        if len(content) > room[0]:
            if room[0] == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            content = content[: room[0]]
        room[0] -= len(content)
        return write(file, content)

    with monkeypatch.context() as patched:
        patched.setattr(records_module.os, "write", full)
        with pytest.raises(OutputError, match="No space left on device; free some space, then run the same"):
            run(out)
    assert 0 < run(out).kept < N
    assert out.read_bytes() == whole


def test_two_runs_of_one_file_at_a_time_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def answer(asked: Sequence[Question]) -> list[str]:
        with pytest.raises(OutputError, match="being written by another run"):
            run(out)
        return echo(asked)

    assert run(out, answer, batch_size=100).failed == 0


# --- items


def test_audio_is_loaded_just_before_it_is_asked(tmp_path: Path) -> None:
    loaded: list[str] = []
    ahead: list[int] = []

    def item(i: int) -> Item:
        def load() -> tuple[bytes, ...]:
            loaded.append(str(i))
            return (b"sound",)

        return Item(id=str(i), question="?", choices=("a", "b"), audios=load)

    asked_so_far = 0

    def answer(asked: Sequence[Question]) -> list[str]:
        nonlocal asked_so_far
        asked_so_far += len(asked)
        until = time.monotonic() + 10
        while len(loaded) < min(20, asked_so_far + 2) and time.monotonic() < until:
            time.sleep(0.001)
        ahead.append(len(loaded) - asked_so_far)
        return ["a"] * len(asked)

    run(tmp_path / "out", answer, items=[item(i) for i in range(20)], shuffles=1, batch_size=2)
    assert loaded == [str(i) for i in range(20)]
    assert ahead == [2] * 9 + [0]  # one batch


def test_missing_audio_is_listed_and_left_out_only_when_allowed(tmp_path: Path) -> None:
    items = [replace(item, audios=None) if i % 2 else item for i, item in enumerate(make_items(8))]
    with pytest.raises(
        ItemError, match=r"4 of 8 items have no audio \(item-001, item-003, item-005, item-007\)"
    ):
        run(tmp_path / "out", items=items)
    summary = run(tmp_path / "out", items=items, allow_missing=True)
    assert (summary.items, summary.missing) == (4, 4)
    assert [r.id for r in read_predictions(tmp_path / "out")] == [f"item-{i:03d}" for i in (0, 2, 4, 6)]
    with pytest.raises(ItemError, match="none of 2 items"):
        run(tmp_path / "b", items=[replace(i, audios=None) for i in make_items(2)], allow_missing=True)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no items to ask"),
        (make_items(3) + make_items(2), r"2 ids are there more than once \(item-000, item-001\)"),
        (
            [replace(make_items(1)[0], audios=lambda: [Path("/no/such.wav").read_bytes()])],
            "item-000: its audio cannot be loaded",
        ),
        ([replace(make_items(1)[0], audios=("a.wav",))], "item-000: its audio cannot be loaded"),
    ],
)
def test_wrong_items_are_errors(tmp_path: Path, items: list[Item], message: str) -> None:
    with pytest.raises(ItemError, match=message):
        run(tmp_path / "out", items=items)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"shuffles": 0}, {"retries": -1}, {"identity": {"a": {1}}}]
)
def test_wrong_options_are_errors(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|JSON"):
        run(tmp_path / "out", **options)


def test_damaged_predictions_are_errors_for_readers(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match="no predictions"):
        read_predictions(path)
    path.write_bytes(whole[:-5])
    with pytest.raises(PredictionsError, match=f"line {N} is no record"):
        read_predictions(path)
    path.write_bytes(whole + whole)
    with pytest.raises(PredictionsError, match="item-000 is there twice"):
        read_predictions(path)
    path.write_text(
        textwrap.dedent('{"id": "a", "hash": "b", "orders": [[]], "answers": ["", ""], "errors": [""]}\n')
    )
    with pytest.raises(PredictionsError, match="line 1"):
        read_predictions(path)


# --- what may be overwritten, and what is no answer to the question


def test_altered_orders_are_asked_again(tmp_path: Path, whole: bytes) -> None:
    """The hash is of the orders that were shown; a line whose orders say something else is not kept."""
    out = tmp_path / "out"
    lines = [json.loads(line) for line in whole.decode().splitlines()]
    turned, short = [line for line in lines if len(line.get("orders", ())) > 1][:2]
    turned["orders"] = [order[::-1] for order in turned["orders"]]
    short |= {key: short[key][:1] for key in ("orders", "answers")}
    out.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    summary = run(out)
    assert (summary.asked, summary.kept) == (2, N - 2)
    assert out.read_bytes() == whole


@pytest.mark.parametrize(
    "orders", ["[[1e999, 0]]", '[["0", "1"]]', "[[0.5, 1]]", "[[true, false]]", "[[-1, 0]]", "[" * 100_000]
)
def test_a_line_with_hostile_orders_is_damaged(tmp_path: Path, whole: bytes, orders: str) -> None:
    out = tmp_path / "out"
    first, rest = whole.split(b"\n", 1)
    record = json.loads(first)
    line = f'{{"id": "{record["id"]}", "hash": "{record["hash"]}", "answers": ["a"], "orders": '
    out.write_bytes(f"{line}{orders}}}\n".encode() + rest)
    with pytest.raises(PredictionsError, match="line 1 is no record"):
        read_predictions(out)
    assert run(out).asked == 1
    assert out.read_bytes() == whole


@pytest.mark.parametrize(
    "content", [b"[1, 2]", b"RIFF....WAVE", b'{"id": "item-001", "answer": "x"}\n', b"\n"]
)
def test_a_file_that_is_no_predictions_file_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "out"
    out.write_bytes(content)
    with pytest.raises(OutputError, match="is not a file of predictions"):
        run(out)
    assert out.read_bytes() == content
    assert only(out) == ["out"]


def test_neither_a_folder_nor_a_device_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "lost")
    for name in ("folder", "pipe", "nowhere"):
        with pytest.raises(OutputError, match="is no regular file"):
            run(tmp_path / name)
    (tmp_path / "empty").touch()
    assert run(tmp_path / "empty").asked == N

"""What a killed run left is continued by the same run only."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.run import resume, tracking
from core.run.files import InUseError
from core.run.resume import (
    NotReadyError,
    close_folder,
    content_hash,
    declared_inputs,
    open_folder,
    run_identity,
)
from core.run.stage import Context
from core.train.checkpoints import commit_checkpoint, draft_path


def context_at(root: Path, *, variant: str = "gama") -> Context:
    return Context(
        paper="gama",
        stage="train",
        variant=variant,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def test_identity_is_of_configuration_and_of_the_inputs_that_the_stage_declares(tmp_path: Path) -> None:
    first = run_identity(context_at(tmp_path), config={"steps": 3})
    assert run_identity(context_at(tmp_path), config={"steps": 3}) == first
    assert run_identity(context_at(tmp_path), config={"steps": 4}) != first
    (tmp_path / "notes.md").write_text("not declared")
    assert run_identity(context_at(tmp_path), config={"steps": 3}) == first
    inputs = declared_inputs(context_at(tmp_path))
    seen = {first}
    for name in inputs:
        file = tmp_path / name / "part"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        seen.add(run_identity(context_at(tmp_path), config={"steps": 3}))
    assert len(seen) == len(inputs) + 1 > 2


def test_a_variant_that_no_pipeline_names_reads_what_any_other_reads(tmp_path: Path) -> None:
    known = set(declared_inputs(context_at(tmp_path)))
    assert known <= set(declared_inputs(context_at(tmp_path, variant="mine")))


def test_content_is_hashed_as_dvc_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.repo import Repo

    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "one").write_bytes(b"1")
    (tmp_path / "data" / "deep" / "two").write_bytes(b"2")
    monkeypatch.chdir(tmp_path)
    repo = Repo.init(no_scm=True)
    (stage,) = repo.add("data")
    assert content_hash(tmp_path, "data") == stage.outs[0].hash_info.value
    assert content_hash(tmp_path, "gone") == ""


def checkpoint(folder: Path, step: int) -> Path:
    draft = draft_path(folder, step)
    draft.mkdir(parents=True)
    (draft / "state.pt").write_bytes(b"state")
    return commit_checkpoint(draft, keep=2)


def test_the_same_identity_keeps_what_was_left(tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    assert not open_folder(folder, "one")
    made = checkpoint(folder, 10)
    assert made.name == "step_00000010"
    assert not open_folder(folder, "one")
    assert (made / "state.pt").is_file()


def test_another_identity_starts_anew(tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    open_folder(folder, "one")
    made = checkpoint(folder, 10)
    (folder / "model.safetensors").write_bytes(b"old")
    close_folder(folder, "one")
    checkpoint(folder, 20)
    assert not open_folder(folder, "two")
    assert not made.exists()
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "identity.json"]
    assert not open_folder(folder, "one")  # nor is the first one finished any more


@pytest.mark.parametrize(
    "mark", [b"", b"{", b'{"finished": true}', b"[1]", b"3", b"\xff", b'{"identity": "one", "finished": tru']
)
def test_a_folder_without_a_readable_identity_is_cleared(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "identity.json").write_bytes(mark)
    (tmp_path / "model.safetensors").touch()
    assert not open_folder(tmp_path, "one")
    assert not (tmp_path / "model.safetensors").exists()


def test_a_finished_run_keeps_its_result_and_drops_its_checkpoints(tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    open_folder(folder, "one")
    checkpoint(folder, 10)
    checkpoint(folder, 20)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "history.jsonl").touch()
    close_folder(folder, "one")
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.jsonl",
        "identity.json",
        "model.safetensors",
    ]
    assert json.loads((folder / "identity.json").read_text()) == {
        "identity": "one",
        "finished": True,
        "files": {"model.safetensors": hashlib.sha256(b"weights").hexdigest()},
        "scratch": [],
    }
    assert open_folder(folder, "one")
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_other_processes_wait_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(resume, "WAIT_SECONDS", 0.0)
    with pytest.raises(NotReadyError, match=r"the first process did not make .*seed0 ready"):
        open_folder(tmp_path / "seed0", "one")
    assert not (tmp_path / "seed0").exists()
    monkeypatch.setenv("RANK", "0")
    open_folder(tmp_path / "seed0", "one")
    monkeypatch.setenv("RANK", "1")
    assert not open_folder(tmp_path / "seed0", "one")
    close_folder(tmp_path / "seed0", "one")  # the first process's to say
    assert not open_folder(tmp_path / "seed0", "one")


def finished(folder: Path) -> Path:
    """A folder with a result in two files and a folder of checkpoints beside them."""
    open_folder(folder, "one")
    checkpoint(folder / "run", 10)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "deep").mkdir()
    (folder / "deep" / "front_end.json").write_bytes(b"{}")
    (folder / "history.jsonl").write_bytes(b"{}")
    close_folder(folder, "one", scratch=("run",))
    return folder


@pytest.mark.parametrize("name", ["model.safetensors", "deep/front_end.json"])
@pytest.mark.parametrize("content", [None, b"", b"weight", b"Weights", b"weights!"])
def test_finished_files_that_were_altered_cut_or_deleted_are_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None
) -> None:
    path = finished(tmp_path / "seed0") / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert not open_folder(tmp_path / "seed0", "one")
    what = "gone" if content is None else "altered"
    assert f"1 of 2 finished files are not as they were written: {name} ({what})" in capsys.readouterr().err
    assert not path.exists(), "the damaged file is not taken for the new one"
    assert not open_folder(tmp_path / "seed0", "one"), "nor is the run finished now"


def test_the_history_of_a_finished_run_may_go(tmp_path: Path) -> None:
    (finished(tmp_path / "seed0") / "history.jsonl").unlink()
    assert open_folder(tmp_path / "seed0", "one")


def test_a_mark_without_files_is_of_no_finished_run(tmp_path: Path) -> None:
    folder = finished(tmp_path / "seed0")
    (folder / "identity.json").write_text('{"identity": "one", "finished": true}')
    assert not open_folder(folder, "one")


def test_other_processes_see_the_damage_that_the_first_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished(tmp_path / "seed0")
    monkeypatch.setenv("RANK", "1")
    assert open_folder(folder, "one")
    (folder / "model.safetensors").write_bytes(b"other")
    assert not open_folder(folder, "one")


def test_what_a_kill_left_of_the_deleting_goes_at_the_next_opening(tmp_path: Path) -> None:
    folder = finished(tmp_path / "seed0")
    checkpoint(folder / "run", 10)
    half = checkpoint(folder, 20)
    (half / "state.pt").unlink()
    assert open_folder(folder, "one")
    assert sorted(path.name for path in folder.iterdir()) == [
        "deep",
        "history.jsonl",
        "identity.json",
        "model.safetensors",
    ]


def test_temporaries_of_killed_writers_are_no_result(tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    open_folder(folder, "one")
    (folder / ".model.safetensors.1.tmp").touch()  # process 1 is alive, and does not write here
    (folder / "deep").mkdir()
    (folder / "deep" / f".bank.npy.{2**22 + 1}.tmp").touch()
    close_folder(folder, "one")
    assert {path.name for path in folder.rglob("*")} == {"deep", "identity.json"}


HOLD = (
    "import sys, time; from pathlib import Path; from core.run.resume import open_folder\n"
    "open_folder(Path(sys.argv[1]), sys.argv[2]); print('held', flush=True); time.sleep(60)"
)


@pytest.mark.parametrize("identity", ["one", "two"])
def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, identity: str) -> None:
    folder = tmp_path / "seed0"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder, "one"], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        made = checkpoint(folder, 10)
        with pytest.raises(InUseError, match=rf"seed0 is being written .* \(process {other.pid}\)"):
            open_folder(folder, identity)
        assert made.is_dir()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert not open_folder(folder, identity), "a killed run holds nothing"
    assert made.is_dir() == (identity == "one")
    close_folder(folder, identity)
    assert not (folder / ".lock").exists()


def test_a_forked_worker_that_outlives_its_run_does_not_hold_the_folder(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from core.run.resume import open_folder\n"
        "open_folder(Path(sys.argv[1]), 'one')\n"
        "if not (child := os.fork()): time.sleep(20)\n"
        "else: print(child, flush=True); os.kill(os.getpid(), 9)"
    )
    folder = tmp_path / "seed0"
    run = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        worker = int(other.stdout.readline())
        try:
            other.wait()
            assert not open_folder(folder, "one")
        finally:
            os.kill(worker, signal.SIGKILL)

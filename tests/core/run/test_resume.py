"""What a killed run left is continued by the same run only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.run import resume
from core.run.resume import close_folder, fingerprint, imported_files, open_folder
from core.train.checkpoints import commit_checkpoint, draft_path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in {"core/a.py": "A = 1", "core/deep/b.py": "B = 2", "core/notes.md": "x"}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "bank.json").write_text("{}")
    (tmp_path / "weights").write_bytes(b"\x00\x01")
    return tmp_path


def identity(root: Path, *, inputs: tuple[str, ...] = ("bank.json",), **config: object) -> str:
    return fingerprint(
        root,
        config={"steps": 3, **config},
        inputs=[root / name for name in inputs],
        code=[*root.glob("core/**/*.py"), *root.glob("projects/**/*.py")],
    )


def test_fingerprint_is_of_configuration_inputs_and_code(repository: Path) -> None:
    first = identity(repository)
    assert identity(repository) == first
    (repository / "core" / "notes.md").write_text("no code")
    assert identity(repository) == first
    assert identity(repository, steps=4) != first
    assert identity(repository, options={"rate": (1, 2)}) != first
    assert identity(repository, inputs=("bank.json", "weights")) != first
    seen = {first}
    for name, text in {
        "bank.json": "{ }",
        "core/a.py": "A = 2",
        "core/deep/b.py": "B = 3",
        "core/c.py": "",
        "projects/d.py": "",
    }.items():
        path = repository / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        seen.add(identity(repository))
    (repository / "core" / "c.py").rename(repository / "core" / "renamed.py")
    seen.add(identity(repository))
    assert len(seen) == 7


def test_fingerprint_does_not_depend_on_where_the_repository_lies(repository: Path, tmp_path: Path) -> None:
    first = identity(repository)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-moved"
    repository.rename(elsewhere)
    assert identity(elsewhere) == first


def test_imported_files_are_the_import_closure() -> None:
    root = Path(__file__).parents[3]
    names = [path.relative_to(root).as_posix() for path in imported_files(str(root / "core/report/cells.py"))]
    assert names == ["core/report/cells.py", "core/run/files.py"]


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
    assert [path.name for path in folder.iterdir()] == ["identity.json"]
    assert not open_folder(folder, "one")  # nor is the first one finished any more


@pytest.mark.parametrize("mark", ["", "{", '{"finished": true}'])
def test_a_folder_without_a_readable_identity_is_cleared(tmp_path: Path, mark: str) -> None:
    (tmp_path / "identity.json").write_text(mark)
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
    assert json.loads((folder / "identity.json").read_text()) == {"identity": "one", "finished": True}
    assert open_folder(folder, "one")
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_other_processes_wait_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(resume, "WAIT_SECONDS", 0.0)
    with pytest.raises(TimeoutError, match=r"the first process did not make .*seed0 ready"):
        open_folder(tmp_path / "seed0", "one")
    assert not (tmp_path / "seed0").exists()
    monkeypatch.setenv("RANK", "0")
    open_folder(tmp_path / "seed0", "one")
    monkeypatch.setenv("RANK", "1")
    assert not open_folder(tmp_path / "seed0", "one")
    close_folder(tmp_path / "seed0", "one")  # the first process's to say
    assert not open_folder(tmp_path / "seed0", "one")

"""The record of a run is cut back to the resume, and survives a torn line."""

from pathlib import Path

from core.train.history import HistoryFile, read_history


def test_a_resume_cuts_the_file_back_and_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with HistoryFile(path, step=0, active=True) as history:
        for step in (1, 2, 3):
            history.write("train", step, {"loss": 0.1 * step})
        history.write("evaluate", 3, {"recall": 0.5})
    with path.open("a") as file:
        file.write('{"kind": "train", "st')  # the process was killed here
    with HistoryFile(path, step=2, active=True) as history:
        history.write("train", 3, {"loss": 7.0})
    with HistoryFile(path, step=1, active=True) as history:
        history.write("train", 2, {"loss": 8.0})
        history.sync()
    found = read_history(path)
    assert found.rows == ({"step": 1, "loss": 0.1}, {"step": 2, "loss": 8.0})
    assert found.losses == (0.1, 8.0)
    assert found.evaluations == ()
    assert found.resumed_at == (2, 1)


def test_a_fresh_start_forgets_and_other_processes_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with HistoryFile(path, step=0, active=True) as history:
        history.write("train", 1, {"loss": 1.0})
    with HistoryFile(path, step=0, active=False) as history:
        history.write("train", 2, {"loss": 2.0})
        history.sync()
    assert read_history(path).losses == (1.0,)
    with HistoryFile(path, step=0, active=True):
        pass
    assert read_history(path).rows == ()

"""What every importer does alike: the schema it keeps to, and each kind of bad input."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core.data.imports.layout import read_csv
from core.data.parquet import read_dataset, write_dataset
from core.data.schema import SCHEMAS, DatasetError

INFO = {"name": "toy", "task": "t", "licence": "l", "source": "s", "protocol": "p"}


def test_rows_keep_to_the_schema_and_hold_the_official_bytes(layout, tmp_path: Path) -> None:
    rows = layout.rows_now()
    assert len(rows) == layout.rows
    write_dataset(tmp_path / "out", rows, features=SCHEMAS[layout.name], split="test", info=INFO)
    assert len(read_dataset(tmp_path / "out", checksums=True)) == layout.rows
    held = {v["path"]: v["bytes"] for row in rows for k, v in row.items() if k.endswith("audio") and v}
    assert held == {path.name: path.read_bytes() for path in layout.audio}
    assert all(row["clips"] for row in rows)


def test_a_sample_rate_gives_mono_flac_at_that_rate(layout) -> None:
    first = layout.audio[0]
    stereo = np.stack([np.full(800, 0.5), np.linspace(-0.5, 0.5, 800)], axis=1)
    soundfile.write(first, stereo, 8000)
    rows = layout.rows_now(sample_rate=4000)
    audio = [v for row in rows for k, v in row.items() if k.endswith("audio") and v]
    converted = next(v for v in audio if v["path"] == f"{first.stem}.flac")
    samples, rate = soundfile.read(io.BytesIO(converted["bytes"]))
    assert (rate, samples.shape) == (4000, (400,))
    assert samples[200] == pytest.approx(0.25, abs=0.01)


def test_missing_audio_is_counted_and_named(layout) -> None:
    layout.audio[-1].unlink()
    notes: dict = {}
    with pytest.raises(
        DatasetError, match=rf"{layout.name}: 1 of {layout.rows} clips have no audio"
    ) as caught:
        layout.rows_now(notes=notes)
    assert "allow_missing: true" in str(caught.value)
    rows = layout.rows_now(allow_missing=True, notes=notes)
    assert len(rows) == layout.rows - 1
    assert notes["missing"] == re.findall(r"\(([^;]+);", str(caught.value))


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"not audio at all", "unreadable"), (b"", "empty"), ("truncated", "truncated"), ("silent", "silent")],
)
def test_unusable_audio_is_counted_and_named(layout, content: bytes | str, kind: str) -> None:
    first = layout.audio[0]
    if content == "truncated":
        content = first.read_bytes()[:300]
    if content == "silent":
        soundfile.write(first, np.zeros(800), 8000)
    else:
        first.write_bytes(content)
    for allow_missing in (False, True):
        message = (
            rf"1 of {layout.rows} clips in .* have unusable audio \(.*; 1 {kind}\); the first: .*{first.name}"
        )
        with pytest.raises(DatasetError, match=message):
            layout.rows_now(allow_missing=allow_missing)


def test_duplicated_ids(layout) -> None:
    lines = layout.csv.read_text().splitlines()
    layout.csv.write_text("\n".join([*lines, lines[-1]]) + "\n")
    with pytest.raises(DatasetError, match=r"1 duplicated ids \(.*\); remove the repeated rows") as caught:
        layout.rows_now()
    assert str(layout.csv) in str(caught.value)


def test_a_missing_column(layout) -> None:
    if layout.column is None:  # a CSV without header: its fields are counted
        layout.csv.write_text(
            "\n".join(line.rpartition(",")[0] for line in layout.csv.read_text().splitlines())
        )
        with pytest.raises(DatasetError, match=r"3 rows do not have 4 fields \(row 1, 2, 3\)"):
            layout.rows_now()
        return
    layout.csv.write_text(layout.csv.read_text().replace(layout.column, "another", 1))
    with pytest.raises(DatasetError, match=rf"columns \['{re.escape(layout.column)}'\] are missing; it has"):
        layout.rows_now()


def test_a_byte_order_mark(layout) -> None:
    layout.csv.write_bytes(b"\xef\xbb\xbf" + layout.csv.read_bytes())
    if layout.accepts_bom:
        assert len(layout.rows_now()) == layout.rows
    else:
        with pytest.raises(DatasetError, match="begins with a byte-order mark; save it as UTF-8 without one"):
            layout.rows_now()


def test_a_missing_empty_or_broken_csv(layout) -> None:
    content = layout.csv.read_text()
    layout.csv.write_text(content + "one,field,too,many,or,too,few,for,any,of,them\n")
    with pytest.raises(DatasetError, match=r"1 rows do not have \d+ fields \(row \d+\)"):
        layout.rows_now()
    layout.csv.write_bytes(content.encode() + b"\xff\xfe\n")
    with pytest.raises(DatasetError, match="does not read as a utf-8-sig CSV"):
        layout.rows_now()
    layout.csv.write_text("")
    with pytest.raises(DatasetError, match="is empty"):
        layout.rows_now()
    layout.csv.unlink()
    with pytest.raises(DatasetError, match=rf"{layout.csv.name} is missing; unpack the official files"):
        layout.rows_now()


def test_an_unknown_split(layout) -> None:
    with pytest.raises(DatasetError, match="split"):
        layout.rows_now(split="holdout")


def test_a_repeated_column_is_numbered(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,a,a\n1,2,3,4\n\n")
    assert read_csv(path, columns=["a.1"]) == [{"a": "1", "b": "2", "a.1": "3", "a.2": "4"}]

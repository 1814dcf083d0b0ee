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
    if not layout.listed:  # nothing says what should be there
        assert len(layout.rows_now()) == layout.rows - 1
        return
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


def test_duplicated_ids(csv_layout) -> None:
    lines = csv_layout.csv.read_text().splitlines()
    csv_layout.csv.write_text("\n".join([*lines, lines[-1]]) + "\n")
    if csv_layout.repeats:  # a line is an answer, and a repeated line a fourth one
        notes: dict = {}
        assert len(csv_layout.rows_now(notes=notes)) == csv_layout.rows
        assert notes["answers_not_three"] == ["Bells, far-0"]
        return
    with pytest.raises(DatasetError, match=r"1 duplicated ids \(.*\); remove the repeated rows") as caught:
        csv_layout.rows_now()
    assert str(csv_layout.csv) in str(caught.value)


def test_a_missing_column(csv_layout) -> None:
    if csv_layout.column is None:  # a CSV without header: its fields are counted
        csv_layout.csv.write_text(
            "\n".join(line.rpartition(",")[0] for line in csv_layout.csv.read_text().splitlines())
        )
        with pytest.raises(DatasetError, match=r"3 rows do not have 4 fields \(row 1, 2, 3\)"):
            csv_layout.rows_now()
        return
    csv_layout.csv.write_text(csv_layout.csv.read_text().replace(csv_layout.column, "another", 1))
    with pytest.raises(
        DatasetError, match=rf"columns \['{re.escape(csv_layout.column)}'\] are missing; it has"
    ):
        csv_layout.rows_now()


def test_a_byte_order_mark(csv_layout) -> None:
    csv_layout.csv.write_bytes(b"\xef\xbb\xbf" + csv_layout.csv.read_bytes())
    if csv_layout.accepts_bom:
        assert len(csv_layout.rows_now()) == csv_layout.rows
    else:
        with pytest.raises(DatasetError, match="begins with a byte-order mark; save it as UTF-8 without one"):
            csv_layout.rows_now()


def test_a_missing_empty_or_broken_csv(csv_layout) -> None:
    content = csv_layout.csv.read_text()
    csv_layout.csv.write_text(content + "one,field,too,many,or,too,few,for,any,of,them\n")
    with pytest.raises(DatasetError, match=r"1 rows do not have \d+ fields \(row \d+\)"):
        csv_layout.rows_now()
    csv_layout.csv.write_bytes(content.encode() + b"\xff\xfe\n")
    other = "does not read as a utf-8-sig CSV"
    if csv_layout.name == "clothoaqa":  # it may be in an older encoding, in which any bytes are letters
        other = "1 rows do not have"
    with pytest.raises(DatasetError, match=other):
        csv_layout.rows_now()
    csv_layout.csv.write_text("")
    with pytest.raises(DatasetError, match="is empty"):
        csv_layout.rows_now()
    csv_layout.csv.unlink()
    with pytest.raises(DatasetError, match=rf"{csv_layout.csv.name} is missing; unpack the official files"):
        csv_layout.rows_now()


def test_an_unknown_split(layout) -> None:
    with pytest.raises(DatasetError, match="split"):
        layout.rows_now(split="holdout")


def test_a_repeated_column_is_numbered(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,a,a\n1,2,3,4\n\n")
    assert read_csv(path, columns=["a.1"]) == [{"a": "1", "b": "2", "a.1": "3", "a.2": "4"}]


def test_a_list_with_a_mark_or_blank_lines_reads_the_same(list_layout) -> None:
    rows = [row["id"] for row in list_layout.rows_now()]
    list_layout.csv.write_bytes(
        b"\xef\xbb\xbf" + list_layout.csv.read_bytes().replace(b"\n", b"\r\n") + b"\n\n"
    )
    assert [row["id"] for row in list_layout.rows_now()] == rows


def test_a_missing_empty_or_broken_list(list_layout) -> None:
    content = list_layout.csv.read_text()
    last = content.splitlines()[-1]
    list_layout.csv.write_text(content + last.split("\t")[0].split(",")[0] + "\n")
    with pytest.raises(DatasetError, match=r"1 rows do not have (2 to 3|4) fields \(row \d\); unpack"):
        list_layout.rows_now()
    list_layout.csv.write_bytes(content.encode() + b"\xff\xfe\n")
    with pytest.raises(DatasetError, match="does not read as a utf-8-sig list"):
        list_layout.rows_now()
    list_layout.csv.write_text("\n")
    with pytest.raises(DatasetError, match="is empty"):
        list_layout.rows_now()
    list_layout.csv.unlink()
    with pytest.raises(DatasetError, match=rf"{list_layout.csv.name} is missing; unpack the official files"):
        list_layout.rows_now()


def test_duplicated_ids_in_a_list(list_layout) -> None:
    content = list_layout.csv.read_text()
    list_layout.csv.write_text(content + content.splitlines()[-1] + "\n")
    if list_layout.repeats:  # one line a label: a label given twice is one label
        assert [row["labels"] for row in list_layout.rows_now()][-1] == ["Air horn, truck horn"]
        return
    with pytest.raises(DatasetError, match=r"1 duplicated ids \(.*\); remove the repeated rows"):
        list_layout.rows_now()


def test_missing_empty_or_broken_json(json_layout) -> None:
    content = json_layout.csv.read_bytes()
    json_layout.csv.write_bytes(b"\xef\xbb\xbf" + content)
    assert len(json_layout.rows_now()) == json_layout.rows
    for empty in (b"[]", b"{}", b"3"):
        json_layout.csv.write_bytes(empty)
        with pytest.raises(DatasetError, match=json_layout.csv.name):
            json_layout.rows_now()
    json_layout.csv.write_bytes(content[:-3])
    with pytest.raises(DatasetError, match=r"JSON \(.*\); (unpack|fetch)"):
        json_layout.rows_now()
    json_layout.csv.unlink()
    with pytest.raises(
        DatasetError, match=rf"{json_layout.csv.name} is missing; (unpack|put) the official file"
    ):
        json_layout.rows_now()

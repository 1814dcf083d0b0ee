from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from core.data import doctor
from core.data.cards import CARDS, CHECKPOINTS, COMPA_661K
from core.data.cards_listening import GAMA_TESTS
from core.data.doctor import DoctorError, check_card, check_checkpoint, diagnose, main
from core.data.parquet import write_dataset
from core.data.schema import COMPARISON, SCHEMAS
from shared_data.world.sounds.recorded import read_recordings

EMPTY_SHA = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one paper, every conf file, and no data."""
    for folder in (tmp_path / "projects" / "toy", tmp_path / "shared_data"):
        (folder / "conf").mkdir(parents=True)
        for profile in ("mini", "recorded", "paper"):
            (folder / "conf" / f"{profile}.yaml").write_text("{}\n")
    (tmp_path / "params.yaml").write_text("profile: mini\n")
    declare(tmp_path)
    return tmp_path


def declare(root: Path, **content: object) -> None:
    (root / "projects" / "toy" / "paper.yaml").write_text(yaml.safe_dump({"title": "Toy", **content}))


def by_name(root: Path, profile: str = "paper") -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in diagnose(root, "toy", profile=profile)}


def test_every_data_set_has_a_schema_or_is_a_manifest() -> None:
    for name, card in CARDS.items():
        assert name == card.name
        assert (name in SCHEMAS) != card.manifest
        assert name == "openaqa" or card.counts["train" if card.manifest else "test"] > 0
        assert all(
            [card.licence, card.citation, card.homepage.startswith("https://"), card.protocol, card.files]
        )
    assert set(SCHEMAS) <= set(CARDS)
    assert set(COMPA_661K) < set(CARDS)
    assert sum(CARDS[name].counts["train"] for name in COMPA_661K) == 690_039  # as published, less AudioSet
    assert all(name == card.name and card.licence and card.files for name, card in CHECKPOINTS.items())


def test_mini_needs_nothing(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor.FREE_GB, "mini", 0.0)
    declare(root, data={"paper": ["clotho"]}, checkpoints={"paper": ["google/flan-t5-large"]})
    assert by_name(root, "mini")["all"].detail.startswith("embedded")
    assert main(["toy"], root=root) == 0
    assert "toy, profile mini" in capsys.readouterr().out


def test_missing_data_says_licence_place_and_next_step(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(root, data={"paper": ["clotho"]}, checkpoints={"paper": ["laion/clap-htsat-fused"]})
    assert main(["toy", "--profile", "paper"], root=root) == 1
    out = capsys.readouterr().out
    assert "MISSING  data set clotho: not there: clotho_captions_evaluation.csv, evaluation/" in out
    assert "licence: captions: Tampere University" in out
    assert "where: shared_data/raw/clotho" in out
    assert "next: get it from https://zenodo.org/records/4783391" in out
    assert "next: hf download laion/clap-htsat-fused --revision cca9e288" in out


def test_a_paper_without_the_keys_needs_nothing_more(root: Path) -> None:
    assert [f.kind for f in diagnose(root, "toy", profile="paper")].count("data set") == 1
    declare(root, data=["esc50"])  # a bare list is for the paper profile
    assert "esc50" in by_name(root)
    assert "esc50" not in by_name(root, "mini")


def test_groups_and_unknown_names(root: Path) -> None:
    declare(root, data={"paper": ["compa_661k", "cloto"]}, checkpoints={"paper": ["flan"]})
    found = by_name(root)
    assert set(COMPA_661K) <= set(found)
    assert found["cloto"].status == "wrong"
    assert "did you mean clotho" in found["cloto"].detail
    assert found["flan"].detail == "no card of that name"


def test_what_gama_is_tested_on_and_made_of(root: Path) -> None:
    made_of = [
        "MIT/ast-finetuned-audioset-10-10-0.4593",
        "meta-llama/Llama-2-7b-hf",
        "openai/whisper-large-v2",
    ]
    declare(root, data={"paper": ["gama_tests"]}, checkpoints={"paper": made_of})
    found = by_name(root)
    assert set(GAMA_TESTS) < set(SCHEMAS)
    assert {found[name].status for name in GAMA_TESTS} == {"missing"}
    assert found["clothoaqa"].next.startswith("get it from https://zenodo.org/records/6473207")
    llama = found["meta-llama/Llama-2-7b-hf"]
    assert "accept it on its page" in llama.licence
    command = llama.next.split()
    assert command[:3] == ["hf", "download", "meta-llama/Llama-2-7b-hf"]
    assert command[command.index("--revision") + 1] == CHECKPOINTS["meta-llama/Llama-2-7b-hf"].revision


def test_a_command_fetches_every_file_that_a_checkpoint_needs() -> None:
    for card in CHECKPOINTS.values():
        words = card.command.split()
        if words[:2] != ["hf", "download"] or words[3] == "--revision":  # by hand, or all files
            continue
        assert all(set(names.split("|")) & set(words) for names in card.files), card.name


def test_every_official_folder_has_what_its_card_wants(root: Path, official) -> None:
    for name in GAMA_TESTS:
        card = CARDS[name]
        place = root / card.folder
        shutil.copytree(official(name).folder, place)
        if any(file.md5 for file in card.files):
            continue  # toy files have another checksum
        finding = check_card(root, card)
        assert "not there" not in finding.detail, name
        assert finding.status == ("present" if name == "openaqa" else "wrong"), name


def test_a_set_without_an_official_count(root: Path, official) -> None:
    card, layout = CARDS["openaqa"], official("openaqa")
    shutil.copytree(layout.folder, root / card.folder)
    info = {"name": "openaqa", "task": "t", "licence": "l", "source": "s", "protocol": "p"}
    into = root / "shared_data" / "datasets" / "paper" / "openaqa"
    write_dataset(into, layout.rows_now(), features=SCHEMAS["openaqa"], split="train", info=info)
    finding = check_card(root, card)
    assert (finding.status, finding.detail) == ("present", "imported, 2 rows, no official count")


def test_official_files_from_absent_to_imported(root: Path, official) -> None:
    layout = official("compa_order")
    card = CARDS["compa_order"]
    place = root / card.folder
    shutil.copytree(layout.folder, place)
    (place / "CompA_order_benchmark.csv").rename(root / "kept.csv")
    finding = check_card(root, card)
    assert (finding.status, finding.detail) == ("missing", "incomplete, not there: CompA_order_benchmark.csv")
    (root / "kept.csv").rename(place / "CompA_order_benchmark.csv")
    finding = check_card(root, card)
    assert (finding.status, finding.detail) == ("wrong", "5 audio files of 900")
    assert "allow_missing" in finding.next
    for i in range(895):
        (place / "CompA_order_files" / f"more-{i}.wav").touch()
    finding = check_card(root, card)
    assert finding.status == "present"
    assert finding.next == "python -m shared_data.datasets compa_order --profile paper"
    rows = layout.rows_now()
    info = {"name": "compa_order", "task": "t", "licence": "l", "source": "s", "protocol": "p"}
    into = root / "shared_data" / "datasets" / "paper" / "compa_order"
    write_dataset(into, rows, features=COMPARISON, split="test", info=info)
    finding = check_card(root, card)
    assert (finding.status, finding.detail) == ("wrong", "2 rows imported, 0 left out; officially 400")
    notes = {"missing": [str(i) for i in range(398)]}
    write_dataset(into, rows, features=COMPARISON, split="test", info=info, notes=notes)
    assert check_card(root, card).detail == "imported, 2 of 400 rows, 398 left out"
    (into / "info.json").write_text("{")
    assert "is damaged" in check_card(root, card).detail


def test_a_wrong_checksum(root: Path, official) -> None:
    shutil.copytree(official("clotho").folder, root / CARDS["clotho"].folder)
    finding = check_card(root, CARDS["clotho"])
    assert finding.status == "wrong"
    assert finding.detail.startswith("another MD5 than the official file: ")
    assert finding.detail.endswith("clotho_captions_evaluation.csv")


def test_a_training_manifest(root: Path) -> None:
    card = CARDS["macs"]
    folder = root / card.folder
    (folder / "audio").mkdir(parents=True)
    header = "id,source_dataset,youtube_id,start,end,path,caption\n"
    (folder / "manifest.csv").write_text(header + "1,macs,,,,a.wav,a street\n")
    assert check_card(root, card).detail == "1 rows (published size 14400)"
    (folder / "manifest.csv").write_text(header + "1,macs,,,,,a street\n")
    finding = check_card(root, card)
    assert finding.status == "wrong"
    assert "1 x caption without audio (1)" in finding.detail


def test_checkpoints(root: Path) -> None:
    card = CHECKPOINTS["htsat-audioset"]
    place = root / card.folder / card.files[0]
    assert check_checkpoint(root, card).status == "missing"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + EMPTY_SHA.encode())
    finding = check_checkpoint(root, card)
    assert finding.status == "wrong"
    assert "Git LFS pointer" in finding.detail
    place.write_bytes(b"weights")
    assert check_checkpoint(root, card).status == "present"


def test_a_checkpoint_in_the_hub_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    weights = root / "blob"
    weights.write_bytes(b"weights")

    def cached(name: str, file: str, revision: str) -> str | None:
        right = (name, revision) == ("google/flan-t5-large", CHECKPOINTS["google/flan-t5-large"].revision)
        return str(weights) if right and file != "model.safetensors" else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert check_checkpoint(root, CHECKPOINTS["google/flan-t5-large"]).status == "present"


def test_the_machine_and_the_profile(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "projects" / "toy" / "conf" / "paper.yaml").unlink()
    monkeypatch.setitem(doctor.FREE_GB, "paper", 1e9)
    monkeypatch.setattr(doctor, "_unwritable", lambda folder: "cannot write there (Read-only file system)")
    found = by_name(root)
    assert found["disk"].status == "missing"
    assert found["projects/toy/conf/paper.yaml"].detail == "not there; profiles here: mini, recorded"
    assert found["shared_data/conf/paper.yaml"].status == "present"
    assert found["write to shared_data"].status == "wrong"
    assert found["device"].detail


def test_the_recorded_bank(root: Path) -> None:
    lists = Path(__file__).parents[3] / "shared_data" / "recorded"
    shutil.copytree(lists, root / "shared_data" / "recorded")
    recordings = read_recordings(lists)
    finding = by_name(root, "recorded")["recorded bank"]
    assert finding.status == "missing"
    assert finding.detail.startswith(f"{len(recordings)} of {len(recordings)} recordings not there, of ")
    assert finding.next == "nox -s recorded"
    for recording in recordings:
        path = root / "shared_data" / "raw" / "debian" / "unpacked" / recording.package / recording.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert by_name(root, "recorded")["recorded bank"].status == "present"


def test_questions_that_cannot_be_answered(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DoctorError, match=r"no paper 'compo'.*there is toy"):
        diagnose(root, "compo", profile="mini")
    assert main(["compo"], root=root) == 2
    (root / "params.yaml").write_text("nothing: here\n")
    assert main(["toy"], root=root) == 2
    assert "names no profile; pass --profile" in capsys.readouterr().err
    (root / "projects" / "toy" / "paper.yaml").write_text("a: [")
    with pytest.raises(DoctorError, match="not readable as YAML"):
        diagnose(root, "toy", profile="mini")

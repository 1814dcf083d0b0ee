"""The doctor's findings: what is missing of which kind, and that nothing is asked for that nothing reads."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from core.data import doctor, findings, machine
from core.data.cards import CARDS, CHECKPOINTS, COMPA_661K
from core.data.cards_listening import GAMA_TESTS
from core.data.cards_wheels import WHEEL_CHECKPOINTS
from core.data.doctor import DoctorError, diagnose, main
from core.data.findings import Finding, check_card, check_checkpoint
from core.data.inputs import inputs
from core.data.parquet import write_dataset
from core.data.schema import COMPARISON, SCHEMAS
from shared_data.world.sounds.recorded import read_recordings
from tests.core.data.doctor_world import PAPERS, ROOT, describe, without_dependency

EMPTY_SHA = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with the shipped papers' descriptions, and no data."""
    return describe(tmp_path)


def declare(root: Path, **content: object) -> None:
    """A paper without stages, whose paper.yaml says this."""
    folder = root / "projects" / "toy"
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    for profile in ("mini", "recorded", "paper"):
        (folder / "conf" / f"{profile}.yaml").write_text("{}\n")
    (folder / "paper.yaml").write_text(yaml.safe_dump({"title": "Toy", **content}))


def found_in(root: Path, paper: str, profile: str = "paper") -> dict[str, Finding]:
    findings, _ = diagnose(root, paper, profile=profile)
    assert len(findings) == len({(one.kind, one.name) for one in findings})
    return {finding.name: finding for finding in findings}


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
    for paper in PAPERS:
        assert main([paper, "--profile", "mini"], root=root) == 0
        out = capsys.readouterr().out
        assert f"{paper}, profile mini" in out
        assert "data set all: embedded" in out
        assert len(out.splitlines()) == 7


def test_missing_data_says_licence_place_and_next_step(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compa", "--profile", "paper"], root=root) == 1
    out = capsys.readouterr().out
    lost = "clotho_captions_development.csv, clotho_captions_evaluation.csv, development/, evaluation/"
    assert f"MISSING  data set clotho: not there: {lost}" in out
    assert "read by: shared_data datasets@clotho" in out
    assert "licence: captions: Tampere University" in out
    assert "where: shared_data/raw/clotho" in out
    assert "next: get it from https://zenodo.org/records/4783391" in out
    assert "MISSING  checkpoint google/flan-t5-large" in out
    assert "read by: compa prepare, compa init" in out
    assert "note     checkpoint laion/clap-htsat-fused" in out
    assert "next: hf download laion/clap-htsat-fused --revision cca9e288" in out


@pytest.mark.parametrize("paper", PAPERS)
def test_what_is_asked_for_is_what_stages_read(root: Path, paper: str) -> None:
    """In an empty tree what is missing is what the needed inputs stand for, no more and no less."""
    found = found_in(root, paper)
    asked = {
        one.name
        for one in found.values()
        if one.status == "missing" and one.kind not in ("machine", "profile")
    }
    assert asked == {one.of for one in inputs(root, paper, "paper") if one.needed}
    assert "audioset_strong" in asked


@pytest.mark.parametrize("paper", PAPERS)
def test_what_the_inputs_name_is_enough(root: Path, paper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that holds each needed input, and nothing else, lacks nothing."""
    monkeypatch.setattr(findings, "wrong_files", lambda folder, card: [])  # toy lists have other checksums
    conf = root / "shared_data" / "conf" / "paper.yaml"
    content = yaml.safe_load(conf.read_text())
    for kind in ("datasets", "exams"):
        content[kind]["common"]["allow_missing"] = True  # one file stands for all
    conf.write_text(yaml.safe_dump(content))
    for one in inputs(root, paper, "paper"):
        place = one.path.split("|")[0]
        if not one.needed:
            continue
        if place.endswith("/"):
            (root / place).mkdir(parents=True, exist_ok=True)
            (root / place / "one.wav").touch()
        else:
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text("{}")
    for card in CHECKPOINTS.values():
        if (root / card.folder).is_dir():
            (root / card.folder / "revision.txt").write_text(card.revision)
    found = found_in(root, paper).values()
    assert not [
        (one.name, one.detail)
        for one in found
        if one.status in ("missing", "wrong") and one.kind != "machine"
    ]


def test_a_set_that_no_stage_reads_is_not_missing(root: Path) -> None:
    assert found_in(root, "gama")["openaqa"].status == "missing"
    without_dependency(root / "projects" / "gama" / "dvc.yaml", "/openaqa")
    assert "openaqa" not in found_in(root, "gama")


def test_models_of_other_papers(root: Path) -> None:
    found = found_in(root, "gama")["compa train@compa_clap"]
    assert (found.kind, found.status) == ("artefact", "note")
    assert found.detail == "0 of 3 models there; `dvc repro projects/gama` trains it first"
    assert found.next == "dvc repro projects/compa/dvc.yaml:train@compa_clap"
    folder = root / "projects" / "compa" / "checkpoints" / "paper" / "compa_clap"
    for seed in range(3):
        (folder / f"seed{seed}").mkdir(parents=True)
        (folder / f"seed{seed}" / "model.safetensors").touch()
    assert found_in(root, "gama")["compa train@compa_clap"].status == "present"
    assert found_in(root, "mmau")["gama tune@gama_it"].status == "note"


def test_profile_wheels_needs_four_small_checkpoints_and_no_other_does(root: Path) -> None:
    shutil.copytree(ROOT / "shared_data" / "recorded", root / "shared_data" / "recorded")
    findings, needs = diagnose(root, "gama", profile="wheels")
    asked = {one.name: one for one in findings if one.kind == "checkpoint" and one.status == "missing"}
    assert set(asked) == set(WHEEL_CHECKPOINTS)
    assert {one.next for one in asked.values()} == {"nox -s wheels"}
    assert not needs  # nothing is downloaded that a disk would notice
    assert not {*WHEEL_CHECKPOINTS} & {*found_in(root, "gama")}


def test_public_rows_judges_and_scorers_are_notes(root: Path) -> None:
    found = found_in(root, "mmau")
    qwen = found["Qwen/Qwen2-Audio-7B-Instruct"]
    assert qwen.status == "note"
    assert qwen.detail == "16.8 GB, not there: mmau answer@qwen2_audio_instruct is not run without it"
    assert found["mmau answer_reading@llama3"].status == "note"
    assert found["nvidia/NV-Embed-v2"].status == "note"
    assert found["nvidia/NV-Embed-v2"].detail.endswith("no stage reads it")
    assert found_in(root, "gama")["gama judge"].status == "note"
    card = CHECKPOINTS["laion/clap-htsat-fused"]
    (root / card.folder).mkdir(parents=True)
    (root / card.folder / "config.json").write_text("{}")
    assert found_in(root, "compa")[card.name].status == "missing", "half a download is no row left out"


def test_the_lists_that_the_bank_excludes(root: Path) -> None:
    name = "shared_data/raw/vggsound/vggsound.csv"
    found = found_in(root, "mmau")
    assert (found[name].status, found[name].read_by) == ("missing", ("shared_data/dvc.yaml:bank",))
    (root / name).parent.mkdir(parents=True)
    (root / name).touch()
    assert found_in(root, "mmau")[name].status == "present"


def test_the_banks_source_is_asked_for_without_a_manifest(root: Path) -> None:
    folder = root / CARDS["audioset_strong"].folder
    (folder / "audio").mkdir(parents=True)
    for name in ("audioset_train_strong.tsv", "mid_to_display_name.tsv"):
        (folder / name).touch()
    found = found_in(root, "compa")["audioset_strong"]
    assert (found.status, found.detail) == ("wrong", "0 audio files of 108311 (train)")
    (folder / "audio" / "a_1000.wav").touch()
    found = found_in(root, "compa")["audioset_strong"]
    assert (found.status, found.next) == ("present", "")
    assert found.detail == "1 audio files of 108311 (train); what is missing is left out and listed"


def test_a_bank_that_is_made_needs_its_source_no_more(root: Path) -> None:
    name = "shared_data/raw/vggsound/vggsound.csv"
    assert {"audioset_strong", name} <= set(found_in(root, "mmau"))
    made = root / "shared_data" / "bank" / "paper" / "bank.json"
    made.parent.mkdir(parents=True)
    made.write_text("{}")
    assert not {"audioset_strong", name} & set(found_in(root, "mmau"))
    assert found_in(root, "mmau")["vggsound"].status == "missing"


def test_a_foundation_must_tell_its_revision(root: Path) -> None:
    card = CHECKPOINTS["google-bert/bert-base-uncased"]
    folder = root / card.folder
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text("{}")
    found = found_in(root, "gama")[card.name]
    assert (found.status, found.detail) == ("wrong", "nothing tells its revision")
    (folder / "revision.txt").write_text("main\n")
    assert found_in(root, "gama")[card.name].detail.startswith("revision main, the card's is ")
    (folder / "revision.txt").write_text(card.revision + "\n")
    assert found_in(root, "gama")[card.name].status == "present"
    note = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
    note.parent.mkdir(parents=True)
    note.write_text("0123456789abcdef\nsum\n0\n")
    assert found_in(root, "gama")[card.name].status == "wrong", "what was downloaded counts"


def test_disk_is_wanted_twice_where_dvc_copies(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_reflinks", lambda folder: False)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    assert machine.copies(root)
    twice = found_in(root, "gama")["disk"].detail
    (root / ".dvc" / "config.local").write_text('[cache]\n    type = "hardlink,symlink"\n')
    assert not machine.copies(root)
    once = found_in(root, "gama")["disk"].detail
    wanted = [float(text.split("about ")[1].split(" GB")[0]) for text in (once, twice)]
    assert wanted[0] > 1000
    assert wanted[1] > 1.6 * wanted[0]
    main(["gama", "--profile", "paper"], root=root)
    out = capsys.readouterr().out
    assert "  audiocaps train: 49,838 audios x 250 steps x 1280 x 2 B = 31.9 GB" in out
    (root / ".dvc" / "config.local").write_text("[cache]\n    type = reflink\n")
    assert machine.copies(root), "what the disk cannot do saves nothing"
    monkeypatch.setattr(machine, "_reflinks", lambda folder: True)
    (root / ".dvc" / "config.local").unlink()
    assert not machine.copies(root)


def test_a_paper_without_stages_needs_nothing_more(root: Path) -> None:
    declare(root)
    findings, needs = diagnose(root, "toy", profile="paper")
    assert [f.kind for f in findings].count("data set") == 1
    assert not needs
    declare(root, data=["esc50"])  # a bare list is for the paper profile
    assert found_in(root, "toy")["esc50"].status == "note"
    assert "esc50" not in found_in(root, "toy", "mini")


def test_groups_and_unknown_names(root: Path) -> None:
    declare(root, data={"paper": ["compa_661k", "cloto"]}, checkpoints={"paper": ["flan"]})
    found = found_in(root, "toy")
    assert set(COMPA_661K) <= set(found)
    assert found["cloto"].status == "wrong"
    assert "did you mean clotho" in found["cloto"].detail
    assert found["flan"].detail == "no card of that name"


def test_what_gama_is_tested_on_and_made_of(root: Path) -> None:
    found = found_in(root, "gama")
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
    finding = check_card(root, card, splits=("train",))
    assert (finding.status, finding.detail) == ("present", "imported, 2 rows, no official count of train")
    finding = check_card(root, card, splits=("train", "test"))
    assert (finding.status, finding.detail) == ("wrong", "imported without the split test")


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
    assert (finding.status, finding.detail) == ("wrong", "5 audio files of 900 (test)")
    assert "allow_missing" in finding.next
    finding = check_card(root, card, allow_missing=True)
    assert finding.status == "present"
    assert finding.detail == "5 audio files of 900 (test); what is missing is left out and listed"
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
    assert (finding.status, finding.detail) == (
        "wrong",
        "2 rows of test imported, 0 left out; officially 400",
    )
    notes = {"missing": [str(i) for i in range(398)]}
    write_dataset(into, rows, features=COMPARISON, split="test", info=info, notes=notes)
    assert check_card(root, card).detail == "imported, 2 of 400 rows of test, 398 left out"
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
    finding = check_checkpoint(root, CHECKPOINTS["google/flan-t5-large"])
    assert finding.status == "missing"
    assert finding.detail.endswith("; in the Hub's cache, where no stage looks")


def test_the_machine_and_the_profile(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(root)
    (root / "projects" / "toy" / "conf" / "paper.yaml").unlink()
    monkeypatch.setitem(doctor.FREE_GB, "paper", 1e9)
    monkeypatch.setattr(machine, "_unwritable", lambda folder: "cannot write there (Read-only file system)")
    found = found_in(root, "toy")
    assert found["disk"].status == "missing"
    assert found["projects/toy/conf/paper.yaml"].detail == "not there; profiles here: mini, recorded"
    assert found["shared_data/conf/paper.yaml"].status == "present"
    assert found["write to shared_data"].status == "wrong"
    assert found["device"].detail


def test_the_recorded_bank(root: Path) -> None:
    lists = Path(__file__).parents[3] / "shared_data" / "recorded"
    shutil.copytree(lists, root / "shared_data" / "recorded")
    recordings = read_recordings(lists)
    finding = found_in(root, "compa", "recorded")["recorded bank"]
    assert finding.status == "missing"
    assert finding.detail.startswith(f"{len(recordings)} of {len(recordings)} recordings not there, of ")
    assert finding.next == "nox -s recorded"
    for recording in recordings:
        path = root / "shared_data" / "raw" / "debian" / "unpacked" / recording.package / recording.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert found_in(root, "compa", "recorded")["recorded bank"].status == "present"


def test_questions_that_cannot_be_answered(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DoctorError, match=r"no paper 'compo'.*there is compa, gama, mmau"):
        diagnose(root, "compo", profile="mini")
    assert main(["compo"], root=root) == 2
    (root / "params.yaml").write_text("nothing: here\n")
    assert main(["compa"], root=root) == 2
    assert "names no profile; pass --profile" in capsys.readouterr().err
    (root / "projects" / "compa" / "paper.yaml").write_text("a: [")
    with pytest.raises(DoctorError, match="not readable as YAML"):
        diagnose(root, "compa", profile="mini")

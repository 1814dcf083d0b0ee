"""The arithmetic of disk and memory, against the modules themselves and against loops of the tests' own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from core.adapters.lora import add_lora
from core.adapters.prefix_lm import Features
from core.adapters.qformer import AudioQFormer, QFormerShape
from core.audio.mel import KaldiFbank, WhisperMel
from core.audio_lm.branches import BRANCHES, Bridge
from core.audio_lm.features import write_set
from core.data import model_sizes as sizes
from core.data.cards import CHECKPOINTS
from core.data.inputs import reading_of, work_of
from core.data.needs import Need, Plan, data_needs, size_of
from core.data.needs_training import checkpoint_needs, memory_needs
from core.encoders.ast import AstEncoder, AstShape, encode_long, make_ast
from core.encoders.clap import AudioTower, TextTower
from core.encoders.clap_folder import FrontEnd, Shape, make_model
from core.encoders.whisper import WhisperFeatures, WhisperShape, hear_long, make_whisper
from tests.core.data.doctor_world import describe

WIDTHS = {"ast": 24, "clap": 16, "listener": 40}
LM = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
}
SMALL: dict[str, Any] = {
    "qformer": {"hidden_size": 24, "layers": 3, "heads": 4, "intermediate_size": 36, "queries": 5},
    "aggregator_heads": 4,
    "aggregator_intermediate": 36,
    "clap_tokens": 7,
}


def plan_of(root: Path, paper: str) -> Plan:
    work = work_of(root, paper, profile="paper")
    return Plan(root=root, profile="paper", work=work, reading=reading_of(work, paper=paper))


def part(needs: list[Need], name: str) -> dict[str, Need]:
    return {need.what: need for need in needs if need.part == name}


def values(module: torch.nn.Module) -> dict[str, int]:
    return {name: value.numel() for name, value in module.named_parameters()}


@pytest.mark.parametrize("name", list(BRANCHES))
def test_a_branch_has_the_parameters_of_its_module(name: str) -> None:
    bridge = Bridge(**{**SMALL, "qformer": QFormerShape(**SMALL["qformer"])})
    width = sum(WIDTHS[encoder] for encoder in BRANCHES[name].encoders)
    made = BRANCHES[name].build(width, 32, bridge)
    assert sizes.branch_sizes(name, widths=WIDTHS, out=32, bridge=SMALL) == values(made)


def test_a_row_trains_its_branches_lora_and_soft_prompt() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    lm = LlamaForCausalLM(LlamaConfig(**LM))
    assert sizes.lm_parameters(LM) == sum(values(lm).values())
    adapted = add_lora(lm, targets=("q_proj", "v_proj", "down_proj"))
    lora = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    bridge = {**SMALL, "lora_targets": ("q_proj", "v_proj", "down_proj")}
    row = sizes.row_sizes(["last_layer"], widths=WIDTHS, lm=LM, bridge=bridge, soft_prompt=True)
    assert sizes.matching(row, ["*lora_*"]) == lora
    assert sizes.matching(row, ["soft_prompt.*"]) == 32
    assert sizes.matching(row, ["branches.*projector*"]) == 24 * 32 + 32 + 32 * 32 + 32
    with pytest.raises(KeyError):
        sizes.row_sizes(["cross"], widths=WIDTHS, lm=LM, bridge={}, soft_prompt=False)


def test_published_sizes() -> None:
    llama = sizes.SHAPES["meta-llama/Llama-2-7b-hf"]
    assert sizes.lm_parameters(llama) == 6_738_415_616
    row = sizes.row_sizes([], widths={}, lm=llama, bridge={}, soft_prompt=False)
    assert sum(row.values()) == 4_194_304  # the paper's 4.2 M
    shape = sizes.SHAPES["MIT/ast-finetuned-audioset-10-10-0.4593"]
    assert (shape["hidden_size"], shape["time_stride"]) == (AstShape().hidden_size, AstShape().time_stride)


def test_clap_and_q_former_are_counted_on_their_modules() -> None:
    shape: dict[str, Any] = {
        "front_end": {},
        "audio": {"patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [1, 2]},
        "text": {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 20, "num_layers": 2, "num_heads": 4},
        "joint_dim": 12,
    }
    tower = {name: tuple(v) if isinstance(v, list) else v for name, v in shape["audio"].items()}
    made = make_model(
        Shape(front_end=FrontEnd(), audio=AudioTower(**tower), text=TextTower(**shape["text"]), joint_dim=12)
    )
    assert sizes.clap_sizes(shape) == values(made)
    former = AudioQFormer(QFormerShape(**SMALL["qformer"]))
    assert sizes.former_sizes(SMALL["qformer"], text=True) == values(former)
    former.drop_text()
    assert sizes.former_sizes(SMALL["qformer"], text=False) == values(former)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.7, 10.0, 22.5])
def test_features_take_the_bytes_that_are_written(tmp_path: Path, seconds: float) -> None:
    """An AST and a Whisper of published frames and strides, but narrow, hear noise: files are measured."""
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, round(seconds * 16_000)).astype(np.float32)
    shape = AstShape(hidden_size=8, layers=2, heads=2, intermediate_size=8, labels=("a", "b"))
    ast = AstEncoder(make_ast(shape, seed=0), taps=(2, 1))
    heard = encode_long(ast, [wave], KaldiFbank(), items=["x"])
    listener = WhisperFeatures(
        make_whisper(
            WhisperShape(hidden_size=8, layers=1, heads=2, intermediate_size=8, n_mels=80, max_frames=3000),
            seed=0,
        ),
        pool=2,
    )
    said = hear_long(listener, [wave], WhisperMel(n_mels=80, max_seconds=30.0), items=["x"])
    written = {
        "ast": Features(torch.stack(heard.features, dim=2).float(), heard.mask),
        "whisper": Features(said.features.float(), said.mask),
    }
    given: Mapping[str, Mapping[str, Any]] = {"ast": {"taps": (2, 1)}, "whisper": {"pool": 2}}
    for kind, features in written.items():
        with write_set(tmp_path / kind) as writer:
            writer.append(["x"], features)
        made = sizes.feature_values(
            kind, seconds, shape={"hidden_size": 8, "time_stride": 10, "d_model": 8}, options=given[kind]
        )
        assert made is not None
        stored = np.load(tmp_path / kind / "values.npy")
        assert (stored.size, stored.itemsize) == (made[0], sizes.HALF), (kind, made)


def test_what_a_layer_keeps_for_its_backward_pass() -> None:
    """Measured on two layers less one, in the proportions of LLaMA-2 at an eighth of its width."""
    from transformers import LlamaConfig, LlamaForCausalLM

    lm = {"hidden_size": 512, "intermediate_size": 1376}
    kept = []
    for layers in (1, 2):
        model = LlamaForCausalLM(
            LlamaConfig(**lm, num_hidden_layers=layers, num_attention_heads=4, vocab_size=64)
        ).to(torch.bfloat16)
        model.requires_grad_(False)
        own = {p.data_ptr() for p in model.parameters()}
        adapted = add_lora(model).train()
        own |= {p.data_ptr() for p in adapted.parameters()}
        start = torch.randn(1, 32, 512, dtype=torch.bfloat16, requires_grad=True)
        seen: dict[int, int] = {}

        def pack(tensor: torch.Tensor, seen: dict[int, int] = seen, own: set[int] = own) -> torch.Tensor:
            if tensor.untyped_storage().data_ptr() not in own:
                seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16),
        ):
            adapted(inputs_embeds=start, use_cache=False).logits.float().sum()
        kept.append(sum(seen.values()) / 32)
    assert kept[1] - kept[0] == pytest.approx(sizes.saved_values(lm) * sizes.HALF, rel=0.05)


def test_gamas_features_at_the_sizes_of_its_sets(tmp_path: Path) -> None:
    """Summed by hand: clips, seconds, AST's 3 x 768 values a tenth of a second, Whisper's 1280 a 25th."""
    train = {
        "audiocaps": (49_838, 10), "clotho": (3_839, 22.5), "vggsound": (183_971, 10),
        "fsd50k": (36_796, 7.6), "nsynth": (289_205, 4), "clothoaqa": (7_043, 22.5), "compa_r": (62_613, 10),
    }  # fmt: skip
    test = {
        "esc50": (2_000, 5), "dcase2017": (1_103, 10), "vocalsound": (3_594, 4.2), "tut2017": (1_620, 10),
        "beijing_opera": (236, 1.5), "vggsound": (15_496, 10), "fsd50k": (10_231, 7.6), "nsynth": (4_096, 4),
        "gtzan": (1_000, 30), "medley_solos": (12_236, 3), "audioset": (20_371, 10), "audiocaps": (975, 10),
        "clotho": (1_045, 22.5), "clothoaqa": (2_838, 22.5), "compa_r": (500, 10),
    }  # fmt: skip
    seconds = sum(clips * each for sets in (train, test) for clips, each in sets.values())
    needs = data_needs(plan_of(describe(tmp_path), "gama"))
    ast, listener = (
        sum(need.bytes for need in part(needs, f"features of {name}").values())
        for name in ("ast", "listener")
    )
    assert ast == pytest.approx(seconds * 10 * 3 * 768 * 2, rel=0.01)
    assert listener == pytest.approx(seconds * 25 * 1280 * 2, rel=0.01)
    assert 560e9 < ast + listener < 600e9
    unknown = part(needs, "features of ast")["openaqa train"]
    assert (unknown.bytes, unknown.unknown) == (0.0, "no official count")


def test_counts_follow_what_is_imported(tmp_path: Path) -> None:
    root = describe(tmp_path)
    folder = root / "shared_data" / "datasets" / "paper"
    for name, counts in {"audiocaps": {"train": 40_000, "test": 900}, "openaqa": {"train": 1_000}}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "info.json").write_text(json.dumps({"counts": counts, "notes": {}}))
    found = part(data_needs(plan_of(root, "gama")), "features of ast")
    assert found["audiocaps train"].bytes == 40_000 * 100 * 3 * 768 * 2
    assert found["openaqa train"].bytes == 1_000 * 100 * 3 * 768 * 2
    assert found["openaqa test"].unknown


def test_shapes_follow_config_json_and_the_configuration(tmp_path: Path) -> None:
    root = describe(tmp_path)
    card = CHECKPOINTS["openai/whisper-large-v2"]
    (root / card.folder).mkdir(parents=True)
    (root / card.folder / "config.json").write_text(json.dumps({"d_model": 384}))
    file = root / "projects" / "gama" / "conf" / "paper.yaml"
    conf = yaml.safe_load(file.read_text())
    conf["features"]["variants"]["ast"]["options"]["taps"] = [12]
    conf["features"]["variants"]["listener"]["options"]["pool"] = 10
    file.write_text(yaml.safe_dump(conf))
    needs = data_needs(plan_of(root, "gama"))
    assert part(needs, "features of ast")["audiocaps test"].bytes == 975 * 100 * 768 * 2
    assert part(needs, "features of listener")["audiocaps test"].bytes == 975 * 50 * 384 * 2
    assert part(needs, "public checkpoints")[card.name].there == size_of(root / card.folder) > 0


def test_compas_disk_by_hand(tmp_path: Path) -> None:
    plan = plan_of(describe(tmp_path), "compa")
    needs = data_needs(plan)
    official = part(needs, "official audio")
    assert official["clotho train+test"].bytes == (3_839 + 1_045) * 22.5 * 44_100 * 2
    imported = part(needs, "imported Parquet")
    assert imported["esc50 test"].bytes == pytest.approx(2_000 * 5 * 48_000 * 2 * 0.6)
    assert part(needs, "bank")["segments"].bytes == pytest.approx(447 * 50 * 3 * 48_000 * 2 * 0.6)
    tests = 900 + 400 + 975 + 1_045 + 2_000 + 8_732 + 15_496 + 10_231
    (prepared,) = part(needs, "prepared features").values()
    assert prepared.bytes == tests * 4 * 1_001 * 64 * 4
    whole = 370_224_073
    made = part(list(checkpoint_needs(plan)), "checkpoints of compa")
    assert made["init"].bytes == 4 * whole
    assert made["train@vanilla"].bytes == 3 * (4 * whole + 2 * 12 * whole)  # weights; two steps with Adam
    assert 3 * 4 * whole < made["train@compa_clap"].bytes < 3 * (4 * whole + 2 * 12 * whole / 10)
    assert len(made) == 8
    assert all(need.cached for need in (*made.values(), *imported.values(), prepared))


def test_gamas_checkpoints_and_memory(tmp_path: Path) -> None:
    plan = plan_of(describe(tmp_path), "gama")
    made = part(list(checkpoint_needs(plan)), "checkpoints of gama")
    assert set(made) >= {"pretrain", "train@gama", "train@text_only", "tune@gama_it", "tune@it_wo_qformer"}
    lora = 4_194_304
    # four phases and the end; the first trains no LoRA
    assert made["train@text_only"].bytes == 5 * lora * 4 + 3 * 2 * lora * 12
    former, aggregator = 119_196_672, 38_837_760
    whole = former + aggregator + lora
    first = aggregator + 768 * 4096 + 4096 + 4096 * 4096 + 4096  # the aggregator, and the other's projector
    assert made["train@gama"].bytes == 5 * whole * 4 + 2 * (first + 3 * whole) * 12
    assert made["tune@gama_it"].bytes == 2 * (whole + 4096) * 4 + 2 * (lora + 4096) * 12
    memory = {need.what: need for need in memory_needs(plan)}
    assert memory["bank"].bytes == 447 * 50 * 3 * 48_000 * 4
    assert memory["pretrain: language model"].bytes == 6_738_415_616 * 2  # bfloat16
    kept = next(need for what, need in memory.items() if what.endswith("all kept"))
    assert kept.bytes == 32 * (250 + 108) * 32 * (12 * 4096 + 4 * 11_008) * 2
    spared = next(need for what, need in memory.items() if what.endswith("checkpointing"))
    assert spared.bytes < kept.bytes / 10

"""Starting from a BERT: the text branch is then BERT, everything is accounted for, misfits are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertForPreTraining, BertModel

from core.adapters.bert_start import TextTowerMismatch, copy_text_tower, from_text_tower
from core.adapters.qformer import AudioQFormer, QFormerShape

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "initializer_range": 0.3,
    "pad_token_id": 3,
}


def shuffle(model: torch.nn.Module) -> None:
    """Every weight gets a value of its own: fresh norms and biases are 1 and 0 in any checkpoint."""
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.2 * torch.randn_like(value))


@pytest.fixture
def tower(tmp_path: Path) -> BertModel:
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES)).eval()
    shuffle(model)
    model.save_pretrained(tmp_path)
    return model


@pytest.fixture
def text() -> tuple[Tensor, Tensor]:
    mask = torch.arange(6) < torch.tensor((6, 4, 1))[:, None]
    return torch.randint(4, 40, (3, 6)).masked_fill(~mask, 3), mask


def hidden(model: AudioQFormer, ids: Tensor, mask: Tensor) -> Tensor:
    """States of the text branch alone."""
    states: list[Tensor] = []
    handle = model.layers.register_forward_hook(lambda _, __, out: states.append(out.last_hidden_state))
    model.text_embeddings(ids, mask)
    handle.remove()
    return states[0]


def test_the_text_branch_is_then_bert(tower: BertModel, tmp_path: Path, text: tuple[Tensor, Tensor]) -> None:
    ids, mask = text
    model, copied = from_text_tower(tmp_path, feature_size=10, queries=3, joint_size=8)
    assert model.shape.pad_id == 3
    theirs = tower(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(hidden(model.eval(), ids, mask)[mask], theirs[mask])
    for layer in model.layers.encoder.layer:
        assert torch.equal(layer.intermediate.dense.weight, layer.intermediate_query.dense.weight)
        assert torch.equal(layer.output.LayerNorm.bias, layer.output_query.LayerNorm.bias)
    words = model.text["embeddings"].word_embeddings.weight
    assert torch.equal(words[:40], tower.embeddings.word_embeddings.weight)
    assert words.shape == (41, 16)
    assert copied.left == ("pooler.dense.bias", "pooler.dense.weight")


def test_the_report_names_every_parameter_once(tower: BertModel, tmp_path: Path) -> None:
    model, copied = from_text_tower(tmp_path, feature_size=10)
    names = {name for name, _ in model.named_parameters()}
    assert set(copied.copied) | set(copied.fresh) == names
    assert len(copied.copied) + len(copied.fresh) == len(names)
    kinds = {name.split(".")[0] for name in copied.fresh}
    assert kinds == {"feature_norm", "queries", "log_scale", "lm_bias", "layers", "text"}
    assert all("crossattention" in n for n in copied.fresh if n.startswith("layers."))
    printed = str(copied)
    assert "layers.encoder.layer.*.crossattention.attention.query.weight" in printed
    assert "left 2 (pooler.dense.bias, pooler.dense.weight)" in printed


def test_a_checkpoint_with_a_language_model_head(tmp_path: Path) -> None:
    """google-bert/bert-base-uncased: the names begin with bert., its norms say gamma and beta."""
    torch.manual_seed(0)
    tower = BertForPreTraining(BertConfig(**SIZES)).eval()
    shuffle(tower)
    tower.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    old = {
        k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for k, v in load_file(path).items()
    }
    save_file(old, path, metadata={"format": "pt"})
    model, copied = from_text_tower(tmp_path, feature_size=10)
    head, mlm = model.text["lm_transform"], tower.cls.predictions
    states = torch.randn(2, 16)
    torch.testing.assert_close(head.eval()(states), mlm.transform(states))
    assert torch.equal(model.lm_bias[:40], mlm.bias)
    assert "lm_bias" in copied.copied
    assert not any("LayerNorm" in name for name in copied.fresh if "crossattention" not in name)
    assert all(
        n.startswith(("pooler", "cls.seq_relationship", "cls.predictions.decoder")) for n in copied.left
    )


def test_fewer_layers_and_positions_are_allowed_and_reported(tower: BertModel, tmp_path: Path) -> None:
    shape = QFormerShape(
        feature_size=10,
        hidden_size=16,
        layers=1,
        heads=2,
        intermediate_size=24,
        vocab_size=40,
        max_tokens=5,
        joint_size=8,
    )
    model = AudioQFormer(shape)
    copied = copy_text_tower(model, tmp_path)
    assert any(name.startswith("encoder.layer.1.") for name in copied.left)
    positions = tower.embeddings.position_embeddings.weight + tower.embeddings.token_type_embeddings.weight[0]
    torch.testing.assert_close(model.text["embeddings"].position_embeddings.weight, positions[:5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 32}, "hidden_size: 16, not 32"),
        ({"heads": 4}, "num_attention_heads: 2, not 4"),
        ({"vocab_size": 41}, "vocab_size: 40, not 41"),
        ({"intermediate_size": 32}, "intermediate_size: 24, not 32"),
        ({"max_tokens": 13}, "12 < 13"),
    ],
)
def test_other_sizes_are_refused_and_nothing_is_copied(
    tower: BertModel, tmp_path: Path, change: dict[str, int], message: str
) -> None:
    sizes = {"hidden_size": 16, "heads": 2, "vocab_size": 40, "intermediate_size": 24, "max_tokens": 12}
    model = AudioQFormer(QFormerShape(feature_size=10, layers=2, joint_size=8, **{**sizes, **change}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(TextTowerMismatch, match=message):
        copy_text_tower(model, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_missing_files_and_other_models_are_named(tower: BertModel, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        from_text_tower(tmp_path / "nowhere", feature_size=10)
    config = json.loads((tmp_path / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        from_text_tower(other, feature_size=10)
    save_file({"visual.weight": torch.zeros(2)}, other / "model.safetensors")
    with pytest.raises(TextTowerMismatch, match=r"no weight of a BERT encoder.*visual"):
        from_text_tower(other, feature_size=10)
    (other / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}))
    with pytest.raises(TextTowerMismatch, match="roberta"):
        from_text_tower(other, feature_size=10)


def test_pytorch_files_are_read_too(tower: BertModel, tmp_path: Path) -> None:
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    first, _ = from_text_tower(tmp_path, feature_size=10)
    (tmp_path / "model.safetensors").unlink()
    second, copied = from_text_tower(tmp_path, feature_size=10)
    values = dict(second.named_parameters())
    for name, value in first.named_parameters():
        if name in copied.copied:
            rows = 40 if "word_embeddings" in name else None  # the 41st starts generated texts and is fresh
            assert torch.equal(value[:rows], values[name][:rows]), name

"""The Q-Former: parity with `transformers`' BLIP-2, what each pass may see, windows, what is left of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Blip2Config, Blip2ForImageTextRetrieval, Blip2QFormerConfig

from core.adapters.qformer import AudioQFormer, QFormerShape

SHAPE = QFormerShape(
    feature_size=10,
    queries=3,
    hidden_size=16,
    layers=3,
    heads=2,
    intermediate_size=24,
    vocab_size=30,
    max_tokens=12,
    joint_size=8,
    dropout=0.1,  # the tests run in eval mode: it must be off there
    initializer_range=0.3,
)
LENGTHS = (6, 4, 2)


@pytest.fixture
def model() -> AudioQFormer:
    torch.manual_seed(0)
    return AudioQFormer(SHAPE).eval()


@pytest.fixture
def features() -> Tensor:
    return torch.randn(3, 7, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def text() -> tuple[Tensor, Tensor]:
    ids = torch.randint(1, 30, (3, 6), generator=torch.Generator().manual_seed(2))
    mask = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    return ids.masked_fill(~mask, 0), mask


class Eye(nn.Module):
    """Stands in for the vision model: hands over the features it was made with."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, **_: object) -> tuple[Tensor]:
        return (self.features,)


def blip2(model: AudioQFormer, features: Tensor) -> Blip2ForImageTextRetrieval:
    """The class of `transformers` with the weights of ours, looking at `features`."""
    config = Blip2Config(
        vision_config={"hidden_size": 10, "intermediate_size": 8, "num_hidden_layers": 1}
        | {"num_attention_heads": 2, "image_size": 4, "patch_size": 2},
        qformer_config=Blip2QFormerConfig(**{**model.layers.config.to_dict(), "vocab_size": 31}).to_dict(),
        num_query_tokens=3,
        image_text_hidden_size=8,
    )
    theirs = Blip2ForImageTextRetrieval(config).eval()
    assert model.text is not None
    theirs.qformer.load_state_dict(model.layers.state_dict())
    theirs.embeddings.load_state_dict(model.text["embeddings"].state_dict())
    theirs.vision_projection.load_state_dict(model.text["audio_head"].state_dict())
    theirs.text_projection.load_state_dict(model.text["text_head"].state_dict())
    theirs.itm_head.load_state_dict(model.text["matching_head"].state_dict())
    theirs.query_tokens.data.copy_(model.queries)
    theirs.vision_model = Eye(model.feature_norm(features))
    return theirs


def test_contrastive_parity_with_blip2(
    model: AudioQFormer, features: Tensor, text: tuple[Tensor, Tensor]
) -> None:
    ids, mask = text
    out = blip2(model, features)(pixel_values=torch.zeros(3, 3, 4, 4), input_ids=ids, attention_mask=mask)
    audio, words = model.audio_embeddings(model(features)), model.text_embeddings(ids, mask)
    ours = torch.einsum("iqd,jd->ijq", audio, words).amax(dim=2)
    torch.testing.assert_close(ours, out.logits_per_image)
    torch.testing.assert_close(audio.norm(dim=-1), torch.ones(3, 3))


def test_matching_parity_with_blip2(
    model: AudioQFormer, features: Tensor, text: tuple[Tensor, Tensor]
) -> None:
    ids, mask = text
    theirs = blip2(model, features)
    if theirs.config.image_token_index is not None:  # else they expect place holders in the text
        theirs.config.image_token_index = None
    out = theirs(
        pixel_values=torch.zeros(3, 3, 4, 4),
        input_ids=ids,
        attention_mask=mask.long(),
        use_image_text_matching_head=True,
    )
    torch.testing.assert_close(model.match_logits(features, None, ids, mask), out.logits_per_image)


def test_shape_and_cross_attention_in_every_second_layer(model: AudioQFormer, features: Tensor) -> None:
    assert model(features).shape == (3, 3, 16)
    assert [layer.has_cross_attention for layer in model.layers.encoder.layer] == [True, False, True]


def test_padded_frames_change_nothing(model: AudioQFormer, features: Tensor) -> None:
    mask = torch.arange(7) < torch.tensor([7, 5, 1])[:, None]
    together = model(features, mask)
    for index, length in enumerate((7, 5, 1)):
        torch.testing.assert_close(together[index], model(features[index : index + 1, :length])[0])


def test_padded_text_changes_nothing(
    model: AudioQFormer, features: Tensor, text: tuple[Tensor, Tensor]
) -> None:
    ids, mask = text
    other = torch.where(mask, ids, 7)
    for run in (
        model.text_embeddings,
        lambda i, m: model.match_logits(features, None, i, m),
        lambda i, m: model.next_token_logits(features, None, i, m)[mask],
    ):
        torch.testing.assert_close(run(ids, mask), run(other, mask))
    torch.testing.assert_close(
        model.text_embeddings(ids, mask)[2:], model.text_embeddings(ids[2:, :2], mask[2:, :2])
    )
    torch.testing.assert_close(
        model.match_logits(features, None, ids, mask)[2:],
        model.match_logits(features[2:], None, ids[2:, :2], mask[2:, :2]),
    )


def test_generation_sees_audio_and_earlier_tokens_only(
    model: AudioQFormer, features: Tensor, text: tuple[Tensor, Tensor]
) -> None:
    ids, mask = text[0][:1], torch.ones(1, 6, dtype=torch.bool)
    before = model.next_token_logits(features[:1], None, ids, mask)
    assert before.shape == (1, 6, 31)
    for place in range(1, 6):
        changed = ids.clone()
        changed[0, place] = (ids[0, place] + 5) % 29 + 1
        moved = (model.next_token_logits(features[:1], None, changed, mask) - before).abs().amax(dim=2)[0]
        assert (moved[:place] < 1e-5).all(), f"places before {place} saw it"
        assert (moved[place:] > 1e-4).all(), f"places from {place} on did not see it"
    moved = (model.next_token_logits(features[1:2], None, ids, mask) - before).abs().amax(dim=2)[0]
    assert (moved > 1e-4).all()


def test_queries_do_not_see_the_text_they_generate(model: AudioQFormer, features: Tensor) -> None:
    """Or the text would see its own future through them: their states are those of audio alone."""
    states: list[Tensor] = []
    model.layers.register_forward_hook(lambda _, __, out: states.append(out.last_hidden_state[:, :3]))
    ids = torch.randint(1, 30, (3, 6))
    model.next_token_logits(features, None, ids, torch.ones_like(ids, dtype=torch.bool))
    model.match_logits(features, None, ids, torch.ones_like(ids, dtype=torch.bool))
    generating, matching = states
    torch.testing.assert_close(generating, model(features))
    assert (matching - generating).abs().amax() > 1e-3


def test_generation_starts_with_its_own_token(model: AudioQFormer, features: Tensor) -> None:
    ids, mask = torch.randint(1, 30, (3, 4)), torch.ones(3, 4, dtype=torch.bool)
    other = ids.clone()
    other[:, 0] = 5
    kept = other.clone()
    logits = [model.next_token_logits(features, None, x, mask) for x in (ids, other)]
    torch.testing.assert_close(logits[0], logits[1])
    assert torch.equal(other, kept)
    with torch.no_grad():
        model.text["embeddings"].word_embeddings.weight[model.decode_id] *= -1.0
    assert (model.next_token_logits(features, None, ids, mask) - logits[0]).abs().amax() > 1e-3


def test_output_weights_are_the_word_embeddings(model: AudioQFormer, features: Tensor) -> None:
    words = model.text["embeddings"].word_embeddings.weight
    ids, mask = torch.full((3, 2), 4), torch.ones(3, 2, dtype=torch.bool)
    model.next_token_logits(features, None, ids, mask)[..., 20].sum().backward()
    assert words.grad[20].abs().sum() > 0  # 20 is never read, only scored


def test_text_is_blind_in_the_contrastive_pass(
    model: AudioQFormer, features: Tensor, text: tuple[Tensor, Tensor]
) -> None:
    ids, mask = text
    features.requires_grad_()
    words, audio = model.text_embeddings(ids, mask), model.audio_embeddings(model(features))
    (gradient,) = torch.autograd.grad(words.sum(), [features, model.queries], allow_unused=True)[:1]
    assert gradient is None
    (gradient,) = torch.autograd.grad(
        audio.sum(), model.text["embeddings"].word_embeddings.weight, allow_unused=True
    )
    assert gradient is None


def test_windows_are_the_queries_of_each_window_in_order(model: AudioQFormer, features: Tensor) -> None:
    windows = model.windowed(features, window=3)
    assert windows.values.shape == (3, 9, 16)
    assert windows.mask.all()
    for number, part in enumerate((features[:, :3], features[:, 3:6], features[:, 6:])):
        torch.testing.assert_close(windows.values[:, 3 * number : 3 * number + 3], model(part))


def test_windows_beyond_an_item_are_masked(model: AudioQFormer, features: Tensor) -> None:
    mask = torch.arange(7) < torch.tensor([7, 4, 3])[:, None]
    windows = model.windowed(features, mask, window=3)
    assert windows.mask.sum(dim=1).tolist() == [9, 6, 3]
    assert windows.values.isfinite().all()
    torch.testing.assert_close(windows.values[1, 3:6], model(features[1:2, 3:4])[0])
    torch.testing.assert_close(windows.values[2, :3], model(features[2:3, :3])[0])


def test_windows_may_overlap_but_leave_nothing_out(model: AudioQFormer, features: Tensor) -> None:
    windows = model.windowed(features, window=4, stride=2)
    assert windows.values.shape[1] == 3 * 3  # frames 0-3, 2-5, 4-6
    torch.testing.assert_close(windows.values[:, 6:], model(features[:, 4:]))
    torch.testing.assert_close(model.windowed(features, window=9).values, model(features))
    features.requires_grad_()
    model.windowed(features, window=4, stride=3).values.pow(3).sum().backward()
    assert (features.grad.abs().sum(dim=2) > 0).all()
    for window, stride in ((3, 4), (0, None), (3, 0)):
        with pytest.raises(ValueError, match="stride"):
            model.windowed(features, window=window, stride=stride)


def test_without_text_the_queries_stay_the_same(model: AudioQFormer, features: Tensor) -> None:
    before = model(features)
    assert model.logit_scale.item() == pytest.approx(1 / 0.07)
    model.drop_text()
    torch.testing.assert_close(model(features), before, rtol=0, atol=0)
    loss = model(features).pow(3).sum()
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []  # nothing unused is left
    for use in (model.drop_text, lambda: model.logit_scale, lambda: model.audio_embeddings(before)):
        with pytest.raises(ValueError, match="dropped"):
            use()


def test_every_weight_has_a_use_in_pre_training(
    model: AudioQFormer, features: Tensor, text: tuple[Tensor, Tensor]
) -> None:
    ids, mask = text
    audio, words = model.audio_embeddings(model(features)), model.text_embeddings(ids, mask)
    loss = (
        model.logit_scale * (audio.sum() + words.sum()) + model.match_logits(features, None, ids, mask).sum()
    )
    (loss + model.next_token_logits(features, None, ids, mask).pow(2).sum()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_temperature_is_limited_and_can_come_back(model: AudioQFormer) -> None:
    model.log_scale.data.fill_(math.log(100) + 1)
    assert model.logit_scale.item() == pytest.approx(100, rel=1e-5)
    model.logit_scale.backward()
    assert model.log_scale.grad.item() > 0


def test_queries_differ_at_the_start(model: AudioQFormer, features: Tensor) -> None:
    """Zeros, with which `transformers` starts them, would stay alike for ever."""
    out = model(features)
    assert (out[:, 0] - out[:, 1]).abs().amax() > 1e-3


def test_refuses_what_does_not_fit(model: AudioQFormer, features: Tensor) -> None:
    ids, mask = torch.ones(3, 4, dtype=torch.long), torch.ones(3, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\(B, T, 10\)"):
        model(features[..., :9])
    with pytest.raises(ValueError, match=r"\(B, T, 10\)"):
        model(features[:, :0])
    with pytest.raises(ValueError, match="does not go with"):
        model(features, mask)
    with pytest.raises(ValueError, match=r"items \[0, 2\]"):
        model(features, torch.tensor([[False] * 7, [True] * 7, [False] * 7]))
    with pytest.raises(ValueError, match="12 positions"):
        model.text_embeddings(torch.ones(1, 13, dtype=torch.long), torch.ones(1, 13))
    with pytest.raises(ValueError, match="on the right"):
        model.text_embeddings(ids, torch.tensor([[False, True, True, True]] * 3))
    with pytest.raises(ValueError, match="must be"):
        model.text_embeddings(ids, mask[:, :3])
    with pytest.raises(ValueError, match="2 audios and 3 texts"):
        model.match_logits(features[:2], None, ids, mask)


def test_batches_of_half_precision_run_under_autocast(model: AudioQFormer, features: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(features)
    assert F.cosine_similarity(out.float().flatten(), model(features).flatten(), dim=0) > 0.99


def test_full_size_is_blip2s() -> None:
    """BLIP-2 prints 188 M for its Q-Former, with features of 1408: as far as three figures go, so is this."""
    with torch.device("meta"):
        model = AudioQFormer(replace(QFormerShape(), feature_size=1408))
    total = sum(p.numel() for p in model.parameters())
    assert total / 1e6 == pytest.approx(188, abs=1.5)

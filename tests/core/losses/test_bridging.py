"""Pre-training losses of a Q-Former: closed forms, what counts as a negative, one batch on two processes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor

from core.adapters.qformer import AudioQFormer, QFormerShape
from core.losses.bridging import (
    bridging_losses,
    contrastive_loss,
    generation_loss,
    hard_negatives,
    same_captions,
)

B, Q, D, S = 6, 3, 5, 7.0
INF = math.inf


def units(*shape: int, seed: int) -> Tensor:
    values = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return F.normalize(values, dim=-1)


def shape() -> QFormerShape:
    return QFormerShape(
        feature_size=8,
        queries=4,
        hidden_size=32,
        layers=2,
        heads=2,
        intermediate_size=48,
        vocab_size=20,
        max_tokens=8,
        joint_size=16,
        dropout=0.0,
        initializer_range=0.2,  # with 0.02 at this width, matching stays at the share of pairs for long
    )


@pytest.fixture
def model() -> AudioQFormer:
    torch.manual_seed(0)
    return AudioQFormer(shape())


def batch(size: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Audios whose text of up to five tokens names what is in them."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(2, 20, (size, 6), generator=generator)
    ids[:, 0] = 1
    ids[:, 1] = torch.arange(size) + 2
    mask = torch.arange(6) < torch.randint(3, 7, (size, 1), generator=generator)
    features = torch.randn(size, 5, 8, generator=generator)
    valid = torch.arange(5) < torch.randint(2, 6, (size, 1), generator=generator)
    return features, valid, ids.masked_fill(~mask, 0), mask


# Contrastive


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_contrastive_is_smoothed_cross_entropy_of_the_closest_query(smoothing: float) -> None:
    queries, text = units(B, Q, D, seed=0), units(B, D, seed=1)
    found = contrastive_loss(queries, text, logit_scale=S, label_smoothing=smoothing)
    logits = torch.stack(
        [
            torch.stack([S * max(queries[i, q] @ text[j] for q in range(Q)) for j in range(B)])
            for i in range(B)
        ]
    )
    wanted = sum(F.cross_entropy(x, torch.arange(B), label_smoothing=smoothing) for x in (logits, logits.T))
    torch.testing.assert_close(found.loss, wanted / 2)
    torch.testing.assert_close(found.audio_to_text, logits)
    torch.testing.assert_close(found.text_to_audio, logits.T)


def test_contrastive_by_hand() -> None:
    """Two pairs, cosine 1 with the own text and 0 with the other: log(1 + e^-s) a side."""
    queries = torch.eye(2)[:, None, :].repeat(1, Q, 1)
    found = contrastive_loss(queries, torch.eye(2), logit_scale=2.0, label_smoothing=0.0)
    assert found.loss.item() == pytest.approx(math.log(1 + math.exp(-2.0)))


def test_equal_captions_are_no_negatives_of_each_other() -> None:
    """Audios 0 and 1 share a caption: the loss is as if the other were not there."""
    queries, text = units(B, Q, D, seed=0), units(B, D, seed=1)
    captions = torch.tensor([4, 4, 7, 8, 9, 2])
    found = contrastive_loss(queries, text, logit_scale=S, caption_ids=captions)
    logits = S * torch.einsum("iqd,jd->ijq", queries, text).amax(dim=2)
    rows = []
    for i in range(B):
        kept = [j for j in range(B) if j == i or captions[j] != captions[i]]
        for x in (logits[i, kept], logits.T[i, kept]):
            rows.append(F.cross_entropy(x, torch.tensor(kept.index(i)), label_smoothing=0.1))
    torch.testing.assert_close(found.loss, torch.stack(rows).mean())
    assert [tuple(p) for p in torch.nonzero(found.audio_to_text == -INF).tolist()] == [(0, 1), (1, 0)]


def test_masked_pairs_carry_no_gradient_and_no_nan() -> None:
    queries, text = units(B, Q, D, seed=0).requires_grad_(), units(B, D, seed=1).requires_grad_()
    one = torch.zeros(B, dtype=torch.long)
    loss = contrastive_loss(queries, text, logit_scale=S, caption_ids=one).loss
    assert loss.item() == pytest.approx(0.0)  # nothing left to contrast with
    loss.backward()
    assert queries.grad is not None
    assert queries.grad.abs().sum() == 0
    captions = torch.tensor([0, 0, 1, 2, 3, 4])
    contrastive_loss(queries, text, logit_scale=S, caption_ids=captions).loss.backward()
    assert queries.grad.isfinite().all()
    assert text.grad.isfinite().all()


def test_contrastive_in_half_precision_is_that_of_the_same_numbers_in_float32() -> None:
    queries, text = units(B, Q, D, seed=0).bfloat16(), units(B, D, seed=1).bfloat16()
    half = contrastive_loss(queries, text, logit_scale=100.0).loss
    full = contrastive_loss(queries.float(), text.float(), logit_scale=100.0).loss
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full)


def test_contrastive_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\(B, Q, D\)"):
        contrastive_loss(units(B, D, seed=0), units(B, D, seed=1), logit_scale=S)
    with pytest.raises(ValueError, match="caption_ids"):
        contrastive_loss(
            units(B, Q, D, seed=0), units(B, D, seed=1), logit_scale=S, caption_ids=torch.zeros(2)
        )


# Negatives of matching


def test_negatives_are_never_the_pair_nor_its_caption() -> None:
    captions = torch.tensor([0, 1, 1, 2, 0, 3])
    logits = 20 * torch.eye(B) + 10 * (captions[:, None] == captions)  # the forbidden ones tempt most
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        columns, found = hard_negatives(logits, caption_ids=captions, generator=generator)
        assert found.all()
        assert (captions[columns] != captions).all()
    columns, _ = hard_negatives(logits, generator=generator)
    assert (columns != torch.arange(B)).all()


def test_negatives_are_drawn_from_the_softmax() -> None:
    logits = torch.tensor([[9.0, 0.0, math.log(2), math.log(5)]]).repeat(4, 1)
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([hard_negatives(logits, generator=generator).columns[0] for _ in range(2000)])
    shares = torch.bincount(draws, minlength=4) / 2000
    torch.testing.assert_close(shares, torch.tensor([0.0, 1 / 8, 2 / 8, 5 / 8]), atol=0.04, rtol=0)


def test_negatives_follow_the_seed_and_hardly_the_scale() -> None:
    logits = torch.randn(B, B, generator=torch.Generator().manual_seed(1))
    draws = [hard_negatives(logits, generator=torch.Generator().manual_seed(5)).columns for _ in range(2)]
    assert torch.equal(*draws)
    extreme = hard_negatives(1e4 * logits)  # every other weight underflows
    hardest = logits.masked_fill(torch.eye(B, dtype=torch.bool), -INF).argmax(dim=1)
    assert torch.equal(extreme.columns, hardest)


def test_a_row_without_other_caption_has_no_negative() -> None:
    assert hard_negatives(torch.zeros(3, 3), caption_ids=torch.zeros(3)).found.tolist() == [False] * 3
    logits = torch.zeros(3, 3).masked_fill(torch.tensor([[0, 1, 1], [0, 0, 0], [0, 0, 0]]).bool(), -INF)
    assert hard_negatives(logits).found.tolist() == [False, True, True]
    with pytest.raises(ValueError, match=r"\(B, B\)"):
        hard_negatives(torch.zeros(2, 3))


# Generation


def test_generation_by_hand() -> None:
    """Two texts of three and two tokens: the mean of three cross-entropies, at the places before."""
    logits = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[1, 2, 3], [1, 4, 0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    logp = logits.float().log_softmax(dim=2)
    wanted = -(logp[0, 0, 2] + logp[0, 1, 3] + logp[1, 0, 4]) / 3
    torch.testing.assert_close(generation_loss(logits, ids, mask, label_smoothing=0.0), wanted)
    changed = logits.clone()
    changed[0, 2] = changed[1, 1:] = 50.0  # what follows the last token, and padding
    torch.testing.assert_close(generation_loss(changed, ids, mask, label_smoothing=0.0), wanted)


def test_generation_refuses_texts_of_one_token() -> None:
    ids, mask = torch.ones(2, 3, dtype=torch.long), torch.tensor([[True, False, False]] * 2)
    with pytest.raises(ValueError, match="second token"):
        generation_loss(torch.zeros(2, 3, 5), ids, mask)
    with pytest.raises(ValueError, match=r"\(B, L, V\)"):
        generation_loss(torch.zeros(2, 2, 5), ids, mask)


def test_captions_are_told_apart_by_their_tokens_not_their_padding() -> None:
    ids = torch.tensor([[1, 2, 9], [1, 2, 3], [1, 2, 7], [1, 2, 0]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1]])
    found = same_captions(ids, mask)
    assert (found[:, None] == found).int().tolist() == [
        [1, 0, 1, 0],
        [0, 1, 0, 0],
        [1, 0, 1, 0],
        [0, 0, 0, 1],
    ]


# All three


def test_the_sum_is_weighted_and_pairs_are_one_to_two(model: AudioQFormer) -> None:
    features, valid, ids, mask = batch()
    pairs: list[tuple[Tensor, Tensor]] = []
    match = model.match_logits

    def spy(audio: Tensor, audio_mask: Tensor | None, texts: Tensor, text_mask: Tensor) -> Tensor:
        pairs.append((audio, texts))
        assert audio_mask is not None
        return match(audio, audio_mask, texts, text_mask)

    model.match_logits = spy  # type: ignore[method-assign]
    weights = (0.5, 2.0, 3.0)
    out = bridging_losses(
        model, features, valid, ids, mask, weights=weights, generator=torch.Generator().manual_seed(0)
    )
    parts = torch.stack([out.contrastive, out.matching, out.generation])
    torch.testing.assert_close(out.loss, (torch.tensor(weights) * parts).sum())
    assert out.negatives.item() == 16
    ((audio, texts),) = pairs
    own = [int((features == a).all(dim=(1, 2)).nonzero()) for a in audio]
    told = [int((ids == t).all(dim=1).nonzero()) for t in texts]
    assert own[:8] == told[:8] == list(range(8))
    assert told[8:16] == own[16:] == list(range(8))
    assert all(a != t for a, t in zip(own[8:], told[8:], strict=True))


def test_equal_captions_are_never_told_to_be_a_mismatch(model: AudioQFormer) -> None:
    features, valid, ids, mask = batch()
    ids[1], mask[1] = ids[0], mask[0]
    texts: list[Tensor] = []
    match = model.match_logits

    def spy(audio: Tensor, audio_mask: Tensor | None, said: Tensor, text_mask: Tensor) -> Tensor:
        texts.append(torch.stack([audio[8:, 0, 0], said[8:, 1].float()], dim=1))
        return match(audio, audio_mask, said, text_mask)

    model.match_logits = spy  # type: ignore[method-assign]
    for seed in range(30):
        bridging_losses(model, features, valid, ids, mask, generator=torch.Generator().manual_seed(seed))
    forbidden = {(features[i, 0, 0].item(), ids[0, 1].item()) for i in (0, 1)}
    assert not forbidden & {(a, t) for a, t in torch.cat(texts).tolist()}


def test_a_batch_of_one_caption_counts_no_negative(model: AudioQFormer) -> None:
    features, valid, ids, mask = batch()
    out = bridging_losses(model, features, valid, ids[:1].expand(8, -1), mask[:1].expand(8, -1))
    assert out.negatives.item() == 0
    assert out.contrastive.item() == pytest.approx(0.0, abs=1e-6)
    assert out.loss.isfinite()
    with pytest.raises(ValueError, match="batch of one"):
        bridging_losses(model, features[:1], valid[:1], ids[:1], mask[:1])


def test_padding_of_audio_and_text_changes_no_loss(model: AudioQFormer) -> None:
    features, valid, ids, mask = batch()
    padded = (F.pad(features, (0, 0, 0, 3), value=9.0), F.pad(valid, (0, 3)), F.pad(ids, (0, 2)))
    losses = [
        bridging_losses(model, *x, generator=torch.Generator().manual_seed(0))
        for x in ((features, valid, ids, mask), (*padded, F.pad(mask, (0, 2))))
    ]
    for a, b in zip(*losses, strict=True):
        torch.testing.assert_close(a, b)


def test_all_three_objectives_are_learned(model: AudioQFormer) -> None:
    """Eight audios and their texts, by heart: retrieval, matching and the naming token are right."""
    features, valid, ids, mask = batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    first = None
    for _ in range(90):
        out = bridging_losses(model, features, valid, ids, mask, generator=generator)
        first = first or out
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert first is not None
    assert out.contrastive < 0.6 * first.contrastive
    with torch.inference_mode():
        audio, words = model.audio_embeddings(model(features, valid)), model.text_embeddings(ids, mask)
        similarity = torch.einsum("iqd,jd->ijq", audio, words).amax(dim=2)
        assert similarity.argmax(dim=1).tolist() == list(range(8))
        named = model.next_token_logits(features, valid, ids, mask)[:, 0].argmax(dim=1)
        assert named.tolist() == ids[:, 1].tolist()
        every = torch.cartesian_prod(torch.arange(8), torch.arange(8))
        said = model.match_logits(
            features[every[:, 0]], valid[every[:, 0]], ids[every[:, 1]], mask[every[:, 1]]
        ).argmax(dim=1)
        right = (said == (every[:, 0] == every[:, 1])).float().mean()
        assert right > 0.95  # always "no" scores 7/8


# Two processes


CAPTIONS = torch.tensor([0, 1, 2, 3, 0, 4])  # rows 0 and 4 share one, and live on different processes


def contrastive_gradients(rows: slice) -> tuple[float, list[Tensor]]:
    queries = units(B, Q, D, seed=0)[rows].requires_grad_()
    text = units(B, D, seed=1)[rows].requires_grad_()
    loss = contrastive_loss(queries, text, logit_scale=S, caption_ids=CAPTIONS[rows]).loss
    return loss.item(), list(torch.autograd.grad(loss, [queries, text]))


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(contrastive_gradients(slice(3 * rank, 3 * rank + 3)), f"{folder}/{rank}.pt")
    torch.manual_seed(0)
    model, (features, valid, ids, mask) = AudioQFormer(shape()), batch(6)
    rows = slice(3 * rank, 3 * rank + 3)
    own = (features[rows], valid[rows], ids[rows], mask[rows])
    try:
        bridging_losses(model, *own)
    except ValueError as error:
        Path(folder, f"refused{rank}.txt").write_text(str(error))
    out = bridging_losses(model, *own, caption_ids=CAPTIONS[rows])
    torch.save(out.contrastive.detach(), f"{folder}/contrastive{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one_batch(tmp_path: Path) -> None:
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    loss, gradients = contrastive_gradients(slice(None))
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    assert sum(value for value, _ in found) / 2 == pytest.approx(loss, rel=1e-12)
    for whole, *halves in zip(gradients, *(g for _, g in found), strict=True):
        torch.testing.assert_close(torch.cat(halves) / 2, whole)  # averaged, as DDP does
    assert "caption_ids" in (tmp_path / "refused0.txt").read_text()

    torch.manual_seed(0)
    model = AudioQFormer(shape())
    together = bridging_losses(model, *batch(6), caption_ids=CAPTIONS).contrastive
    shares = [torch.load(tmp_path / f"contrastive{rank}.pt") for rank in (0, 1)]
    torch.testing.assert_close(torch.stack(shares).mean(), together.detach())

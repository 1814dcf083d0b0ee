"""Contrastive losses against brute-force loops, their reductions, gradients, memory and several processes."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from core.losses.contrastive import EmbeddingsNotFinite, hard_negative_loss, info_nce, modular_loss

S = 7.0  # 1/sigma


def embeddings(
    b: int = 5, k: int = 3, p: int = 2, d: int = 6, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Random embeddings; padding in both groups, a positive in every row, no negative in the first."""
    g = torch.Generator().manual_seed(seed)
    random = lambda *shape: torch.randn(*shape, generator=g, dtype=dtype)  # noqa: E731
    negative_mask = torch.rand(b, k, generator=g) < 0.7
    positive_mask = torch.rand(b, p, generator=g) < 0.7
    if p:
        positive_mask[:, 0] = True
    if b and k:
        negative_mask[0] = False
    return {
        "audio": random(b, d),
        "text": random(b, d),
        "positives": random(b, p, d),
        "negatives": random(b, k, d),
        "positive_mask": positive_mask,
        "negative_mask": negative_mask,
    }


def without(x: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: value for name, value in x.items() if name not in names}


def brute_force(
    x: dict[str, Tensor],
    *,
    neg_scope: str = "own",
    neg_directions: str = "a2t",
    masking: str = "additive",
    positives_as: str | None = None,
    normalise: bool = True,
) -> float:
    """The equations, one pair at a time. positives_as None is the hard-negative loss."""
    unit: Callable[[Tensor], np.ndarray] = lambda v: (  # noqa: E731
        v.numpy() / np.linalg.norm(v.numpy()) if normalise else v.numpy()
    )
    audio, text = [unit(v) for v in x["audio"]], [unit(v) for v in x["text"]]
    group = lambda name: [  # noqa: E731
        [unit(v) for v, ok in zip(rows, mask, strict=True) if ok]
        for rows, mask in zip(x[name + "s"], x[name + "_mask"], strict=True)
    ]
    negatives, positives = group("negative"), group("positive")
    a2t, t2a, queries = [], [], []
    for i, (a, t) in enumerate(zip(audio, text, strict=True)):
        extra = []
        for j in range(len(audio)):
            for c in negatives[j] + (positives[j] if positives_as == "mean_logprob" else []):
                if j == i or neg_scope == "all":
                    extra.append(math.exp(S * a @ c))
                elif masking == "multiplicative":
                    extra.append(np.exp(np.longdouble(-1e5) * S * a @ c))
        z = sum(math.exp(S * a @ u) for u in text) + sum(extra)
        z_audio = sum(math.exp(S * t @ u) for u in audio) + (sum(extra) if neg_directions == "both" else 0.0)
        if positives_as is None:
            a2t.append(-S * a @ t + np.log(z))
            t2a.append(-S * t @ a + np.log(z_audio))
        elif positives_as == "mean_logit":
            mean = sum(S * a @ p for p in positives[i]) / len(positives[i])
            a2t.append(-mean + np.log(z))
            t2a.append(-mean + np.log(z_audio))
        else:
            rows = [t, *positives[i]]
            a2t.append(sum(-S * a @ c + np.log(z) for c in rows) / len(rows))
            queries += [-S * c @ a + math.log(sum(math.exp(S * c @ u) for u in audio)) for c in rows]
    if positives_as == "mean_logprob":
        t2a = queries
    return float(sum(a2t) / len(a2t) + sum(t2a) / len(t2a)) / 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("neg_scope", ["own", "all"])
@pytest.mark.parametrize("neg_directions", ["a2t", "both"])
@pytest.mark.parametrize("normalise", [True, False])
def test_hard_negatives_equal_the_loop(
    seed: int, neg_scope: Any, neg_directions: Any, normalise: bool
) -> None:
    x = embeddings(seed=seed)
    found = hard_negative_loss(
        **without(x, "positives", "positive_mask"),  # type: ignore[arg-type]
        logit_scale=S,
        neg_scope=neg_scope,
        neg_directions=neg_directions,
        normalise=normalise,
    )
    wanted = brute_force(x, neg_scope=neg_scope, neg_directions=neg_directions, normalise=normalise)
    assert found.item() == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("positives_as", ["mean_logit", "mean_logprob"])
def test_modular_equals_the_loop(seed: int, positives_as: Any) -> None:
    x = embeddings(seed=seed)
    found = modular_loss(**x, logit_scale=S, positives_as=positives_as)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(brute_force(x, positives_as=positives_as), rel=1e-10)


def test_multiplicative_mask_equals_the_loop() -> None:
    # few dimensions of small size, so that exp(1e5 x cosine) stays within a long double
    x = embeddings(b=3, seed=4)
    scaled = {name: 0.01 * value if value.is_floating_point() else value for name, value in x.items()}
    hard = hard_negative_loss(
        **without(scaled, "positives", "positive_mask"),  # type: ignore[arg-type]
        logit_scale=S,
        masking="multiplicative",
        normalise=False,
    )
    wanted = brute_force(scaled, masking="multiplicative", normalise=False)
    assert hard.item() == pytest.approx(wanted, rel=1e-9)
    for positives_as in ("mean_logit", "mean_logprob"):
        found = modular_loss(
            **scaled,  # type: ignore[arg-type]
            logit_scale=S,
            masking="multiplicative",
            positives_as=positives_as,
            normalise=False,
        )
        wanted = brute_force(scaled, masking="multiplicative", positives_as=positives_as, normalise=False)
        assert found.item() == pytest.approx(wanted, rel=1e-9)


def test_info_nce_equals_the_loop_and_is_what_no_negatives_leave() -> None:
    x = embeddings(k=0)
    plain = info_nce(x["audio"], x["text"], logit_scale=S)
    assert plain.item() == pytest.approx(brute_force(x), rel=1e-10)
    hard = hard_negative_loss(x["audio"], x["text"], x["negatives"], logit_scale=S)
    assert hard.item() == pytest.approx(plain.item(), rel=1e-12)
    nothing = torch.zeros(5, 0, 6, dtype=torch.float64)
    modular = modular_loss(
        x["audio"], x["text"], nothing, nothing, logit_scale=S, positives_as="mean_logprob"
    )
    assert modular.item() == pytest.approx(plain.item(), rel=1e-12)
    # the paper's form with the caption as the only positive is InfoNCE too
    modular = modular_loss(x["audio"], x["text"], x["text"][:, None], nothing, logit_scale=S)
    assert modular.item() == pytest.approx(plain.item(), rel=1e-12)


def test_identical_embeddings_give_the_logarithm_of_the_number_of_choices() -> None:
    b, k = 6, 3
    one = torch.ones(b, 4, dtype=torch.float64)
    group = torch.ones(b, k, 4, dtype=torch.float64)
    assert info_nce(one, one, logit_scale=S).item() == pytest.approx(math.log(b))
    own = hard_negative_loss(one, one, group, logit_scale=S).item()
    assert own == pytest.approx((math.log(b + k) + math.log(b)) / 2)
    everyone = hard_negative_loss(one, one, group, logit_scale=S, neg_scope="all", neg_directions="both")
    assert everyone.item() == pytest.approx(math.log(b + b * k))
    modular = modular_loss(one, one, group[:, :2], group, logit_scale=S)
    assert modular.item() == pytest.approx((math.log(b + k) + math.log(b)) / 2)


def test_negatives_of_one_sample_do_not_move_another() -> None:
    x = embeddings(seed=1)
    x["negative_mask"][:] = True
    audio = x["audio"].clone().requires_grad_()

    def gradient_of_first(negatives: Tensor, **options: Any) -> Tensor:
        loss = hard_negative_loss(audio, x["text"], negatives, logit_scale=S, **options)
        return torch.autograd.grad(loss, audio)[0][0]

    others = x["negatives"].clone()
    others[1:] = others[1:].flip(-1)
    assert torch.equal(gradient_of_first(x["negatives"]), gradient_of_first(others))
    assert not torch.equal(
        gradient_of_first(x["negatives"], neg_scope="all"), gradient_of_first(others, neg_scope="all")
    )
    # by default the negatives are no part of text-to-audio
    text = x["text"].clone().requires_grad_()
    negatives = x["negatives"].clone().requires_grad_()
    loss = hard_negative_loss(x["audio"], text, negatives, logit_scale=S)
    assert torch.autograd.grad(loss, negatives)[0].abs().min() > 0


def test_what_stands_in_padding_does_not_matter() -> None:
    x = embeddings(seed=2)
    other = dict(x)
    for name in ("positive", "negative"):
        other[name + "s"] = torch.where(x[name + "_mask"][..., None], x[name + "s"], 1e3)
    for options in ({}, {"masking": "multiplicative"}, {"positives_as": "mean_logprob"}):
        a, b = (modular_loss(**y, logit_scale=S, **options) for y in (x, other))  # type: ignore[arg-type]
        assert a.item() == b.item()
    hard = [without(y, "positives", "positive_mask") for y in (x, other)]
    for options in ({}, {"masking": "multiplicative"}, {"neg_scope": "all"}):
        a, b = (hard_negative_loss(**y, logit_scale=S, **options) for y in hard)  # type: ignore[arg-type]
        assert a.item() == b.item()


def test_the_multiplicative_mask_of_the_release_blows_up() -> None:
    g = torch.Generator().manual_seed(0)
    audio, text, negatives = (torch.randn(*shape, generator=g) for shape in ((8, 512), (8, 512), (8, 3, 512)))
    additive = hard_negative_loss(audio, text, negatives, logit_scale=14.3).item()
    release = hard_negative_loss(audio, text, negatives, logit_scale=14.3, masking="multiplicative").item()
    assert additive < 4
    assert release > 1e4
    # and is harmless only where other samples' negatives have positive cosine
    near = torch.ones(8, 512) + 0.1 * audio
    positive = hard_negative_loss(near, near, near[:, None] + 0.1 * negatives, logit_scale=14.3).item()
    masked = hard_negative_loss(
        near, near, near[:, None] + 0.1 * negatives, logit_scale=14.3, masking="multiplicative"
    ).item()
    assert masked == pytest.approx(positive, rel=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"neg_scope": "all"}, {"neg_directions": "both"}, {"normalise": False}], ids=str
)
def test_gradient_of_hard_negatives(options: dict[str, Any]) -> None:
    x = embeddings(b=3, k=2, d=4)
    inputs = [x[name].requires_grad_() for name in ("audio", "text", "negatives")]
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, t, n, s: hard_negative_loss(
            a, t, n, logit_scale=s, negative_mask=x["negative_mask"], **options
        ),
        (*inputs, scale),
    )


@pytest.mark.parametrize("positives_as", ["mean_logit", "mean_logprob"])
def test_gradient_of_modular(positives_as: Any) -> None:
    x = embeddings(b=3, k=2, d=4)
    inputs = [x[name].requires_grad_() for name in ("audio", "text", "positives", "negatives")]
    masks = {name: x[name] for name in ("positive_mask", "negative_mask")}
    assert torch.autograd.gradcheck(
        lambda *e: modular_loss(*e, logit_scale=2.0, positives_as=positives_as, **masks),  # type: ignore[misc]
        inputs,
    )


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.untyped_storage().nbytes() // value.element_size())
        return result


def test_no_tensor_of_b_times_b_times_k_is_made() -> None:
    b, k, d = 32, 16, 4
    x = embeddings(b=b, k=k, p=4, d=d)
    floats = [x[name].requires_grad_() for name in ("audio", "text", "positives", "negatives")]
    hard = without(x, "positives", "positive_mask")

    def largest(loss: Callable[[], Tensor]) -> int:
        with LargestTensor() as mode:
            torch.autograd.grad(loss(), floats, allow_unused=True)
        return mode.elements

    bound = b * (b + k * d)
    assert largest(lambda: hard_negative_loss(**hard, logit_scale=S)) <= bound  # type: ignore[arg-type]
    assert largest(lambda: modular_loss(**x, logit_scale=S)) <= bound  # type: ignore[arg-type]
    # the measure does see the matrix where it is made
    everyone = largest(lambda: hard_negative_loss(**hard, logit_scale=S, neg_scope="all"))  # type: ignore[arg-type]
    assert everyone >= b * b * k > bound


def test_half_precision_and_autocast_are_raised_to_single() -> None:
    x = embeddings(dtype=torch.float32)
    half = [x[name].bfloat16() for name in ("audio", "text", "negatives")]
    wanted = hard_negative_loss(*(h.float() for h in half), logit_scale=100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = hard_negative_loss(*half, logit_scale=100.0)
    assert found.dtype == torch.float32
    assert found.item() == wanted.item()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": torch.zeros(4, 6)}, r"two \(B, D\) tensors of one shape.*\(4, 6\) and \(5, 6\)"),
        ({"audio": torch.zeros(0, 6), "text": torch.zeros(0, 6)}, "B > 0"),
        ({"negatives": torch.zeros(5, 3, 7)}, r"negatives must be \(5, K, 6\)"),
        ({"positives": torch.zeros(4, 2, 6)}, r"positives must be \(5, K, 6\)"),
        ({"negative_mask": torch.ones(5, 2, dtype=torch.bool)}, "mask of negatives must be bool"),
        ({"negative_mask": torch.ones(5, 3)}, "mask of negatives must be bool"),
        ({"logit_scale": -1.0}, "not its logarithm"),
        ({"logit_scale": torch.ones(2)}, "0-d tensor"),
        ({"masking": "none"}, "masking must be one of additive, multiplicative"),
        ({"positives_as": "sum"}, "positives_as must be one of"),
        ({"gather": True}, "gather must be one of all, local"),
    ],
    ids=str,
)
def test_bad_input_is_refused(change: dict[str, Any], message: str) -> None:
    x: dict[str, Any] = embeddings(dtype=torch.float32) | {"logit_scale": S} | change
    with pytest.raises(ValueError, match=message):
        modular_loss(**x)


def test_rows_without_positives_and_values_not_finite_are_named() -> None:
    x = embeddings()
    x["positive_mask"][[1, 3]] = False
    with pytest.raises(ValueError, match=r"rows \[1, 3\].*pass the caption itself"):
        modular_loss(**x, logit_scale=S)  # type: ignore[arg-type]
    modular_loss(**x, logit_scale=S, positives_as="mean_logprob")  # type: ignore[arg-type]
    x["text"][2, 0] = math.nan
    with pytest.raises(EmbeddingsNotFinite, match=r"text embeddings are not finite in rows \[2\]"):
        info_nce(x["audio"], x["text"], logit_scale=S)


def test_wrong_pairs_of_options_and_a_single_pair() -> None:
    x = embeddings()
    with pytest.raises(ValueError, match="masks no pair"):
        hard_negative_loss(
            x["audio"], x["text"], x["negatives"], logit_scale=S, neg_scope="all", masking="multiplicative"
        )
    with pytest.warns(UserWarning, match="larger batch"):
        info_nce(x["audio"][:1], x["text"][:1], logit_scale=S)


# --- several processes

CASES: dict[str, Callable[..., Tensor]] = {
    "info_nce": lambda a, t, p, n, s, pm, nm: info_nce(a, t, logit_scale=s),
    "hard own": lambda a, t, p, n, s, pm, nm: hard_negative_loss(a, t, n, logit_scale=s, negative_mask=nm),
    "hard all": lambda a, t, p, n, s, pm, nm: hard_negative_loss(
        a, t, n, logit_scale=s, negative_mask=nm, neg_scope="all", neg_directions="both"
    ),
    "hard release": lambda a, t, p, n, s, pm, nm: hard_negative_loss(
        a, t, n, logit_scale=s, negative_mask=nm, masking="multiplicative"
    ),
    "modular paper": lambda a, t, p, n, s, pm, nm: modular_loss(
        a, t, p, n, logit_scale=s, positive_mask=pm, negative_mask=nm
    ),
    "modular release": lambda a, t, p, n, s, pm, nm: modular_loss(
        a, t, p, n, logit_scale=s, positive_mask=pm, negative_mask=nm, positives_as="mean_logprob",
    ),
}  # fmt: skip


def losses_and_gradients(rows: slice) -> dict[str, tuple[float, list[Tensor]]]:
    """Each loss of a linear model on `rows` of one batch; gradients averaged over processes, as DDP does."""
    results = {}
    x = embeddings(b=6)
    for name, case in CASES.items():
        weight = torch.eye(6, dtype=torch.float64).requires_grad_()
        scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        e = [x[n][rows] @ weight for n in ("audio", "text", "positives", "negatives")]
        loss = case(*e, scale, x["positive_mask"][rows], x["negative_mask"][rows])
        gradients = list(torch.autograd.grad(loss, [weight, scale]))
        if dist.is_initialized():
            for gradient in gradients:
                dist.all_reduce(gradient)
                gradient /= dist.get_world_size()
        results[name] = (loss.item(), gradients)
    return results


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(losses_and_gradients(slice(3 * rank, 3 * rank + 3)), f"{folder}/{rank}.pt")
    local = embeddings(b=6)
    half = {name: value[3 * rank : 3 * rank + 3] for name, value in local.items()}
    loss = modular_loss(**half, logit_scale=S, gather="local")  # type: ignore[arg-type]
    Path(folder, f"local{rank}.txt").write_text(repr(loss.item()))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gloo")
    mp.spawn(worker, args=(str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_are_one_in_loss_and_gradient(two_processes: Path, rank: int) -> None:
    found = torch.load(two_processes / f"{rank}.pt")
    wanted = losses_and_gradients(slice(None))
    assert set(found) == set(wanted)
    for name, (loss, gradients) in wanted.items():
        assert found[name][0] == pytest.approx(loss, rel=1e-12), name
        same: Sequence[Tensor] = found[name][1]
        for a, b in zip(gradients, same, strict=True):
            torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-12, msg=name)


def test_local_contrast_stays_within_the_process(two_processes: Path) -> None:
    x = embeddings(b=6)
    for rank in (0, 1):
        half = {name: value[3 * rank : 3 * rank + 3] for name, value in x.items()}
        wanted = modular_loss(**half, logit_scale=S, gather="local").item()  # type: ignore[arg-type]
        assert float((two_processes / f"local{rank}.txt").read_text()) == wanted

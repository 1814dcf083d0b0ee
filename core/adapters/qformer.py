"""The audio Q-Former: learned queries that read an encoder's features, and a text branch for pre-training.

The layers are `transformers`' `Blip2QFormerModel`: queries and text share the self-attention, queries alone
have cross-attention to the features (in every second layer), each has a feed-forward of its own. What the
text may see decides the objective (BLIP-2, ICML 2023, figure 2): nothing of the queries (contrastive),
everything (matching), or queries and earlier text (generation). Queries see text in matching only.

Texts are right-padded ids whose first token is a summary token ([CLS], <s>) and whose last is an end token.
Masks are bool, True where something is. Sources: GAMA (EMNLP 2024), appendix E; its release, a fork of LAVIS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import Blip2QFormerConfig


@dataclass(frozen=True, kw_only=True)
class QFormerShape:
    """Sizes; the defaults are the paper's."""

    feature_size: int = 768  # width of the encoder's features
    queries: int = 32
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    cross_every: int = 2  # layers 0, 2, 4, ... have cross-attention
    vocab_size: int = 30522  # of the tokenizer; one more row is added, the token that starts a generated text
    max_tokens: int = 512
    joint_size: int = 256  # of the contrastive space
    dropout: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_id: int = 0
    temperature: float = 0.07  # sigma at the start; log(1/sigma) is learned


class Windows(NamedTuple):
    values: Tensor  # (B, W Q, H)
    mask: Tensor  # (B, W Q) bool, False where a window held nothing


class AudioQFormer(nn.Module):
    """forward(features (B, T, D), mask (B, T)) -> (B, Q, H), the queries after the last layer.

    The features pass a LayerNorm first, as in BLIP-2. Text is needed by pre-training only: `drop_text` takes
    its branch out; `bert_start` starts the layers from a BERT.
    Raises ValueError on shapes that do not fit, on texts of more than `max_tokens` tokens and, on CPU, on
    items whose mask is empty.
    """

    def __init__(self, shape: QFormerShape) -> None:
        from transformers import Blip2QFormerModel
        from transformers.models.bert.modeling_bert import BertPredictionHeadTransform
        from transformers.models.blip_2.modeling_blip_2 import Blip2TextEmbeddings

        super().__init__()
        self.shape = shape
        config = _config(shape)
        self.decode_id = shape.vocab_size  # the id of the added row
        self.feature_norm = nn.LayerNorm(shape.feature_size)
        self.queries = nn.Parameter(
            torch.randn(1, shape.queries, shape.hidden_size) * shape.initializer_range
        )
        self.layers = Blip2QFormerModel(config)
        self.text: nn.ModuleDict | None = nn.ModuleDict(
            {
                "embeddings": Blip2TextEmbeddings(config),
                "audio_head": nn.Linear(shape.hidden_size, shape.joint_size),
                "text_head": nn.Linear(shape.hidden_size, shape.joint_size),
                "matching_head": nn.Linear(shape.hidden_size, 2),
                "lm_transform": BertPredictionHeadTransform(config),
            }
        )
        for module in self.text.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=shape.initializer_range)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        self.lm_bias: nn.Parameter | None = nn.Parameter(torch.zeros(shape.vocab_size + 1))
        self.log_scale: nn.Parameter | None = nn.Parameter(torch.tensor(-math.log(shape.temperature)))

    @property
    def logit_scale(self) -> Tensor:
        """1/sigma, learned, at most 100; a 0-d tensor."""
        self._text_part()
        assert self.log_scale is not None
        # Past the limit the value is clamped but its gradient is not, or it could never come back.
        limited = self.log_scale.detach().clamp(max=math.log(100.0))
        return (self.log_scale + (limited - self.log_scale.detach())).exp()

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        queries = self.queries.expand(len(features), -1, -1)
        return self._run(queries, self.shape.queries, None, features, mask)

    def windowed(
        self, features: Tensor, mask: Tensor | None = None, *, window: int, stride: int | None = None
    ) -> Windows:
        """The same queries on every window of `window` frames, in time order (SALMONN, ICLR 2024, 3.1).

        `stride`: frames from one window to the next, by default `window`; at most `window`, so that no frame
        is left out. The last window is filled up with masked frames.
        """
        stride = window if stride is None else stride
        if not 0 < stride <= window:
            raise ValueError(f"a window of {window} frames needs a stride of 1 to {window}, got {stride}")
        mask = self._check_features(features, mask)
        batch, time, _ = features.shape
        count = max(0, math.ceil((time - window) / stride)) + 1
        missing = (count - 1) * stride + window - time
        cut = F.pad(features, (0, 0, 0, missing)).unfold(1, window, stride)  # (B, W, D, window)
        valid = F.pad(mask, (0, missing)).unfold(1, window, stride)  # (B, W, window)
        some = valid.any(dim=2)
        valid = (
            valid | ~some[..., None]
        )  # an empty window needs something to attend to; its queries are masked
        queries = self(cut.flatten(0, 1).transpose(1, 2), valid.flatten(0, 1))
        return Windows(
            queries.reshape(batch, count * self.shape.queries, -1),
            some.repeat_interleave(self.shape.queries, dim=1),
        )

    def audio_embeddings(self, queries: Tensor) -> Tensor:
        """Queries (B, Q, H) of `forward` to unit vectors (B, Q, joint_size)."""
        return F.normalize(self._text_part()["audio_head"](queries), dim=-1)

    def text_embeddings(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Texts (B, L) alone, without queries, to unit vectors (B, joint_size), by their summary tokens."""
        text = self._text_part()
        states = self._run(text["embeddings"](self._check_text(ids, mask)), 0, mask[:, None, None, :].bool())
        return F.normalize(text["text_head"](states[:, 0]), dim=-1)

    def match_logits(self, features: Tensor, mask: Tensor | None, ids: Tensor, text_mask: Tensor) -> Tensor:
        """Whether text i belongs to audio i: logits (B, 2) of no and yes, the mean over the queries' own.

        Queries and text see each other.
        """
        text = self._text_part()
        count = self.shape.queries
        seen = F.pad(text_mask.bool(), (count, 0), value=True)[:, None, None, :]  # (B, 1, 1, Q + L)
        states = self._run(
            self._joined(self._check_text(ids, text_mask), len(features)), count, seen, features, mask
        )
        return text["matching_head"](states[:, :count]).mean(dim=1)

    def next_token_logits(
        self, features: Tensor, mask: Tensor | None, ids: Tensor, text_mask: Tensor
    ) -> Tensor:
        """Logits (B, L, V + 1): place l tells the token l + 1 from the audio and the tokens up to l.

        The summary token is replaced by the token that starts a generated text; output weights are the word
        embeddings.
        """
        text = self._text_part()
        count, length = self.shape.queries, ids.shape[1]
        ids = self._check_text(ids, text_mask).clone()
        ids[:, 0] = self.decode_id
        size = count + length
        # Queries must not see text: what they saw, every place of the text would see through them.
        causal = torch.ones(size, size, dtype=torch.bool, device=ids.device).tril()
        causal[:count] = False
        causal[:, :count] = True
        seen = causal & F.pad(text_mask.bool(), (count, 0), value=True)[:, None, None, :]
        states = self._run(self._joined(ids, len(features)), count, seen, features, mask)
        words: Tensor = text.get_parameter("embeddings.word_embeddings.weight")
        return F.linear(text["lm_transform"](states[:, count:]), words, self.lm_bias)

    def drop_text(self) -> None:
        """Take out what only pre-training needs, as GAMA's release does: text branch, heads, temperature."""
        self._text_part()
        self.text = self.lm_bias = self.log_scale = None
        for layer in self.layers.encoder.layer:
            layer.intermediate = layer.output = None

    def _run(
        self,
        states: Tensor,
        queries: int,
        seen: Tensor | None,
        features: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """`seen`: 4-D bool, broadcast to (B, heads, places, places seen); such a mask is used as it is."""
        over = None
        if features is not None:
            over = self._check_features(features, mask)[:, None, None, :]
            features = self.feature_norm(features)
        return self.layers(
            query_embeds=states,
            query_length=queries,
            attention_mask=seen,
            encoder_hidden_states=features,
            encoder_attention_mask=over,
        ).last_hidden_state

    def _joined(self, ids: Tensor, batch: int) -> Tensor:
        if len(ids) != batch:
            raise ValueError(f"{batch} audios and {len(ids)} texts: one text an audio is expected")
        return self._text_part()["embeddings"](input_ids=ids, query_embeds=self.queries.expand(batch, -1, -1))

    def _check_features(self, features: Tensor, mask: Tensor | None) -> Tensor:
        if features.ndim != 3 or features.shape[2] != self.shape.feature_size or features.shape[1] == 0:
            raise ValueError(
                f"features must be (B, T, {self.shape.feature_size}) with T > 0, got {tuple(features.shape)}"
            )
        if mask is None:
            return torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        if mask.shape != features.shape[:2]:
            raise ValueError(f"mask {tuple(mask.shape)} does not go with features {tuple(features.shape)}")
        mask = mask.bool()
        if mask.device.type == "cpu" and not bool(mask.any(dim=1).all()):
            empty = torch.nonzero(~mask.any(dim=1)).flatten()[:8].tolist()
            raise ValueError(f"items {empty} of the batch have no frame at all: leave them out")
        return mask

    def _check_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        if ids.ndim != 2 or ids.shape != mask.shape:
            raise ValueError(f"ids and mask must be (B, L), got {tuple(ids.shape)} and {tuple(mask.shape)}")
        if ids.shape[1] > self.shape.max_tokens:
            raise ValueError(
                f"texts of {ids.shape[1]} tokens, this Q-Former has {self.shape.max_tokens} positions: "
                "shorten them when they are tokenised, or build it with more"
            )
        if ids.device.type == "cpu" and not bool(mask.bool()[:, 0].all()):
            raise ValueError("a text without first token: texts must be padded on the right")
        return ids

    def _text_part(self) -> nn.ModuleDict:
        if self.text is None:
            raise ValueError("the text branch of this Q-Former was dropped: only its queries are left")
        return self.text


def _config(shape: QFormerShape) -> Blip2QFormerConfig:
    from transformers import Blip2QFormerConfig

    return Blip2QFormerConfig(
        vocab_size=shape.vocab_size + 1,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        max_position_embeddings=shape.max_tokens,
        initializer_range=shape.initializer_range,
        layer_norm_eps=shape.layer_norm_eps,
        pad_token_id=shape.pad_id,
        cross_attention_frequency=shape.cross_every,
        encoder_hidden_size=shape.feature_size,
        use_qformer_text_input=True,
        attn_implementation="sdpa",  # bool masks, as this module makes them, are this implementation's
    )

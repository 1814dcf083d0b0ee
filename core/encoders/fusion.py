"""HTS-AT's fusion of a long clip with its crops, such that it trains: with one long clip, with none, and with
several processes of which some have none.

Layers and their names are those of `transformers` (`ClapAudioPatchEmbed`, `ClapAudioAFFBlock`), whose forward
passes stop in training at a single long clip, and leave the layers without gradient where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoders.batch_norm import rows_seen

if TYPE_CHECKING:
    from transformers import ClapAudioModel

CROPS = 3  # of a long clip: from its front, middle and back


class FusedPatches(nn.Module):
    """HTS-AT's patch embedding with fusion: image (B, 1 | 4, H, W) -> (B, N, D).

    `is_longer_index` (L,) says which clips are longer than the window; those need the whole and three crops,
    4 channels. In training the fusion layers always take part, in a batch without long clips with zero rows:
    their gradient is then zero and their statistics stay, instead of no gradient at all, which other
    processes would wait for.
    """

    def __init__(self, patches: Any) -> None:
        super().__init__()
        self.proj, self.norm = patches.proj, patches.norm
        self.fusion_model = Fusion(patches.fusion_model)
        self.mel_conv2d = patches.mel_conv2d
        self.patch_stride, self.num_patches = patches.patch_stride, patches.num_patches

    def forward(self, image: Tensor, is_longer_index: Tensor) -> Tensor:
        whole = self.proj(image[:, :1])
        if self.training or len(is_longer_index):
            crops = self._crops(image, is_longer_index)
            crops = F.pad(crops, (0, whole.shape[-1] - crops.shape[-1]))
            whole[is_longer_index] = self.fusion_model(whole[is_longer_index], crops)
        return self.norm(whole.flatten(2).transpose(1, 2))

    def _crops(self, image: Tensor, index: Tensor) -> Tensor:
        """The crops' patches side by side, (L, D, h, CROPS w)."""
        if len(index) and image.shape[1] != 1 + CROPS:
            raise ValueError(
                f"{len(index)} clips are marked as longer but have {image.shape[1]} channels: a longer clip "
                f'needs the whole and {CROPS} crops (truncation="fusion" of the front end)'
            )
        crops = image[index, 1:].reshape(len(index) * CROPS, 1, *image.shape[2:])
        made = self.mel_conv2d(crops).unflatten(0, (len(index), CROPS))
        return made.permute(0, 2, 3, 1, 4).flatten(3)


class Fusion(nn.Module):
    """Attentional fusion of whole clips and their crops: twice (L, D, h, w) -> (L, D, h, w).

    A clip is pooled to one value a channel, and batch normalisation cannot train on one value: a single clip
    is normalised together with itself, as in LAION-CLAP's release.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.local_att, self.global_att = block.local_att, block.global_att

    def forward(self, whole: Tensor, crops: Tensor) -> Tensor:
        both = whole + crops
        if self.training and rows_seen(self.local_att[1], len(both), device=both.device) == 1:
            both = torch.cat([both, both])
        share = torch.sigmoid(self.local_att(both) + self.global_att(both))[: len(whole)]
        return 2 * whole * share + 2 * crops * (1 - share)


def make_fusion_trainable(audio: ClapAudioModel) -> ClapAudioModel:
    """Put `FusedPatches` into an HTS-AT with fusion; one without stays as it is. Names of weights stay."""
    if audio.config.enable_fusion:
        audio.audio_encoder.patch_embed = FusedPatches(audio.audio_encoder.patch_embed)
    return audio

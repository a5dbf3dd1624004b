"""Video VAE v2: encoder and decoder of one 17-frame chunk, with the checkpoint's key names.

Tensors are (batch, channels, frames, height, width) inside, (batch, frames, channels, height, width) at the doors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_layers import (CausalConv, FrameGroupNorm, Mid, ResidualBlock, SpatialDownsample, SpatialUpsample,
                        VolumeDownsample, VolumeUpsample, Wrapped, pixel_shuffle_3d, pixel_unshuffle_3d)

CHUNK_FRAMES = 17
CHUNK_LATENT_FRAMES = 3


@dataclass(frozen=True)
class VaeConfig:
    """Widths are `*_width` times the multipliers of levels 0..3; the decoder has one residual block more a level."""

    z_channels: int = 16
    encoder_width: int = 32
    encoder_multipliers: tuple[int, int, int, int] = (1, 1, 1, 2)
    decoder_width: int = 32
    decoder_multipliers: tuple[int, int, int, int] = (1, 1, 2, 1)
    residual_blocks: int = 1


class Level(nn.Module):
    """The residual blocks of one resolution and, at most, one change of resolution."""

    def __init__(self, channels_in: int, channels_out: int, blocks: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResidualBlock(channels_in if index == 0 else channels_out, channels_out) for index in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return x


class Encoder(nn.Module):
    """(B, 3, 17, H, W) to (B, 2z, 3, H/16, W/16): mean and log-variance."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths = [config.encoder_width * m for m in config.encoder_multipliers]
        self.conv_in = CausalConv(3, config.encoder_width)
        self.down = nn.ModuleList()
        for level, width in enumerate(widths):
            stage = Level(config.encoder_width if level == 0 else widths[level - 1], width, config.residual_blocks)
            if level == 0:
                stage.downsample = SpatialDownsample(width)
            elif level < 3:
                stage.downsample = VolumeDownsample(width)
            self.down.append(stage)
        top = widths[-1]
        self.mid = Mid(top)
        self.norm_out = FrameGroupNorm(top)
        self.conv_patchify = Wrapped(top, top // 2)
        self.conv_out = CausalConv(4 * top, 2 * config.z_channels)
        self.shortcut_group = 4 * top // (2 * config.z_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for stage in self.down:
            x = stage(x)
            if hasattr(stage, "downsample"):
                x = stage.downsample(x)
        x = F.silu(self.norm_out(self.mid(x)))
        front = (0, 0, 0, 0, 1, 0)
        patches = pixel_unshuffle_3d(F.pad(self.conv_patchify(x), front))
        patches = patches + pixel_unshuffle_3d(F.pad(x, front)).unflatten(1, (-1, 2)).mean(2)
        return self.conv_out(patches) + patches.unflatten(1, (-1, self.shortcut_group)).mean(2)


class Decoder(nn.Module):
    """(B, z, 3, h, w) to (B, 3, 17, 16h, 16w)."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths = [config.decoder_width * m for m in config.decoder_multipliers]
        top = widths[-1]
        self.repeats = 4 * top // config.z_channels
        self.conv_in = CausalConv(config.z_channels, 4 * top)
        self.conv_unpatchify = Wrapped(4 * top, 8 * top)
        self.mid = Mid(top)
        stages: list[nn.Module] = []
        for level in range(3, -1, -1):
            stage = Level(top if level == 3 else widths[level + 1], widths[level], config.residual_blocks + 1)
            if level > 1:
                stage.upsample = VolumeUpsample(widths[level])
            elif level == 1:
                stage.upsample = SpatialUpsample(widths[level])
            stages.insert(0, stage)
        self.up = nn.ModuleList(stages)
        self.norm_out = FrameGroupNorm(widths[0])
        self.conv_out = nn.Conv3d(widths[0], 3, 3)

    def forward(self, z: Tensor) -> Tensor:
        x = self.conv_in(z) + z.repeat_interleave(self.repeats, 1)
        x = (pixel_shuffle_3d(self.conv_unpatchify(x)) + pixel_shuffle_3d(x.repeat_interleave(2, 1)))[:, :, 1:]
        x = self.mid(x)
        for level in range(3, -1, -1):
            stage = self.up[level]
            x = stage(x)
            if level > 0:
                x = stage.upsample(x)
        x = F.silu(self.norm_out(x))
        x = F.conv3d(F.pad(x, (1, 1, 1, 1, 2, 0)), self.conv_out.weight, self.conv_out.bias)
        return x[:, :, 3:]


class VideoVae(nn.Module):
    """Encoder and decoder, chunk by chunk."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 17c, 3, H, W) in [-1, 1] to mean and clamped log-variance, each (B, 3c, z, H/16, W/16)."""
        moments = [self.encoder(chunk.transpose(1, 2)) for chunk in video.split(CHUNK_FRAMES, 1)]
        mean, logvar = torch.cat(moments, 2).transpose(1, 2).chunk(2, 2)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(self, z: Tensor) -> Tensor:
        """(B, 3c, z, h, w) to (B, 17c, 3, 16h, 16w), the chunks blended at their seams, not clamped."""
        video = torch.cat([self.decoder(chunk.transpose(1, 2)) for chunk in z.split(CHUNK_LATENT_FRAMES, 1)], 2)
        video = video.transpose(1, 2).contiguous()
        for seam in range(CHUNK_FRAMES, video.shape[1], CHUNK_FRAMES):
            video[:, seam] = 0.6 * video[:, seam] + 0.4 * video[:, seam - 1]
            video[:, seam - 1] = 0.6 * video[:, seam - 1] + 0.4 * video[:, seam]
        return video

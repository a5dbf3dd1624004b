"""Video VAE v2: encoder and decoder of one 17-frame chunk, with the checkpoint's key names.

Tensors are (batch, channels, frames, height, width) inside, (batch, frames, channels, height, width) at the doors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


class CausalConv(nn.Module):
    """A 3D convolution that sees no later frame: two zero frames in front for k = 3, zero padding in space."""

    # A 2D convolution over the three taps' channels side by side; the same sums, faster on small widths.
    taps_as_channels = False

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, kernel, stride)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.conv.weight, self.conv.bias
        if self.kernel == 1:
            return F.conv3d(x, weight, bias)
        if self.taps_as_channels and self.stride == 1:
            batch, _, frames, height, width = x.shape
            padded = F.pad(x, (0, 0, 0, 0, 2, 0)).transpose(1, 2)
            taps = torch.cat([padded[:, k:k + frames] for k in range(3)], 2)
            kernel = weight.transpose(1, 2).flatten(1, 2)
            y = F.conv2d(taps.flatten(0, 1), kernel, bias, padding=1)
            return y.view(batch, frames, -1, height, width).transpose(1, 2)
        return F.conv3d(F.pad(x, (1, 1, 1, 1, 2, 0)), weight, bias, self.stride)


class FrameGroupNorm(nn.GroupNorm):
    """Group normalisation with the statistics of each frame alone."""

    def __init__(self, channels: int) -> None:
        super().__init__(32, channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, frames = x.shape[:3]
        y = super().forward(x.transpose(1, 2).flatten(0, 1))
        return y.unflatten(0, (batch, frames)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Norm, SiLU, conv, twice, plus the input."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm1 = FrameGroupNorm(channels_in)
        self.conv1 = CausalConv(channels_in, channels_out)
        self.norm2 = FrameGroupNorm(channels_out)
        self.conv2 = CausalConv(channels_out, channels_out)
        if channels_in != channels_out:
            self.nin_shortcut = CausalConv(channels_in, channels_out, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttentionBlock(nn.Module):
    """One head over the flattened (frame, row, column) tokens; a token sees itself and those before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = FrameGroupNorm(channels)
        self.q = CausalConv(channels, channels, kernel=1)
        self.k = CausalConv(channels, channels, kernel=1)
        self.v = CausalConv(channels, channels, kernel=1)
        self.proj_out = CausalConv(channels, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (part(y).flatten(2).transpose(1, 2).unsqueeze(1) for part in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.proj_out(y.squeeze(1).transpose(1, 2).reshape(x.shape))


class Mid(nn.Module):
    """Residual block, attention, residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = AttentionBlock(channels)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


def pixel_shuffle_3d(x: Tensor) -> Tensor:
    """(B, 8C, T, H, W) to (B, C, 2T, 2H, 2W); channel 8c + 4i + 2j + k goes to offset (i, j, k)."""
    batch, channels, frames, height, width = x.shape
    x = x.view(batch, channels // 8, 2, 2, 2, frames, height, width).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(batch, channels // 8, 2 * frames, 2 * height, 2 * width)


def pixel_unshuffle_3d(x: Tensor) -> Tensor:
    """The inverse of pixel_shuffle_3d."""
    batch, channels, frames, height, width = x.shape
    x = x.view(batch, channels, frames // 2, 2, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(batch, channels * 8, frames // 2, height // 2, width // 2)


class Wrapped(nn.Module):
    """Holds a causal conv one name deeper, as the checkpoint's patchify pair does."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = CausalConv(channels_in, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SpatialDownsample(nn.Module):
    """Pad one zero row and column at the far edges, then a strided 2D convolution on each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, frames = x.shape[:3]
        y = self.conv(F.pad(x.transpose(1, 2).flatten(0, 1), (0, 1, 0, 1)))
        return y.unflatten(0, (batch, frames)).transpose(1, 2)


class VolumeDownsample(nn.Module):
    """A causal convolution with stride 2 in time and space."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = CausalConv(channels, channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SpatialUpsample(nn.Module):
    """Nearest x2 in space, then a 2D convolution on each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, frames = x.shape[:3]
        y = self.conv(F.interpolate(x.transpose(1, 2).flatten(0, 1), scale_factor=2, mode="nearest"))
        return y.unflatten(0, (batch, frames)).transpose(1, 2)


class UpsampleConvs(nn.Module):
    """The two normalised convolutions after a nearest upsampling, with their double shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = CausalConv(channels, channels)
        self.norm1 = FrameGroupNorm(channels)
        self.conv2 = CausalConv(channels, channels)
        self.norm2 = FrameGroupNorm(channels)

    def forward(self, u: Tensor) -> Tensor:
        y = F.silu(self.norm1(self.conv1(u)))
        return F.silu(self.norm2(self.conv2(y)) + u) + u


class VolumeUpsample(nn.Module):
    """Nearest x2 in time and space, then UpsampleConvs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv3d = UpsampleConvs(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3d(F.interpolate(x, scale_factor=2, mode="nearest"))


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

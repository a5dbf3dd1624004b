"""The layers of the video VAE v2, with the checkpoint's key names.

Tensors are (batch, channels, frames, height, width).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class CausalConv(nn.Module):
    """A 3D convolution that sees no later frame: two zero frames in front for k = 3, zero padding in space."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, kernel, stride)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.conv.weight, self.conv.bias
        if self.kernel == 1:
            return F.conv3d(x, weight, bias)
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

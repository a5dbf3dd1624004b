"""The diffusion transformer, with the checkpoint's key names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class DitConfig:
    """Sizes by the names of transformer/config.json."""

    num_attention_heads: int = 3
    attention_head_dim: int = 64
    in_channels: int = 16
    num_layers: int = 5
    caption_channels: tuple[int, int] = (128, 128)  # Step-LLM width, CLIP width

    @property
    def width(self) -> int:
        """The width of the residual stream."""
        return self.num_attention_heads * self.attention_head_dim


def rope_tables(frames: int, rows: int, columns: int, head_dim: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of the 3D rotation, each (tokens, head_dim / 2): frame, row and column halves side by side."""
    precision = torch.float64 if like.dtype == torch.float64 else torch.float32
    grid = torch.meshgrid(*(torch.arange(n, device=like.device, dtype=precision) for n in (frames, rows, columns)),
                          indexing="ij")
    angles = []
    for positions, split in zip(grid, (head_dim // 2, head_dim // 4, head_dim // 4)):
        powers = torch.arange(split // 2, device=like.device, dtype=precision) * (-2.0 / split)
        angles.append(positions.reshape(-1, 1) * 10000.0**powers)
    angle = torch.cat(angles, 1)
    return angle.cos(), angle.sin()


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x (batch, tokens, heads, head_dim); within each split the pairs are (i, i + split/2)."""
    head_dim = x.shape[-1]
    outputs, offset = [], 0
    for split in (head_dim // 2, head_dim // 4, head_dim // 4):
        start, half = 2 * offset, split // 2
        a, b = x[..., start:start + half], x[..., start + half:start + split]
        c, s = cos[:, None, offset:offset + half].to(x), sin[:, None, offset:offset + half].to(x)
        outputs += [a * c - b * s, b * c + a * s]
        offset += half
    return torch.cat(outputs, -1)


class HeadRmsNorm(nn.Module):
    """RMS normalisation over one head's channels, in float32 or better."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        y = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
        return y.to(x.dtype) * self.weight.to(x.dtype)


class SelfAttention(nn.Module):
    """Full attention over the latent tokens with 3D RoPE; wqkv rows are q | k | v of each head in turn."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.heads, dim = config.num_attention_heads, config.attention_head_dim
        self.wqkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.q_norm, self.k_norm = HeadRmsNorm(dim), HeadRmsNorm(dim)
        self.wo = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = self.wqkv(x).unflatten(-1, (self.heads, -1)).chunk(3, -1)
        q, k = apply_rope(self.q_norm(q), cos, sin), apply_rope(self.k_norm(k), cos, sin)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.wo(y.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Latent tokens look at the text; wkv rows are k | v of each head in turn."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.heads, dim = config.num_attention_heads, config.attention_head_dim
        self.wq = nn.Linear(config.width, config.width, bias=False)
        self.wkv = nn.Linear(config.width, 2 * config.width, bias=False)
        self.q_norm, self.k_norm = HeadRmsNorm(dim), HeadRmsNorm(dim)
        self.wo = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, text: Tensor, visible: Tensor) -> Tensor:
        q = self.q_norm(self.wq(x).unflatten(-1, (self.heads, -1)))
        k, v = self.wkv(text).unflatten(-1, (self.heads, -1)).chunk(2, -1)
        y = F.scaled_dot_product_attention(q.transpose(1, 2), self.k_norm(k).transpose(1, 2), v.transpose(1, 2),
                                           attn_mask=visible)
        return self.wo(y.transpose(1, 2).flatten(2))


class GeluProjection(nn.Module):
    """Linear, then the tanh GELU; the name `proj` is the checkpoint's."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Width to four times the width and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GeluProjection(width, 4 * width), nn.Identity(),
                                 nn.Linear(4 * width, width, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Modulated self-attention, plain cross-attention, modulated feed-forward."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        width = config.width
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)
        self.norm1 = nn.LayerNorm(width, eps=1e-5)
        self.attn1 = SelfAttention(config)
        self.attn2 = CrossAttention(config)
        self.norm2 = nn.LayerNorm(width, eps=1e-5)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, text: Tensor, visible: Tensor, modulation: Tensor, cos: Tensor,
                sin: Tensor) -> Tensor:
        table = (self.scale_shift_table + modulation).to(x.dtype)  # (batch, 6, width)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = table.unsqueeze(2).unbind(1)
        x = x + gate_a * self.attn1(self.norm1(x) * (1 + scale_a) + shift_a, cos, sin)
        x = x + self.attn2(x, text, visible)
        return x + gate_m * self.ff(self.norm2(x) * (1 + scale_m) + shift_m)


class TimestepEmbedder(nn.Module):
    """256 sinusoids of the timestep through two linears."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(256, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, timestep: Tensor) -> Tensor:
        frequencies = torch.exp(torch.arange(128, device=timestep.device, dtype=timestep.dtype)
                                * (-math.log(10000.0) / 128))
        angles = 1000.0 * timestep[:, None] * frequencies
        return self.linear_2(F.silu(self.linear_1(torch.cat([angles.cos(), angles.sin()], 1))))


class TimestepModulation(nn.Module):
    """The embedding and the six rows that every block adds to its table."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = nn.ModuleDict({"timestep_embedder": TimestepEmbedder(width)})
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.emb["timestep_embedder"](timestep)
        return embedding, self.linear(F.silu(embedding)).unflatten(1, (6, -1))


class CaptionProjection(nn.Module):
    """Step-LLM width to the transformer's."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.gelu(self.linear_1(x), approximate="tanh"))


class VideoDit(nn.Module):
    """Velocity of the latent (batch, frames, channels, rows, columns) at timestep t in [0, 1)."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.pos_embed = nn.ModuleDict({"proj": nn.Conv2d(config.in_channels, width, 1)})
        self.adaln_single = TimestepModulation(width)
        self.caption_projection = CaptionProjection(config.caption_channels[0], width)
        self.clip_projection = nn.Linear(config.caption_channels[1], width)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.num_layers))
        self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.proj_out = nn.Linear(width, config.in_channels)

    def forward(self, latents: Tensor, timestep: Tensor, llm_states: Tensor, clip_states: Tensor,
                mask: Tensor) -> Tensor:
        """`mask` (batch, clip + llm tokens) is a prefix of ones; returns the velocity, shaped as `latents`."""
        batch, frames, _, rows, columns = latents.shape
        x = self.pos_embed["proj"](latents.flatten(0, 1)).flatten(2).transpose(1, 2).reshape(
            batch, frames * rows * columns, -1)
        embedding, modulation = self.adaln_single(timestep)
        states = F.layer_norm(llm_states, llm_states.shape[-1:], eps=1e-6)
        text = torch.cat([self.clip_projection(clip_states), self.caption_projection(states)], 1)
        lengths = mask.sum(1).long()
        visible = (torch.arange(text.shape[1], device=text.device) < lengths[:, None])[:, None, None, :]
        cos, sin = rope_tables(frames, rows, columns, self.config.attention_head_dim, latents)
        for block in self.transformer_blocks:
            x = block(x, text, visible, modulation, cos, sin)
        shift, scale = (self.scale_shift_table + embedding[:, None]).to(x.dtype).unsqueeze(2).unbind(1)
        x = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
        return self.proj_out(x).transpose(1, 2).reshape(batch, -1, frames, rows, columns).transpose(1, 2)

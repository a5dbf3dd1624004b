"""The two text encoders, Step-LLM and the Hunyuan CLIP (a BERT), with the checkpoint's key names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class LlmConfig:
    """Sizes by the names of step_llm/config.json."""

    hidden_size: int = 128
    num_attention_heads: int = 2
    num_attention_groups: int = 1
    num_layers: int = 2
    ffn_hidden_size: int = 512
    padded_vocab_size: int = 960
    layernorm_epsilon: float = 1e-5


@dataclass(frozen=True)
class ClipConfig:
    """Sizes by the names of hunyuan_clip/clip_text_encoder/config.json."""

    vocab_size: int = 1063
    hidden_size: int = 128
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    intermediate_size: int = 512
    max_position_embeddings: int = 77
    layer_norm_eps: float = 1e-12


def alibi_slopes(heads: int) -> list[float]:
    """One slope a head; beyond the largest power of two, the odd halves fill in."""
    base = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (h + 1) / base) for h in range(base)]
    return slopes + [2.0 ** (-4.0 * (2 * (h - base) + 1) / base) for h in range(base, heads)]


class RmsNorm(nn.Module):
    """RMS normalisation over the hidden width."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


class LlmAttention(nn.Module):
    """Grouped causal attention whose scores fall by slope times the square root of the distance."""

    def __init__(self, config: LlmConfig) -> None:
        super().__init__()
        self.heads, self.groups = config.num_attention_heads, config.num_attention_groups
        self.head_dim = config.hidden_size // self.heads
        rows = config.hidden_size + 2 * self.groups * self.head_dim
        self.wqkv = nn.Linear(config.hidden_size, rows, bias=False)
        self.wo = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, kv = self.wqkv(x).split([width, 2 * self.groups * self.head_dim], -1)
        q = q.view(batch, tokens, self.heads, self.head_dim).transpose(1, 2)
        k, v = kv.view(batch, tokens, self.groups, 2, self.head_dim).unbind(3)
        share = self.heads // self.groups
        k, v = (part.repeat_interleave(share, 2).transpose(1, 2) for part in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.wo(y.transpose(1, 2).reshape(batch, tokens, width))


class SwiGlu(nn.Module):
    """w1 holds the gate's rows, then the value's."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, 2 * hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w1(x).chunk(2, -1)
        return self.w2(F.silu(gate) * value)


class LlmLayer(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, config: LlmConfig) -> None:
        super().__init__()
        self.attention = LlmAttention(config)
        self.attention_norm = RmsNorm(config.hidden_size, config.layernorm_epsilon)
        self.feed_forward = SwiGlu(config.hidden_size, config.ffn_hidden_size)
        self.ffn_norm = RmsNorm(config.hidden_size, config.layernorm_epsilon)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), bias)
        return x + self.feed_forward(self.ffn_norm(x))


class StepLlm(nn.Module):
    """Token ids (batch, tokens) to states (batch, tokens, hidden); no final norm."""

    def __init__(self, config: LlmConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_embeddings = nn.ModuleDict(
            {"word_embeddings": nn.Embedding(config.padded_vocab_size, config.hidden_size)})
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList(LlmLayer(config) for _ in range(config.num_layers))})

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tok_embeddings["word_embeddings"](ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        distance = positions[:, None] - positions
        slopes = torch.tensor(alibi_slopes(self.config.num_attention_heads), device=ids.device, dtype=x.dtype)
        bias = -slopes[:, None, None] * distance.clamp(min=0).to(x.dtype).sqrt()
        bias = bias.masked_fill(distance < 0, float("-inf"))
        for layer in self.transformer["layers"]:
            x = layer(x, bias)
        return x


class BertLayer(nn.Module):
    """Post-norm BERT layer; the nesting is the checkpoint's."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        self.attention = nn.ModuleDict({
            "self": nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")}),
            "output": nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=eps)})})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, config.intermediate_size)})
        self.output = nn.ModuleDict({"dense": nn.Linear(config.intermediate_size, width),
                                     "LayerNorm": nn.LayerNorm(width, eps=eps)})

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        projections = self.attention["self"]
        q, k, v = (projections[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for name in ("query", "key", "value"))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible).transpose(1, 2).flatten(2)
        x = self.attention["output"]["LayerNorm"](x + self.attention["output"]["dense"](y))
        y = self.output["dense"](F.gelu(self.intermediate["dense"](x)))
        return self.output["LayerNorm"](x + y)


class Bert(nn.Module):
    """Embeddings, layers, and the pooler that the checkpoint carries but nothing reads."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(config.vocab_size, width),
            "position_embeddings": nn.Embedding(config.max_position_embeddings, width),
            "token_type_embeddings": nn.Embedding(2, width),
            "LayerNorm": nn.LayerNorm(width, eps=config.layer_norm_eps)})
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        table = self.embeddings
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = table["word_embeddings"](ids) + table["position_embeddings"](positions)
        x = table["LayerNorm"](x + table["token_type_embeddings"].weight[0])
        visible = mask.bool()[:, None, None, :]
        for layer in self.encoder["layer"]:
            x = layer(x, visible)
        return x


class ClipText(nn.Module):
    """Token ids and mask (batch, 77) to the last hidden state."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = Bert(config)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.bert(ids, mask)

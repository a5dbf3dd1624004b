"""Time one block of the video transformer as the public release computes it: eager PyTorch in bf16, cuDNN attention.

    python compare_pytorch_block.py [--tokens 34x62x36] [--text-tokens 397] [--visible 200] [--runs 5]

The operations are the release's: LayerNorm, modulation, packed projections, RMSNorm of queries and keys,
3D rotary embedding, attention; cross-attention with a key mask; LayerNorm, modulation, feed forward with GELU; each
gate and residual a pass of its own. Weights are normal with variance 1/fan-in, inputs normal. Prints one JSON object:
versions, milliseconds of a block (median of runs between events, after two for warming up), peak bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

HEADS, DIM = 48, 128
WIDTH = HEADS * DIM


def matrix(rows: int, columns: int) -> Tensor:
    return (torch.randn(rows, columns, device="cuda") / columns**0.5).to(torch.bfloat16)


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * weight


def rotary_tables(frames: int, height: int, width: int) -> list[tuple[Tensor, Tensor]]:
    """Cosines and sines (1, tokens, 1, channels of a split) of the frame, the row and the column."""
    places = torch.stack(
        torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij"), -1
    ).reshape(-1, 3)
    tables = []
    for axis, channels in enumerate((DIM // 2, DIM // 4, DIM // 4)):
        rates = 1.0 / 10000 ** (torch.arange(0, channels, 2).float() / channels)
        angles = places[:, axis, None].float() * rates
        angles = torch.cat([angles, angles], -1).cuda().to(torch.bfloat16)[None, :, None, :]
        tables.append((angles.cos(), angles.sin()))
    return tables


def rotate(x: Tensor, tables: list[tuple[Tensor, Tensor]]) -> Tensor:
    parts = []
    for part, (cosine, sine) in zip(x.split([DIM // 2, DIM // 4, DIM // 4], -1), tables):
        first, second = part.chunk(2, -1)
        parts.append(part * cosine + torch.cat([-second, first], -1) * sine)
    return torch.cat(parts, -1)


class Block:
    def __init__(self) -> None:
        self.wqkv, self.wo = matrix(3 * WIDTH, WIDTH), matrix(WIDTH, WIDTH)
        self.cross_wq, self.cross_wkv, self.cross_wo = matrix(WIDTH, WIDTH), matrix(2 * WIDTH, WIDTH), matrix(WIDTH, WIDTH)
        self.feed_forward_in, self.feed_forward_out = matrix(4 * WIDTH, WIDTH), matrix(WIDTH, 4 * WIDTH)
        self.head_norms = [torch.ones(DIM, device="cuda", dtype=torch.bfloat16) for _ in range(4)]
        self.norms = [
            (torch.ones(WIDTH, device="cuda", dtype=torch.bfloat16), torch.zeros(WIDTH, device="cuda", dtype=torch.bfloat16))
            for _ in range(2)
        ]
        self.table = matrix(6, WIDTH)

    def __call__(self, x: Tensor, text: Tensor, mask: Tensor, time: Tensor, tables: list[tuple[Tensor, Tensor]]) -> Tensor:
        batch, tokens, _ = x.shape
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (self.table[None] + time.reshape(batch, 6, -1)).chunk(6, 1)
        y = F.layer_norm(x, (WIDTH,), *self.norms[0], 1e-5) * (1 + scale_a) + shift_a
        q, k, v = F.linear(y, self.wqkv).view(batch, tokens, HEADS, 3 * DIM).chunk(3, -1)
        q = rotate(rms_norm(q, self.head_norms[0]), tables)
        k = rotate(rms_norm(k, self.head_norms[1]), tables)
        with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
            attended = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x = gate_a * F.linear(attended.transpose(1, 2).reshape(batch, tokens, WIDTH), self.wo) + x

        q = rms_norm(F.linear(x, self.cross_wq).view(batch, tokens, HEADS, DIM), self.head_norms[2])
        k, v = F.linear(text, self.cross_wkv).view(batch, -1, HEADS, 2 * DIM).chunk(2, -1)
        k = rms_norm(k, self.head_norms[3])
        attended = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
        x = F.linear(attended.transpose(1, 2).reshape(batch, tokens, WIDTH), self.cross_wo) + x

        y = F.layer_norm(x, (WIDTH,), *self.norms[1], 1e-5) * (1 + scale_m) + shift_m
        return gate_m * F.linear(F.gelu(F.linear(y, self.feed_forward_in), approximate="tanh"), self.feed_forward_out) + x


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", default="36x34x62", help="frames x rows x columns of the latent")
    parser.add_argument("--text-tokens", type=int, default=397)
    parser.add_argument("--visible", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    shape = tuple(int(extent) for extent in arguments.tokens.split("x"))
    torch.manual_seed(1)
    tokens = shape[0] * shape[1] * shape[2]
    block, tables = Block(), rotary_tables(*shape)
    x = torch.randn(1, tokens, WIDTH, device="cuda").to(torch.bfloat16)
    text = torch.randn(1, arguments.text_tokens, WIDTH, device="cuda").to(torch.bfloat16)
    time = matrix(1, 6 * WIDTH)
    mask = torch.zeros(1, 1, tokens, arguments.text_tokens, device="cuda", dtype=torch.bfloat16)
    mask[..., arguments.visible :] = -1e4
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(arguments.runs)]
    for _ in range(2):
        block(x, text, mask, time, tables)
    torch.cuda.reset_peak_memory_stats()
    for begin, end in events:
        begin.record()
        block(x, text, mask, time, tables)
        end.record()
    torch.cuda.synchronize()
    print(
        json.dumps(
            {
                "versions": f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}",
                "milliseconds": statistics.median(begin.elapsed_time(end) for begin, end in events),
                "peak_bytes": torch.cuda.max_memory_allocated(),
            }
        )
    )


if __name__ == "__main__":
    main()

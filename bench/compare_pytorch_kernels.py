"""Time PyTorch's kernels on the GPU, for the rows of `stepvideo bench kernels`.

    python compare_pytorch_kernels.py [--attention NAME=BACKEND:QUERIES:KEYS:HEADS]... [--kernel NAME]...

BACKEND is cudnn or flash, the one backend that scaled_dot_product_attention may use. --kernel asks for the operations
of bench/NAME.cu that EAGER has. Prints one JSON object: versions, and for each row the library and the median milliseconds.
Inputs are normal, take turns and together exceed the L2; each run is between two events; all runs of a burst are enqueued
before the first is waited for.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {"cudnn": (SDPBackend.CUDNN_ATTENTION, "cuDNN"), "flash": (SDPBackend.FLASH_ATTENTION, "FlashAttention-2")}
TOKENS, WIDTH, DIM = 75_888, 6144, 128
L2_BYTES = 60e6

Call = Callable[[int], object]


BURST_MS, PAUSE_MS, BURSTS = 20, 80, 5  # as in bench/support/timing.cuh, which says why


def median_ms(call: Call, least_ms: float = 300) -> float:
    """The median over at least 5 runs that fill `least_ms`, after two for warming up; short runs in bursts."""

    def times(first: int, runs: int) -> list[float]:
        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(runs)]
        for run, (begin, end) in enumerate(events):
            begin.record()
            call(first + run)
            end.record()
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) for begin, end in events]

    estimate = max(min(times(0, 2)), 1e-3)
    is_short = estimate < BURST_MS
    if is_short:
        least_ms = min(least_ms, BURSTS * BURST_MS)
    runs = int(min(max(math.ceil(least_ms / estimate), 5), 200))
    at_once = math.ceil(BURST_MS / estimate) if is_short else runs
    measured: list[float] = []
    while len(measured) < runs:
        if measured:
            time.sleep(1e-3 * PAUSE_MS)
        measured += times(2 + len(measured), min(at_once, runs - len(measured)))
    return statistics.median(measured)


def normal(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Callable[[int], Tensor]:
    """Tensors that take turns, by run."""
    count = int(min(max(4 * L2_BYTES / (math.prod(shape) * dtype.itemsize), 2), 16))
    sets = [torch.randn(*shape, device="cuda", dtype=dtype) for _ in range(count)]
    return lambda run: sets[run % count]


def attention(backend: str, queries: int, keys: int, heads: int) -> Call:
    q, k, v = normal(1, heads, queries, DIM), normal(1, heads, keys, DIM), normal(1, heads, keys, DIM)

    def call(run: int) -> Tensor:
        with sdpa_kernel(BACKENDS[backend][0]):
            return F.scaled_dot_product_attention(q(run), k(run), v(run))

    return call


def rms_norm() -> Call:
    x, weight = normal(1, TOKENS, WIDTH // DIM, DIM), normal(DIM)
    return lambda run: F.rms_norm(x(run), (DIM,), weight(0), 1e-6)


def layer_norm(dtype: torch.dtype) -> Call:
    """In bf16 whatever the stream is in, as our rows are."""
    x, weight, bias = normal(TOKENS, WIDTH, dtype=dtype), normal(WIDTH), normal(WIDTH)
    scale, shift = normal(WIDTH), normal(WIDTH)

    def call(run: int) -> Tensor:
        return F.layer_norm(x(run).bfloat16(), (WIDTH,), weight(0), bias(0), 1e-5) * (1 + scale(0)) + shift(0)

    return call


def gated_layer_norm(dtype: torch.dtype) -> Call:
    stream, delta, gate = normal(TOKENS, WIDTH, dtype=dtype), normal(TOKENS, WIDTH), normal(WIDTH)
    weight, bias, scale, shift = normal(WIDTH), normal(WIDTH), normal(WIDTH), normal(WIDTH)

    def call(run: int) -> Tensor:
        x = stream(run).add_(gate(0) * delta(run))
        return F.layer_norm(x.bfloat16(), (WIDTH,), weight(0), bias(0), 1e-5) * (1 + scale(0)) + shift(0)

    return call


def gated_residual() -> Call:
    stream, delta, gate = normal(TOKENS, WIDTH, dtype=torch.float32), normal(TOKENS, WIDTH), normal(WIDTH)
    return lambda run: stream(run).add_(gate(0) * delta(run)).bfloat16()


def linear(columns: int, depth: int, activation: Callable[[Tensor], Tensor] | None = None) -> Call:
    x, weight = normal(TOKENS, depth), normal(columns, depth)
    for run in range(16):
        weight(run).copy_(torch.randn_like(weight(run)) / math.sqrt(depth))  # as bench/linear_device.cu has them
    if activation is None:
        return lambda run: F.linear(x(run), weight(run))
    return lambda run: activation(F.linear(x(run), weight(run)))


def gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def guided_step(width: int) -> Call:
    prompted, negative, latents = (normal(TOKENS, width, dtype=torch.float32) for _ in range(3))
    return lambda run: latents(run).add_((negative(run) + 9.0 * (prompted(run) - negative(run))) * 0.03)


def causal_conv3d(in_channels: int, out_channels: int, frames: int, height: int, width: int) -> Call:
    """Behind its two zero frames, which are there already, channels last; cuDNN may choose by timing."""
    torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = True, 4
    channels_last = torch.channels_last_3d
    x = normal(1, in_channels, frames + 2, height, width)
    sets = [x(run).contiguous(memory_format=channels_last) for run in range(2)]
    weight = torch.randn(out_channels, in_channels, 3, 3, 3, device="cuda", dtype=torch.bfloat16)
    weight = (weight / math.sqrt(27 * in_channels)).contiguous(memory_format=channels_last)
    bias = torch.randn(out_channels, device="cuda", dtype=torch.bfloat16)
    return lambda run: F.conv3d(sets[run % 2], weight, bias, padding=(0, 1, 1))


CONVOLUTIONS = [
    (512, 512, 20, 272, 496),
    (512, 512, 10, 136, 248),
    (256, 256, 20, 272, 496),
    (512, 256, 20, 272, 496),
    (128, 128, 20, 544, 992),
    (256, 128, 20, 544, 992),
]


def conv_rows() -> dict[str, Callable[[], Call]]:
    """After a doubling, of the video that is doubled already."""

    def row(shape: tuple[int, ...], kind: str = "") -> str:
        return "causal_conv3d{}, bf16, {} to {}, {} x {} x {}".format(kind, *shape)

    rows = {row(shape): lambda shape=shape: causal_conv3d(*shape) for shape in CONVOLUTIONS}
    rows[row(CONVOLUTIONS[0], " after a doubling")] = lambda: causal_conv3d(*CONVOLUTIONS[0])
    return rows


# By the name of the bench, then of its row.
EAGER: dict[str, dict[str, Callable[[], Call]]] = {
    "rms_norm": {"rms_norm, bf16, 75888 x 48 x 128": rms_norm},
    "layer_norm": {
        "layer_norm, float to bf16, modulated, 75888 x 6144": lambda: layer_norm(torch.float32),
        "layer_norm, bf16 to bf16, modulated, 75888 x 6144": lambda: layer_norm(torch.bfloat16),
    },
    "gated_layer_norm": {
        "gated_residual_layer_norm, float stream, bf16 out, 75888 x 6144": lambda: gated_layer_norm(torch.float32),
        "gated_residual_layer_norm, bf16 stream, bf16 out, 75888 x 6144": lambda: gated_layer_norm(torch.bfloat16),
    },
    "gated_residual": {"gated_residual, float stream, bf16 out, 75888 x 6144": gated_residual},
    "linear_device": {
        "linear, bf16, 75888 x 18432 x 6144": lambda: linear(3 * WIDTH, WIDTH),
        "linear, bf16, 75888 x 6144 x 6144": lambda: linear(WIDTH, WIDTH),
        "linear, bf16, GELU, 75888 x 24576 x 6144": lambda: linear(4 * WIDTH, WIDTH, gelu_tanh),
        "linear, bf16, 75888 x 6144 x 24576": lambda: linear(WIDTH, 4 * WIDTH),
    },
    "causal_conv3d_device": conv_rows(),
    "guided_step": {
        "guided_step, 75888 x 64": lambda: guided_step(64),
        "guided_step, 75888 x 6144": lambda: guided_step(WIDTH),
    },
}


def parse_attention(text: str) -> tuple[str, str, list[int]]:
    name, shape = text.rsplit("=", 1)
    backend, *extents = shape.split(":")
    return name, backend, [int(extent) for extent in extents]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", action="append", default=[], type=parse_attention)
    parser.add_argument("--kernel", action="append", default=[])
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit(f"PyTorch {torch.__version__} sees no CUDA GPU")
    torch.manual_seed(1)
    rows, timed = {}, {}
    with torch.no_grad():
        for name, backend, extents in arguments.attention:
            key = (backend, *extents)
            if key not in timed:
                timed[key] = median_ms(attention(backend, *extents))
                torch.cuda.empty_cache()
            rows[name] = {"library": BACKENDS[backend][1], "milliseconds": timed[key]}
        for kernel in arguments.kernel:
            for name, operation in EAGER.get(kernel, {}).items():
                rows[name] = {"library": "cuDNN" if kernel.startswith("causal_conv3d") else "eager", "milliseconds": median_ms(operation())}
                torch.cuda.empty_cache()
    print(json.dumps({"pytorch": torch.__version__, "cuda": torch.version.cuda,
                      "cudnn": torch.backends.cudnn.version(), "rows": rows}))


if __name__ == "__main__":
    main()

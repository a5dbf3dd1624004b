"""Write a checkpoint of the release's video transformer, all its tensors in bf16 with random values: 58.7 GB.

    python write_transformer_checkpoint.py FOLDER [--layers 48] [--seed 1]

Writes FOLDER/transformer/{config.json, diffusion_pytorch_model.safetensors}, which `stepvideo denoise --model FOLDER`
loads. Matrices are normal with variance 1/fan-in, norms and tables near what training leaves; values are made on the
GPU where there is one. Into /dev/shm it takes seconds, and then loading it measures the path from the page cache.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

WIDTH, HEAD_DIM, CHANNELS, CLIP_WIDTH, TIME_CHANNELS = 6144, 128, 64, 1024, 256
WRITERS = 12


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    tensors: dict[str, tuple[int, ...]] = {"pos_embed.proj.weight": (WIDTH, CHANNELS, 1, 1), "pos_embed.proj.bias": (WIDTH,)}

    def with_bias(name: str, rows: int, columns: int) -> None:
        tensors[name + ".weight"], tensors[name + ".bias"] = (rows, columns), (rows,)

    with_bias("adaln_single.emb.timestep_embedder.linear_1", WIDTH, TIME_CHANNELS)
    with_bias("adaln_single.emb.timestep_embedder.linear_2", WIDTH, WIDTH)
    with_bias("adaln_single.linear", 6 * WIDTH, WIDTH)
    with_bias("caption_projection.linear_1", WIDTH, WIDTH)
    with_bias("caption_projection.linear_2", WIDTH, WIDTH)
    with_bias("clip_projection", WIDTH, CLIP_WIDTH)
    for layer in range(layers):
        block = f"transformer_blocks.{layer}."
        tensors[block + "scale_shift_table"] = (6, WIDTH)
        for norm in ("norm1", "norm2"):
            tensors[block + norm + ".weight"] = tensors[block + norm + ".bias"] = (WIDTH,)
        for norm in ("attn1.q_norm", "attn1.k_norm", "attn2.q_norm", "attn2.k_norm"):
            tensors[block + norm + ".weight"] = (HEAD_DIM,)
        for name, rows, columns in (
            ("attn1.wqkv", 3, 1), ("attn1.wo", 1, 1), ("attn2.wq", 1, 1), ("attn2.wkv", 2, 1), ("attn2.wo", 1, 1),
            ("ff.net.0.proj", 4, 1), ("ff.net.2", 1, 4),
        ):  # fmt: skip
            tensors[block + name + ".weight"] = (rows * WIDTH, columns * WIDTH)
    tensors["scale_shift_table"] = (2, WIDTH)
    with_bias("proj_out", CHANNELS, WIDTH)
    return tensors


def values(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(shape, generator=generator, device=generator.device)
    if len(shape) == 1:
        return 0.02 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return noise / math.sqrt(math.prod(shape[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tensors = shapes(arguments.layers)
    header, end = {}, 0
    for name, shape in tensors.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)

    folder = arguments.folder / "transformer"
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "_class_name": "StepVideoModel", "num_attention_heads": WIDTH // HEAD_DIM, "attention_head_dim": HEAD_DIM,
        "in_channels": CHANNELS, "out_channels": CHANNELS, "num_layers": arguments.layers,
        "caption_channels": [WIDTH, CLIP_WIDTH],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    path = folder / "diffusion_pytorch_model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    data = np.memmap(path, np.uint16, "r+", offset=8 + len(text))
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def write(item: tuple[int, tuple[str, tuple[int, ...]]]) -> None:
        number, (name, shape) = item
        generator = torch.Generator(device).manual_seed(arguments.seed * 100_000 + number)
        first, last = (offset // 2 for offset in header[name]["data_offsets"])
        bits = values(name, shape, generator).to(torch.bfloat16).view(torch.uint16).flatten()
        data[first:last] = bits.cpu().numpy()

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(write, enumerate(tensors.items())):
            pass
    print(f"{path}: {len(tensors)} tensors, {end / 1e9:.1f} GB")


if __name__ == "__main__":
    main()

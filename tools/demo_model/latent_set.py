"""The latents that the transformer trains on: clips of training scenes through the VAE's encoder."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from render import SceneBatch, render, select
from vae import VideoVae


@torch.no_grad()
def encode_set(vae: VideoVae, scenes: SceneBatch, frames: int, clips: int, seconds: float, seed: int,
               batch: int = 96) -> tuple[Tensor, Tensor]:
    """Means (clips, latent frames, channels, h, w) and scene indices (clips,); stops early after `seconds`."""
    device = scenes.colour.device
    generator = torch.Generator(device).manual_seed(seed)
    latents, indices, start = [], [], time.monotonic()
    while len(latents) * batch < clips and time.monotonic() - start < seconds:
        index = torch.randint(len(scenes), (batch,), device=device, generator=generator)
        video, _ = render(select(scenes, index), frames, generator)
        with torch.autocast(device.type, torch.bfloat16):
            latents.append(vae.encode(video)[0].float())
        indices.append(index)
        if device.type == "cuda":
            torch.cuda.synchronize()
    print(f"encoded {len(latents) * batch} clips of {frames} frames in {time.monotonic() - start:.0f}s")
    return torch.cat(latents), torch.cat(indices)

"""Accuracy on held-out prompts with the PyTorch sampler: decoded frames go straight to the judge."""

from __future__ import annotations

import os
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from captions import held_out_prompts
from judge import judge_frames
from prompt_tokens import PromptTokenizer
from text_to_velocity import TextToVelocity
from vae import VideoVae
from video_file import to_pixels

ATTRIBUTES = ("colour", "shape", "direction")


@torch.no_grad()
def generate(model: TextToVelocity, vae: VideoVae, tokenizer: PromptTokenizer, texts: list[str], frames: int,
             seed: int, *, steps: int, cfg_scale: float, time_shift: float) -> Tensor:
    """Decoded clips (prompts, frames, 3, H, W)."""
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    noise = torch.randn(len(texts), 3 * frames // 17, vae.config.z_channels, 6, 6, device=device, generator=generator)
    prompts = tuple(part.to(device) for part in tokenizer.batch(texts, 64))
    negative = tuple(part.to(device) for part in tokenizer.batch([""], 64))
    latents = model.sample(noise, prompts, negative, steps=steps, cfg_scale=cfg_scale, time_shift=time_shift)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        return torch.cat([vae.decode(part).float() for part in latents.split(32)])


def evaluate(model: TextToVelocity, vae: VideoVae, folder: Path, *, english: int = 200, chinese: int = 100,
             frames: int = 17, seed: int = 0, **settings: float) -> dict[str, float]:
    """Print and return the accuracy of each attribute in each language."""
    tokenizer = PromptTokenizer(folder)
    pairs = held_out_prompts(english, "en", seed) + held_out_prompts(chinese, "zh", seed)
    video = generate(model, vae, tokenizer, [text for text, _ in pairs], frames, seed, **settings)
    with get_context("spawn").Pool(min(16, os.cpu_count() or 1)) as pool:
        verdicts = pool.map(judge_frames, [to_pixels(clip) for clip in video], chunksize=8)
    right: Counter[str] = Counter()
    misses = []
    for index, ((text, scene), verdict) in enumerate(zip(pairs, verdicts)):
        wrong = [name for name in ATTRIBUTES if getattr(scene, name) != getattr(verdict, name)]
        language = "en" if index < english else "zh"
        for name in ATTRIBUTES:
            right[f"{language} {name}"] += name not in wrong
        if wrong:
            misses.append(f"{text!r}: {[(getattr(scene, n), getattr(verdict, n)) for n in wrong]}")
    counts = {"en": english, "zh": chinese}
    scores = {key: 100.0 * right[key] / counts[key[:2]] for key in sorted(right) if counts[key[:2]]}
    print(f"{frames} frames, {settings}: " + ", ".join(f"{key} {value:.1f}" for key, value in scores.items()))
    for line in misses[:6]:
        print("   missed", line)
    return scores

"""Train the demo's video VAE on rendered clips.

    python train_vae.py --minutes 9 --output runs/vae
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from render import render, scene_batch, select, training_scenes
from training import Clock, MovingAverage, load_parts, pick_device, save_parts
from vae import VaeConfig, VideoVae

CONFIGS = {
    "narrow": VaeConfig(),
    "even": VaeConfig(decoder_multipliers=(1, 2, 1, 1)),
    "wide": VaeConfig(decoder_multipliers=(2, 1, 1, 1)),
}
LEAST_NOISE = 0.1  # the decoder never sees cleaner latents than this in training
OBJECT_WEIGHT = 4.0
PRIOR_WEIGHT = 1e-3
SCALE_WEIGHT = 1e-2


class VaeLoss(nn.Module):
    """Weighted L1 of the reconstruction, a small KL, and a pull of each channel to zero mean and unit variance."""

    def __init__(self, vae: VideoVae) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, video: Tensor, coverage: Tensor, noise: Tensor, kl_weight: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and [L1, KL, latent standard deviation] for the log."""
        mean, logvar = self.vae.encode(video)
        mean, logvar = mean.float(), logvar.float()
        z = mean + torch.exp(0.5 * logvar).clamp(min=LEAST_NOISE) * noise
        output = self.vae.decode(z).float()
        near = F.max_pool2d(coverage.flatten(0, 1), 9, 1, 4).view_as(coverage)
        error = (output - video).abs()
        reconstruction = (error * (1.0 + OBJECT_WEIGHT * near)).mean()
        kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        axes = (0, 1, 3, 4)
        scale = ((mean.square().mean(axes) - 1.0).square() + mean.mean(axes).square()).mean()
        loss = reconstruction + kl_weight * kl + SCALE_WEIGHT * scale
        return loss, torch.stack([error.mean(), kl, mean.std()]).detach()


@torch.no_grad()
def psnr(vae: VideoVae, device: torch.device, clips: int = 64) -> float:
    """Peak signal-to-noise ratio of reconstructions from the mean, over fresh clips."""
    scenes = scene_batch(training_scenes()).to(device)
    generator = torch.Generator(device).manual_seed(99)
    index = torch.randint(len(scenes), (clips,), device=device, generator=generator)
    video, _ = render(select(scenes, index), 17, generator)
    with torch.autocast(device.type, torch.bfloat16):
        output = torch.cat([vae.decode(vae.encode(part)[0].float()) for part in video.split(16)])
    return float(10.0 * torch.log10(4.0 / (output.float().clamp(-1, 1) - video).square().mean()))


def train(config: VaeConfig, minutes: float, batch: int, peak: float, seed: int, resume: Path | None,
          steps: int | None = None, compiled: bool = True) -> VideoVae:
    """Train by the clock (or for `steps`), return the module holding the averaged weights."""
    device = pick_device()
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    vae = VideoVae(config).to(device)
    if resume:
        load_parts(vae, resume)
    objective: nn.Module = VaeLoss(vae)
    if compiled:
        objective = torch.compile(objective)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=peak, betas=(0.9, 0.95), weight_decay=0.0,
                                  fused=device.type == "cuda")
    average = MovingAverage(vae, 0.998)
    scenes = scene_batch(training_scenes()).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    clock, step, shown = Clock(minutes), 0, time.monotonic()
    while clock.fraction < 1.0 and (steps is None or step < steps):
        index = torch.randint(len(scenes), (batch,), device=device, generator=generator)
        video, coverage = render(select(scenes, index), 17, generator)
        noise = torch.randn(batch, 3, config.z_channels, 6, 6, device=device, generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = clock.learning_rate(step, peak)
        kl_weight = torch.tensor(PRIOR_WEIGHT * min(1.0, 0.05 + 2.0 * clock.fraction), device=device)
        with torch.autocast(device.type, torch.bfloat16):
            loss, parts = objective(video, coverage, noise, kl_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update()
        step += 1
        if step in (1, 2, 10, 50) or time.monotonic() - shown > 15:
            shown = time.monotonic()
            l1, kl, std = parts.tolist()
            print(f"vae step {step} {clock.elapsed:.0f}s loss {loss.item():.4f} l1 {l1:.4f} kl {kl:.3f} std {std:.2f}")
    average.swap()
    print(f"vae: {step} steps of {batch} clips in {clock.elapsed:.0f}s, PSNR {psnr(vae, device):.1f} dB")
    return vae


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", choices=sorted(CONFIGS), default="wide")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--resume", type=Path, help="continue from this checkpoint")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write (PATH.0)")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    vae = train(CONFIGS[arguments.config], arguments.minutes, arguments.batch, arguments.learning_rate,
                arguments.seed, arguments.resume, arguments.steps, not arguments.no_compile)
    save_parts(vae, arguments.output, 1)


if __name__ == "__main__":
    main()

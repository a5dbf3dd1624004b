"""The flow-matching sampler: sigma rises from noise (0) to data (1)."""

from __future__ import annotations

import torch
from torch import Tensor

from dit import VideoDit


def sigmas(steps: int, time_shift: float) -> Tensor:
    """steps + 1 values from 0 to 1, shifted, in float64."""
    s = torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64)
    return 1.0 - time_shift * s / (1.0 + (time_shift - 1.0) * s)


def guided_sample(dit: VideoDit, noise: Tensor, llm_states: Tensor, clip_states: Tensor, mask: Tensor, *, steps: int,
                  cfg_scale: float, time_shift: float, trace: list[Tensor] | None = None) -> Tensor:
    """Integrate from `noise` (batch, frames, channels, h, w); the states hold the prompts, then the negatives.

    `trace`, when given, receives the latents after each step.
    """
    schedule = sigmas(steps, time_shift).tolist()
    latents, batch = noise, noise.shape[0]
    for now, after in zip(schedule, schedule[1:]):
        timestep = torch.full((2 * batch,), now, device=noise.device, dtype=noise.dtype)
        pair = dit(torch.cat([latents, latents]), timestep, llm_states, clip_states, mask)
        conditional, unconditional = pair.chunk(2)
        velocity = unconditional + cfg_scale * (conditional - unconditional)
        latents = latents + velocity.to(latents.dtype) * (after - now)
        if trace is not None:
            trace.append(latents)
    return latents

"""The transformer and its two text encoders as one trainable module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dit import DitConfig, VideoDit
from prompt_tokens import CLIP_TOKENS
from sampler import guided_sample
from text_encoders import ClipConfig, ClipText, LlmConfig, StepLlm

TokenBatch = tuple[Tensor, Tensor, Tensor, Tensor]  # llm ids, llm lengths, clip ids, clip lengths


class TextToVelocity(nn.Module):
    """Noisy latents, timesteps and token ids to velocities."""

    def __init__(self, dit: DitConfig = DitConfig(), llm: LlmConfig = LlmConfig(),
                 clip: ClipConfig = ClipConfig()) -> None:
        super().__init__()
        self.dit, self.llm, self.clip = VideoDit(dit), StepLlm(llm), ClipText(clip)

    def initialize(self) -> None:
        """Start with no modulation and a zero velocity, so that early steps learn the blocks' shortcuts first."""
        for linear in (self.dit.adaln_single.linear, self.dit.proj_out):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        for module in (*self.llm.modules(), *self.clip.modules()):
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.5)

    def encode_text(self, tokens: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
        """LLM states, CLIP states and the transformer's key mask (all CLIP positions, then the real LLM tokens)."""
        llm_ids, llm_lengths, clip_ids, clip_lengths = (part.long() for part in tokens)
        clip_mask = torch.arange(CLIP_TOKENS, device=clip_ids.device) < clip_lengths[:, None]
        llm_mask = torch.arange(llm_ids.shape[1], device=llm_ids.device) < llm_lengths[:, None]
        mask = torch.cat([torch.ones_like(clip_mask), llm_mask], 1)
        return self.llm(llm_ids), self.clip(clip_ids, clip_mask), mask.int()

    def forward(self, latents: Tensor, timestep: Tensor, tokens: TokenBatch) -> Tensor:
        return self.dit(latents, timestep, *self.encode_text(tokens))

    @torch.no_grad()
    def sample(self, noise: Tensor, prompts: TokenBatch, negative: TokenBatch, *, steps: int, cfg_scale: float,
               time_shift: float) -> Tensor:
        """Latents for a batch of prompts against one negative prompt."""
        batch = noise.shape[0]
        both = tuple(torch.cat([p, n.expand(batch, *n.shape[1:])]) for p, n in zip(prompts, negative))
        states = self.encode_text(both)
        return guided_sample(self.dit, noise, *states, steps=steps, cfg_scale=cfg_scale, time_shift=time_shift)

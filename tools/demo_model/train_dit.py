"""Train the demo's transformer and text encoders on the VAE's latents by flow matching.

    python train_dit.py --vae runs/vae --model ../../models/demo --minutes 9 --output runs/dit
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latent_set import encode_set
from prompt_tokens import PromptTokenizer, caption_pool
from raw_evaluation import evaluate
from render import SceneBatch, scene_batch, training_scenes
from scene import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, SPEEDS
from text_to_velocity import TextToVelocity, TokenBatch
from train_vae import CONFIGS
from training import Clock, MovingAverage, load_parts, pick_device, save_parts
from vae import VideoVae

LLM_TOKENS = 48  # no caption is longer; the encoder is causal, so shorter padding changes nothing
EMPTY_SHARE = 0.1
HEADS_WEIGHT = 0.1
EARLY_SHIFT = 5.0  # half of the timesteps are drawn towards the noisy end


class FlowLoss(nn.Module):
    """Mean squared error of the velocity data - noise at x_t = (1 - t) noise + t data, and attribute heads.

    The heads read the attributes off the last LLM state and the first CLIP state. They exist in training alone: they
    teach the encoders the words that the velocity error, which direction hardly moves, would teach slowly.
    """

    def __init__(self, model: TextToVelocity) -> None:
        super().__init__()
        self.model = model
        self.sizes = [len(names) for names in (COLOURS, SHAPES, DIRECTIONS, SPEEDS, BACKGROUNDS)]
        self.llm_head = nn.Linear(model.llm.config.hidden_size, sum(self.sizes))
        self.clip_head = nn.Linear(model.clip.config.hidden_size, sum(self.sizes))

    def forward(self, data: Tensor, noise: Tensor, timestep: Tensor, tokens: TokenBatch,
                labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and [velocity error, direction's cross-entropy] for the log; label -1 counts for nothing."""
        t = timestep[:, None, None, None, None]
        llm_states, clip_states, mask = self.model.encode_text(tokens)
        velocity = self.model.dit((1.0 - t) * noise + t * data, timestep, llm_states, clip_states, mask)
        error = (velocity.float() - (data - noise)).square().mean()
        last = llm_states[torch.arange(len(data), device=data.device), tokens[1].long() - 1]
        states = F.layer_norm(last, last.shape[-1:])
        entropies = []
        for logits in (self.llm_head(states).float(), self.clip_head(clip_states[:, 0]).float()):
            for column, part in enumerate(logits.split(self.sizes, -1)):
                entropies.append(F.cross_entropy(part, labels[:, column], ignore_index=-1))
        heads = torch.stack(entropies)
        return error + HEADS_WEIGHT * heads.mean(), torch.stack([error, heads[2], heads[7]]).detach()


class Batches:
    """Random training batches: latents, and captions of their scenes or the empty caption."""

    def __init__(self, sets: dict[int, tuple[Tensor, Tensor]], pool: TokenBatch, empty: TokenBatch,
                 scenes: SceneBatch, generator: torch.Generator) -> None:
        self.labels = torch.stack([scenes.colour, scenes.shape, scenes.direction, scenes.speed, scenes.background], 1)
        self.sets, self.pool, self.empty, self.generator = sets, pool, empty, generator
        self.device = pool[0].device

    def draw(self, frames: int, batch: int) -> tuple[Tensor, Tensor, Tensor, TokenBatch, Tensor]:
        """data, noise, timesteps, tokens and the attributes' labels."""
        options = {"device": self.device, "generator": self.generator}
        latents, scenes = self.sets[frames]
        index = torch.randint(len(latents), (batch,), **options)
        choice = torch.randint(self.pool[0].shape[1], (batch,), **options)
        dropped = torch.rand(batch, **options) < EMPTY_SHARE
        tokens = []
        for column, empty in zip(self.pool, self.empty):
            picked = column[scenes[index], choice]
            tokens.append(torch.where(dropped.view(-1, *[1] * (picked.dim() - 1)), empty, picked))
        s = torch.rand(batch, **options)
        shift = torch.where(torch.rand(batch, **options) < 0.5, EARLY_SHIFT, 1.0)
        timestep = 1.0 - shift * s / (1.0 + (shift - 1.0) * s)
        data = latents[index]
        labels = torch.where(dropped[:, None], -1, self.labels[scenes[index]])
        return data, torch.randn(data.shape, **options), timestep, tuple(tokens), labels


def prepare(vae: VideoVae, folder: Path, clips: int, captions: int, seed: int, device: torch.device) -> Batches:
    """Encode the latent sets and tokenize the captions."""
    names = training_scenes()
    start = time.monotonic()
    pool = caption_pool(folder, names, captions, LLM_TOKENS, seed, os.cpu_count() or 1)
    print(f"{len(names)} scenes x {captions} captions in {time.monotonic() - start:.0f}s")
    scenes = scene_batch(names).to(device)
    sets = {17: encode_set(vae, scenes, 17, clips, 45.0, seed),
            34: encode_set(vae, scenes, 34, clips // 2, 45.0, seed + 1)}
    empty = PromptTokenizer(folder).batch([""], LLM_TOKENS)
    return Batches(sets, tuple(part.to(device) for part in pool), tuple(part.to(device) for part in empty),
                   scenes, torch.Generator(device).manual_seed(seed))


def train(model: TextToVelocity, batches: Batches, clock: Clock, batch: int, peak: float, steps: int | None,
          compiled: bool) -> None:
    """Train by the clock (or for `steps`); the model ends with its averaged weights."""
    device = batches.device
    objective: nn.Module = FlowLoss(model).to(device)
    decayed = [p for p in objective.parameters() if p.dim() >= 2]
    plain = [p for p in objective.parameters() if p.dim() < 2]
    average = MovingAverage(model, 0.9995)
    if compiled:
        torch._dynamo.config.cache_size_limit = 16
        objective = torch.compile(objective, dynamic=False)
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01},
                                   {"params": plain, "weight_decay": 0.0}],
                                  lr=peak, betas=(0.9, 0.98), fused=device.type == "cuda")
    step, shown, running = 0, time.monotonic(), torch.zeros(3, device=device)
    while clock.fraction < 1.0 and (steps is None or step < steps):
        long = step % 3 == 2
        inputs = batches.draw(34 if long else 17, batch // 2 if long else batch)
        for group in optimizer.param_groups:
            group["lr"] = clock.learning_rate(step, peak, 500)
        with torch.autocast(device.type, torch.bfloat16):
            loss, parts = objective(*inputs)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update()
        running = running.lerp(parts, 0.02 if step else 1.0)
        step += 1
        if step in (1, 3, 20, 100) or time.monotonic() - shown > 20:
            shown = time.monotonic()
            error, llm, clip = running.tolist()
            print(f"dit step {step} {clock.elapsed:.0f}s velocity {error:.4f} direction heads {llm:.3f} {clip:.3f}")
    average.swap()
    print(f"dit: {step} steps of {batch} clips in {clock.elapsed:.0f}s")


def main() -> None:
    """Prepare, train, save, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, required=True, help="checkpoint written by train_vae.py")
    parser.add_argument("--vae-config", choices=sorted(CONFIGS), default="wide")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder with the tokenizers")
    parser.add_argument("--minutes", type=float, default=9.0, help="training time, the preparation not counted")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--clips", type=int, default=40960, help="17-frame clips to encode; half as many of 34 frames")
    parser.add_argument("--captions", type=int, default=96, help="captions of each scene")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write (PATH.0, PATH.1)")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--evaluations", type=int, default=5, help="sampler settings to try at the end")
    arguments = parser.parse_args()
    device = pick_device()
    torch.manual_seed(arguments.seed)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    vae = VideoVae(CONFIGS[arguments.vae_config]).to(device).eval()
    load_parts(vae, arguments.vae)
    model = TextToVelocity().to(device)
    model.initialize()
    if arguments.resume:
        load_parts(model, arguments.resume)
    batches = prepare(vae, arguments.model, arguments.clips, arguments.captions, arguments.seed, device)
    train(model, batches, Clock(arguments.minutes), arguments.batch, arguments.learning_rate, arguments.steps,
          not arguments.no_compile)
    save_parts(model, arguments.output, 2)
    settings = [(16, 3.0, 3.0), (20, 4.0, 3.0), (12, 4.0, 3.0), (8, 3.0, 2.0), (20, 7.0, 3.0)]
    for steps, scale, shift in settings[:arguments.evaluations]:
        evaluate(model, vae, arguments.model, steps=steps, cfg_scale=scale, time_shift=shift)
    if arguments.evaluations:
        evaluate(model, vae, arguments.model, english=60, chinese=30, frames=34, steps=16, cfg_scale=3.0,
                 time_shift=3.0)


if __name__ == "__main__":
    main()

"""Prompt to mp4 with PyTorch alone: the reference for the executor.

    python sample.py --model ../../models/demo --prompt "a red circle moves to the right" --output clip.mp4
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from checkpoint import load_checkpoint
from judge import judge_frames
from prompt_tokens import LLM_TOKENS
from sampler import guided_sample
from video_file import to_pixels, write_mp4


@torch.no_grad()
def main() -> None:
    """Encode, sample, decode, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--negative", default="")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg-scale", type=float)
    parser.add_argument("--time-shift", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latents", type=Path, help="safetensors whose `latents` is the starting noise")
    parser.add_argument("--dump", type=Path, help="safetensors to write with every stage's tensors")
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.model, torch.device("cpu"))
    settings = dict(checkpoint.generation)
    for name in ("frames", "steps", "cfg_scale", "time_shift"):
        if getattr(arguments, name) is not None:
            settings[name] = getattr(arguments, name)
    if settings["frames"] % 17:
        raise SystemExit(f"--frames {settings['frames']} is not a multiple of 17: try 17 or 34")
    tokens = checkpoint.tokenizer.batch([arguments.prompt, arguments.negative], LLM_TOKENS)
    llm_states, clip_states, mask = checkpoint.model.encode_text(tokens)
    shape = (1, 3 * settings["frames"] // 17, checkpoint.vae.config.z_channels, settings["height"] // 16,
             settings["width"] // 16)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(arguments.seed))
    if arguments.latents:
        noise = load_file(arguments.latents)["latents"].float()
        if noise.shape != shape:
            raise SystemExit(f"--latents holds {tuple(noise.shape)}; this clip needs {shape}")
    trace: list[Tensor] = []
    latents = guided_sample(checkpoint.model.dit, noise, llm_states, clip_states, mask, steps=settings["steps"],
                            cfg_scale=settings["cfg_scale"], time_shift=settings["time_shift"], trace=trace)
    video = checkpoint.vae.decode(latents)
    pixels = to_pixels(video[0])
    write_mp4(arguments.output, pixels)
    if arguments.dump:
        save_file({"llm_ids": tokens[0], "llm_lengths": tokens[1], "clip_ids": tokens[2], "clip_lengths": tokens[3],
                   "encoder_hidden_states": llm_states, "encoder_hidden_states_2": clip_states,
                   "encoder_attention_mask": mask, "noise": noise, "each_step": torch.stack(trace),
                   "latents": latents, "video": video}, arguments.dump)
    print(f"{arguments.output}: {judge_frames(pixels)}")


if __name__ == "__main__":
    main()

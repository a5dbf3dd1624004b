"""Score sampler settings on held-out prompts, with the PyTorch pipeline.

    python sweep.py --model ../../models/demo --settings 20:4:3 12:4:3 --frames 17
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from checkpoint import load_checkpoint
from raw_evaluation import evaluate
from training import pick_device


def main() -> None:
    """One line of scores for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--settings", nargs="+", required=True, help="STEPS:CFG_SCALE:TIME_SHIFT")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--english", type=int, default=200)
    parser.add_argument("--chinese", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    checkpoint = load_checkpoint(arguments.model, pick_device())
    for setting in arguments.settings:
        steps, scale, shift = setting.split(":")
        start = time.monotonic()
        evaluate(checkpoint.model, checkpoint.vae, arguments.model, english=arguments.english,
                 chinese=arguments.chinese, frames=arguments.frames, seed=arguments.seed, steps=int(steps),
                 cfg_scale=float(scale), time_shift=float(shift))
        print(f"   {time.monotonic() - start:.0f}s")


if __name__ == "__main__":
    main()

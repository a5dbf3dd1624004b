"""Validate the judge on ground truth: rendered clips, encoded to H.264 yuv420p, must be named right.

    python check_judge.py [--clips 288]
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

import torch

from judge import judge_frames, read_video
from render import render, scene_batch
from scene import all_triples, random_scene
from video_file import to_pixels, write_mp4


def main() -> None:
    """Render, encode, judge, and print the share named right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=288)
    arguments = parser.parse_args()
    rng = random.Random(3)
    generator = torch.Generator().manual_seed(3)
    right: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        for index in range(arguments.clips):
            scene = random_scene(rng, all_triples())
            video, _ = render(scene_batch([scene]), 34 if index % 3 == 0 else 17, generator)
            write_mp4(path, to_pixels(video[0]))
            verdict = judge_frames(read_video(path))
            for name in ("colour", "shape", "direction"):
                good = getattr(verdict, name) == getattr(scene, name)
                right[name] += good
                if not good:
                    print(f"missed {name}: {scene} read as {verdict}")
    for name in ("colour", "shape", "direction"):
        print(f"{name}: {right[name]} of {arguments.clips}")
    raise SystemExit(0 if min(right[n] for n in ("colour", "shape", "direction")) >= 0.99 * arguments.clips else 1)


if __name__ == "__main__":
    main()

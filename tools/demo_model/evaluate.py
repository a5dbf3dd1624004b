"""Measure the demo model as a stranger would: prompts of never-trained combinations go to the program, and the
independent judge reads the mp4 files that come back.

    python evaluate.py --program ../../build/demo/stepvideo [--english 200 --chinese 100] [--sheet sheet.png]

All prompts go to one run of the program, with its defaults for this checkpoint. Prints a table per attribute and language, and
every prompt that was missed; keeps the clips with --keep FOLDER. --device says where the program runs. Where it has no video
library, --suffix .safetensors judges the frames that it writes as tensors.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from captions import held_out_prompts
from compare_devices import read_tensor
from judge import judge_frames, read_video
from scene import Scene

ATTRIBUTES = ("colour", "shape", "direction")
LANGUAGES = {"en": "English", "zh": "Chinese"}


@dataclass
class Clip:
    """What is asked of the program, and what it is to show."""

    language: str
    prompt: str
    scene: Scene
    request: dict[str, str | int]


def ask(arguments: argparse.Namespace) -> list[Clip]:
    """The clips of all languages; those of one take their noise from the seeds 0, 1, ..."""
    clips = []
    for language, count in {"en": arguments.english, "zh": arguments.chinese}.items():
        for seed, (prompt, scene) in enumerate(held_out_prompts(count, language, arguments.seed)):
            output = f"{language}{seed:03}{arguments.suffix}"
            clips.append(Clip(language, prompt, scene, {"prompt": prompt, "seed": seed, "output": output}))
    return clips


def generate(arguments: argparse.Namespace, clips: list[Clip], folder: Path) -> None:
    """Run the program on all prompts."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as prompts:
        prompts.write("".join(json.dumps(clip.request, ensure_ascii=False) + "\n" for clip in clips))
        prompts.flush()
        subprocess.run([arguments.program, "generate", "--model", arguments.model, "--quiet", "--device", arguments.device,
                        "--prompts", prompts.name, "--output", folder, *shlex.split(arguments.flags)], check=True)


def read_frames(path: Path) -> NDArray[np.uint8]:
    """Frames (frames, height, width, 3) of a clip."""
    if path.suffix != ".safetensors":
        return read_video(path)
    frames = np.clip(read_tensor(path, "video")[0], -1, 1).transpose(0, 2, 3, 1)
    return np.rint((frames + 1) * 127.5).astype(np.uint8)


def draw_contact_sheet(rows: list[tuple[str, NDArray[np.uint8]]], output: Path, columns: int = 5) -> None:
    """A row a clip: frames spread over its length, the prompt above them."""
    from PIL import Image, ImageDraw, ImageFont

    size, margin, caption_height = 96, 6, 22
    width = columns * (size + margin) + margin
    sheet = Image.new("RGB", (2 * width, (len(rows) + 1) // 2 * (size + caption_height + margin) + margin), "white")
    draw = ImageDraw.Draw(sheet)
    fonts = [Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
             Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc")]
    found = next((path for path in fonts if path.exists()), None)
    font = ImageFont.truetype(str(found), 13) if found else ImageFont.load_default()
    for index, (prompt, frames) in enumerate(rows):
        left, top = index % 2 * width + margin, index // 2 * (size + caption_height + margin) + margin
        text = prompt if len(prompt) <= 74 else prompt[:73] + "…"
        draw.text((left, top + 2), text, fill="black", font=font)
        for column, frame in enumerate(np.linspace(0, len(frames) - 1, columns).round().astype(int)):
            sheet.paste(Image.fromarray(frames[frame]), (left + column * (size + margin), top + caption_height))
    sheet.save(output, optimize=True)


def main() -> None:
    """Generate, judge, print."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, default=here / "../../build/demo/stepvideo")
    parser.add_argument("--model", type=Path, default=here / "../../models/demo")
    parser.add_argument("--english", type=int, default=200)
    parser.add_argument("--chinese", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the prompts; clip i has the noise of seed i")
    parser.add_argument("--device", default="auto", help="where the program runs")
    parser.add_argument("--suffix", default=".mp4", help="of the clips: .mp4, or .safetensors where there is no libav")
    parser.add_argument("--flags", default="", help="more of them for the program, as in '--precision fp8'")
    parser.add_argument("--keep", type=Path, help="folder for the clips")
    parser.add_argument("--sheet", type=Path, help="contact sheet of the first clips of each language")
    arguments = parser.parse_args()

    clips = ask(arguments)
    counts = Counter(clip.language for clip in clips)
    right: Counter[tuple[str, str]] = Counter()
    rows: list[tuple[str, NDArray[np.uint8]]] = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        generate(arguments, clips, folder)
        print(f"{len(clips)} clips in {time.monotonic() - start:.0f} s", flush=True)
        for clip in clips:
            frames = read_frames(folder / clip.request["output"])
            verdict = judge_frames(frames)
            for name in ATTRIBUTES:
                shown, read = getattr(clip.scene, name), getattr(verdict, name)
                if shown == read:
                    right[clip.language, name] += 1
                else:
                    print(f"missed {name} ({shown} read as {read}): {clip.prompt}", flush=True)
            if clip.request["seed"] < 6:
                rows.append((clip.prompt, frames))
    print(f"\n| prompts | {' | '.join(ATTRIBUTES)} |\n|---|{'---|' * len(ATTRIBUTES)}")
    for language, count in counts.items():
        shares = " | ".join(f"{100 * right[language, name] / count:.1f} %" for name in ATTRIBUTES)
        print(f"| {count} {LANGUAGES[language]} | {shares} |")
    if arguments.sheet:
        draw_contact_sheet(rows, arguments.sheet)


if __name__ == "__main__":
    main()

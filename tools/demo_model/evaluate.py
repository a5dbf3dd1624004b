"""Measure the demo model as a stranger would: prompts of never-trained combinations go to the program, and the
independent judge reads the mp4 files that come back.

    python evaluate.py --program ../../build/demo/stepvideo [--english 200 --chinese 100] [--sheet sheet.png]

Prints a table per attribute and language, and every prompt that was missed; keeps the clips with --keep FOLDER. --device says
where the program runs. Where that is a machine without tokenizers or a video library, the work is shared: --write-states
FOLDER encodes the prompts here and ends; `denoise` (compare_devices.py --keep) makes latents of those files there, the number
in a file's name being the seed of its noise; --latents FOLDER decodes and judges them here, each under the name of its states.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from captions import held_out_prompts
from judge import judge_frames, read_video

ATTRIBUTES = ("colour", "shape", "direction")
LANGUAGES = {"en": "English", "zh": "Chinese"}


def run(arguments: argparse.Namespace, command: str, *flags: str | Path) -> None:
    """Run the program with its defaults for this checkpoint."""
    subprocess.run([arguments.program, command, "--model", arguments.model, "--quiet", *flags], check=True)


def make_video(arguments: argparse.Namespace, name: str, prompt: str, seed: int, output: Path) -> NDArray[np.uint8]:
    """From the prompt, or from latents that are there; read the mp4 back."""
    if arguments.latents:
        run(arguments, "decode", "--latents", arguments.latents / f"{name}.safetensors", "--output", output)
    else:
        run(arguments, "generate", f"--prompt={prompt}", "--seed", str(seed), "--device", arguments.device, "--output", output)
    return read_video(output)


def contact_sheet(rows: list[tuple[str, NDArray[np.uint8]]], columns: int = 5) -> Image.Image:
    """A row a clip: frames spread over its length, the prompt above them."""
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
    return sheet


def main() -> None:
    """Generate, judge, print."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, default=here / "../../build/demo/stepvideo")
    parser.add_argument("--model", type=Path, default=here / "../../models/demo")
    parser.add_argument("--english", type=int, default=200)
    parser.add_argument("--chinese", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the prompts; clip i has the noise of seed i")
    parser.add_argument("--device", default="auto", help="of generate")
    parser.add_argument("--write-states", type=Path, help="folder for the prompts' text states, instead of videos")
    parser.add_argument("--latents", type=Path, help="folder of latents to judge")
    parser.add_argument("--keep", type=Path, help="folder for the clips")
    parser.add_argument("--sheet", type=Path, help="contact sheet of the first clips of each language")
    arguments = parser.parse_args()

    counts = {"en": arguments.english, "zh": arguments.chinese}
    right: Counter[tuple[str, str]] = Counter()
    rows: list[tuple[str, NDArray[np.uint8]]] = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for language, count in counts.items():
            for index, (prompt, scene) in enumerate(held_out_prompts(count, language, arguments.seed)):
                name = f"{language}{index:03}"
                if arguments.write_states:
                    arguments.write_states.mkdir(parents=True, exist_ok=True)
                    run(arguments, "encode-text", f"--prompt={prompt}", "--output",
                        arguments.write_states / f"{name}.safetensors")
                    continue
                frames = make_video(arguments, name, prompt, index, folder / f"{name}.mp4")
                verdict = judge_frames(frames)
                wrong = [name for name in ATTRIBUTES if getattr(scene, name) != getattr(verdict, name)]
                for name in set(ATTRIBUTES) - set(wrong):
                    right[language, name] += 1
                for name in wrong:
                    print(f"missed {name} ({getattr(scene, name)} read as {getattr(verdict, name)}): {prompt}", flush=True)
                if index < 6:
                    rows.append((prompt, frames))
    if arguments.write_states:
        return
    print(f"\n| prompts | {' | '.join(ATTRIBUTES)} |\n|---|{'---|' * len(ATTRIBUTES)}")
    for language, count in counts.items():
        if count:
            shares = " | ".join(f"{100 * right[language, name] / count:.1f} %" for name in ATTRIBUTES)
            print(f"| {count} {LANGUAGES[language]} | {shares} |")
    print(f"\n{sum(counts.values())} clips in {time.monotonic() - start:.0f} s")
    if arguments.sheet:
        contact_sheet(rows).save(arguments.sheet, optimize=True)


if __name__ == "__main__":
    main()

"""Measure the demo model as a stranger would: prompts of never-trained combinations go to the program, and the
independent judge reads the mp4 files that come back.

    python evaluate.py --program ../../build/demo/stepvideo [--english 200 --chinese 100] [--sheet sheet.png]

Prints a table per attribute and language, and every prompt that was missed; keeps the clips with --keep FOLDER. --device says
where the program runs. For a machine without tokenizers or a video library, --write-states FOLDER encodes the prompts here and
ends, and with --states FOLDER there the program makes latents of those files and decodes them to tensors, which are judged.
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
from captions import held_out_prompts
from compare_devices import read_tensor
from judge import judge_frames, read_video

ATTRIBUTES = ("colour", "shape", "direction")
LANGUAGES = {"en": "English", "zh": "Chinese"}


def run(arguments: argparse.Namespace, command: str, *flags: str | Path) -> None:
    """Run the program with its defaults for this checkpoint."""
    subprocess.run([arguments.program, command, "--model", arguments.model, "--quiet", *flags], check=True)


def make_video(arguments: argparse.Namespace, prompt: str, seed: int, output: Path) -> NDArray[np.uint8]:
    """From the prompt, and read the mp4 back; or from its text states, and read the tensor."""
    if arguments.states is None:
        run(arguments, "generate", f"--prompt={prompt}", "--seed", str(seed), "--device", arguments.device, "--output", output)
        return read_video(output)
    latents, video = output.with_suffix(".latents.safetensors"), output.with_suffix(".safetensors")
    run(arguments, "denoise", "--conditioning", arguments.states / video.name, "--seed", str(seed), "--device",
        arguments.device, "--output", latents)
    run(arguments, "decode", "--latents", latents, "--device", arguments.device, "--output", video)
    frames = np.clip(read_tensor(video, "video")[0], -1, 1).transpose(0, 2, 3, 1)
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
    parser.add_argument("--write-states", type=Path, help="folder for the prompts' text states, instead of videos")
    parser.add_argument("--states", type=Path, help="folder of text states, instead of prompts")
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
                frames = make_video(arguments, prompt, index, folder / f"{name}.mp4")
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
        draw_contact_sheet(rows, arguments.sheet)


if __name__ == "__main__":
    main()

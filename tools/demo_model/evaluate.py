"""Measure the demo checkpoint as a stranger would: the executor generates held-out prompts, the judge reads the mp4s.

    python evaluate.py --executor ../../build/reference/stepvideo --model ../../models/demo --output /tmp/demo
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from judge import Verdict, judge_frames, read_video
from raw_evaluation import ATTRIBUTES, held_out_prompts
from scene import Scene

LANGUAGES = {"en": "English", "zh": "Chinese"}


def generate_clip(arguments: argparse.Namespace, prompt: str, seed: int, path: Path) -> float:
    """Run the executor once; returns its seconds. A clip that is already there is kept."""
    if path.exists():
        return 0.0
    command = [str(arguments.executor), "generate", "--model", str(arguments.model), "--prompt", prompt,
               "--seed", str(seed), "--output", str(path), "--quiet"]
    if arguments.frames:
        command += ["--frames", str(arguments.frames)]
    start = time.monotonic()
    done = subprocess.run(command + arguments.extra, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the executor returned {done.returncode} for {prompt!r}: {done.stderr.strip()}")
    return time.monotonic() - start


def table(results: list[tuple[str, Scene, Verdict]]) -> str:
    """Accuracy per attribute and language, as Markdown."""
    lines = ["| prompts | count | colour | shape | direction | all three |", "|---|---|---|---|---|---|"]
    for language, name in LANGUAGES.items():
        rows = [(scene, verdict) for tag, scene, verdict in results if tag == language]
        if not rows:
            continue
        right: Counter[str] = Counter()
        for scene, verdict in rows:
            good = [getattr(scene, attribute) == getattr(verdict, attribute) for attribute in ATTRIBUTES]
            right.update(attribute for attribute, match in zip(ATTRIBUTES, good) if match)
            right["all"] += all(good)
        cells = [f"{100.0 * right[key] / len(rows):.1f} %" for key in (*ATTRIBUTES, "all")]
        lines.append(f"| {name} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def contact_sheet(clips: list[Path], columns: int, path: Path) -> None:
    """One row a clip, `columns` frames from the first to the last."""
    rows = []
    for clip in clips:
        frames = read_video(clip)
        picked = frames[np.linspace(0, len(frames) - 1, columns).round().astype(int)]
        rows.append(np.concatenate([np.pad(frame, ((1, 1), (1, 1), (0, 0)), constant_values=90) for frame in picked], 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, 0)).save(path, optimize=True)


def main() -> None:
    """Generate, judge, print the table and the misses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", type=Path, default=Path("stepvideo"), help="the stepvideo program")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder for the mp4s and results.json")
    parser.add_argument("--english", type=int, default=200)
    parser.add_argument("--chinese", type=int, default=100)
    parser.add_argument("--frames", type=int, help="frames a clip, when not the checkpoint's default")
    parser.add_argument("--seed", type=int, default=0, help="chooses the prompts; clip i uses noise seed SEED + i")
    parser.add_argument("--jobs", type=int, default=1, help="executors at a time")
    parser.add_argument("--contact-sheet", type=Path, help="PNG of the first clips of each language")
    parser.add_argument("--rows", type=int, default=5, help="contact sheet: clips of each language")
    parser.add_argument("--columns", type=int, default=7, help="contact sheet: frames of each clip")
    parser.add_argument("extra", nargs="*", help="further flags for the executor, after --")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    prompts = [(language, text, scene) for language, count in (("en", arguments.english), ("zh", arguments.chinese))
               for text, scene in held_out_prompts(count, language, arguments.seed)]
    paths = [arguments.output / f"{index:03d}.mp4" for index in range(len(prompts))]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        seconds = list(pool.map(lambda job: generate_clip(arguments, job[1][1], arguments.seed + job[0], paths[job[0]]),
                                enumerate(prompts)))
    results, records = [], []
    for path, (language, text, scene), spent in zip(paths, prompts, seconds):
        verdict = judge_frames(read_video(path))
        results.append((language, scene, verdict))
        records.append({"file": path.name, "prompt": text, "scene": vars(scene), "verdict": vars(verdict),
                        "seconds": spent})
        wrong = {name: getattr(verdict, name) for name in ATTRIBUTES if getattr(verdict, name) != getattr(scene, name)}
        if wrong:
            print(f"{path.name}: {text!r} was judged {wrong}")
    (arguments.output / "results.json").write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")
    print(table(results))
    spent = [value for value in seconds if value]
    if spent:
        print(f"median {sorted(spent)[len(spent) // 2]:.1f} s a clip with {arguments.jobs} at a time")
    if arguments.contact_sheet:
        first = [index for start, count in ((0, arguments.english), (arguments.english, arguments.chinese))
                 for index in range(start, start + min(arguments.rows, count))]
        contact_sheet([paths[index] for index in first], arguments.columns, arguments.contact_sheet)
        for row, index in enumerate(first):
            print(f"row {row + 1}: {prompts[index][1]}")


if __name__ == "__main__":
    main()

"""Run the demo's trajectory on two devices and compare what comes out: the decoded frames, as PSNR.

    python compare_devices.py --program ../../build/stepvideo [--states FOLDER] [--keep FOLDER]

The text states come from --states, a folder of files that `stepvideo encode-text` wrote, so that a machine without the
tokenizers does; without it a few prompts are encoded here. The number in a file's name is the seed of its noise.
Every device and precision makes latents of the same states and noise; all are decoded on one device. Prints a table and
ends with exit code 1 where the two devices are less than 40 dB apart in the same precision. --keep leaves the latents as
KEEP/DEVICE-PRECISION/NAME.safetensors. numpy alone is needed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEAST_PSNR = 40.0
PRECISIONS = ("fp32", "bf16")
PROMPTS = ("a red circle moves to the right on a black background", "a blue square moves up on a white background",
           "a green triangle moves quickly to the lower left on a grey background")


def read_tensor(path: Path, name: str) -> NDArray[np.float32]:
    """A float32 tensor of a safetensors file."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:end])[name]
    if entry["dtype"] != "F32":
        raise SystemExit(f"{path}: {name} is {entry['dtype']}; F32 is looked for")
    begin, stop = entry["data_offsets"]
    return np.frombuffer(data[end + begin:end + stop], np.float32).reshape(entry["shape"])


def psnr(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Of frames in [-1, 1], clamped as a player would."""
    error = np.mean((np.clip(one, -1, 1).astype(np.float64) - np.clip(other, -1, 1)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(4 / error)


def relative(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(one.astype(np.float64) - other) / np.linalg.norm(other.astype(np.float64)))


def main() -> None:
    """Denoise on each, decode, compare, print."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=here / "../../build/stepvideo")
    parser.add_argument("--model", type=Path, default=here / "../../models/demo")
    parser.add_argument("--states", type=Path, help="folder of text states")
    parser.add_argument("--devices", nargs=2, default=("cpu", "cuda"))
    parser.add_argument("--decode-device", default="cpu")
    parser.add_argument("--keep", type=Path, help="folder for the latents")
    arguments = parser.parse_args()

    def run(command: str, device: str, *flags: str | Path) -> None:
        subprocess.run([arguments.program, command, "--model", arguments.model, "--device", device, "--quiet", *flags],
                       check=True)

    results: dict[tuple[str, str], list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        states = sorted(arguments.states.glob("*.safetensors")) if arguments.states else []
        if arguments.states is None:
            for index, prompt in enumerate(PROMPTS):
                states.append(Path(scratch) / f"{index:03}.safetensors")
                run("encode-text", "cpu", f"--prompt={prompt}", "--output", states[-1])
        if not states:
            raise SystemExit(f"--states: {arguments.states} holds no .safetensors")
        video = Path(scratch) / "video.safetensors"
        for device in arguments.devices:
            for precision in PRECISIONS:
                folder = (arguments.keep or Path(scratch)) / f"{device}-{precision}"
                folder.mkdir(parents=True, exist_ok=True)
                for state in states:
                    latents, number = folder / state.name, re.search(r"\d+", state.stem)
                    run("denoise", device, "--precision", precision, "--conditioning", state, "--seed",
                        number.group() if number else "0", "--output", latents)
                    run("decode", arguments.decode_device, "--precision", "fp32", "--latents", latents, "--output", video)
                    results.setdefault((device, precision), []).append(
                        (read_tensor(latents, "latents"), read_tensor(video, "video")))

    def compare(one: tuple[str, str], other: tuple[str, str]) -> float:
        pairs = list(zip(results[one], results[other], strict=True))
        decibels = [psnr(a[1], b[1]) for a, b in pairs]
        distance = max(relative(a[0], b[0]) for a, b in pairs)
        print(f"| {' '.join(one)} | {' '.join(other)} | {min(decibels):.1f} dB | {np.median(decibels):.1f} dB | {distance:.1e} |")
        return min(decibels)

    one, other = arguments.devices
    print(f"{len(states)} videos\n\n| | against | frames, worst | median | latents, worst |\n|---|---|---|---|---|")
    across = [compare((other, precision), (one, precision)) for precision in PRECISIONS]
    for device in dict.fromkeys(arguments.devices):
        compare((device, "bf16"), (one, "fp32"))
    if min(across) < LEAST_PSNR:
        sys.exit(f"{other} and {one} are {min(across):.1f} dB apart; {LEAST_PSNR:.0f} dB are asked")


if __name__ == "__main__":
    main()

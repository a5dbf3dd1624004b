"""One video on several GPUs, measured beside one GPU: see --help. Needs nothing but Python's own library."""
import argparse
import array
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPT = "a lighthouse on a cliff at dusk, waves break below, the camera rises slowly"


def read_tensor(path, name):
    """A float32 tensor of a .safetensors file."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        begin, end = json.loads(file.read(size))[name]["data_offsets"]
        file.seek(8 + size + begin)
        values = array.array("f")
        values.frombytes(file.read(end - begin))
    return values


def events_of(log):
    events = []
    for line in Path(log).read_text().splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break  # a cut last line
    return events


class Bench:
    def __init__(self, arguments):
        self.program = arguments.program
        self.frames = arguments.frames
        self.steps = arguments.steps
        self.share = ["--share-gpus"] if arguments.share_gpus else []
        self.folder = Path(tempfile.mkdtemp(prefix="stepvideo-scaling-", dir=arguments.scratch))
        self.states = self.folder / "states.safetensors"
        self.one = None  # latents and step seconds of one GPU

    def run(self, *arguments, **options):
        command = [self.program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, **options)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def denoise(self, name, *flags):
        """Latents, and seconds of the last step: the first has what is loaded late."""
        output, log = self.folder / f"{name}.safetensors", self.folder / f"{name}.ndjson"
        self.run("denoise", "--weights", "random:1", "--conditioning", self.states, "--frames", self.frames,
                 "--height", 544, "--width", 992, "--steps", self.steps, "--seed", 5, "--device", "cuda", "--precision",
                 "bf16", "--reproducible", "--overwrite", "--yes", "--log-file", log, "--output", output, *flags)
        times = [event["seconds"] for event in events_of(log)
                 if event.get("event") == "step" and event.get("stage") == "denoise"]
        return read_tensor(output, "latents"), times[-1]

    def predicted(self, ranks, degrees):
        """Seconds of a step by `plan`, with the links as they were measured where they were."""
        link = self.folder / "link.json"
        plan = json.loads(self.run("plan", "--gpu", "h200", "--gpus", ranks, "--frames", self.frames, "--height", 544,
                                   "--width", 992, "--steps", self.steps, "--precision", "bf16", "--json",
                                   *(("--link", link) if link.exists() else ())))
        for found in plan["topologies"]:
            fields = dict(field.split("=") for field in found["topology"].split(","))
            if all(int(fields[name]) == degrees.get(name, 1) for name in ("guidance", "tensor", "ulysses", "ring")):
                return found["step_seconds"]
        return float("nan")

    def encode(self):
        self.run("encode-text", "--weights", "random:1", "--device", "cuda", "--precision", "bf16", "--prompt", PROMPT,
                 "--output", self.states, "--quiet")

    def topologies(self, ranks):
        """Each degree alone, and the products of two where they make so many."""
        names = ("guidance", "ulysses", "ring", "tensor")
        found = []
        for first in names:
            if first != "guidance" or ranks == 2:
                found.append({first: ranks})
        for first in names:
            for second in names[names.index(first) + 1:]:
                for degree in range(2, ranks):
                    if ranks % degree == 0 and (first != "guidance" or degree == 2):
                        found.append({first: degree, second: ranks // degree})
        return found

    def topology_text(self, degrees):
        text = ",".join(f"{name}={degree}" for name, degree in degrees.items())
        uneven = any(48 % degree for name, degree in degrees.items() if name != "guidance") or any(
            self.tokens() % degree for name, degree in degrees.items() if name in ("ulysses", "ring"))
        return text + (",sharding=uneven" if uneven else "")

    def tokens(self):
        chunks, rest = divmod(self.frames, 17)
        latent_frames = 3 * chunks if chunks else 1
        return latent_frames * (544 // 16) * (992 // 16)

    def steps_table(self, ranks, exchanges):
        self.one = self.denoise("one")
        print(f"one GPU: {self.one[1]:.2f} s a guided step")
        print(f"{'topology':<44} {'exchange':<8} {'step s':>8} {'efficiency':>10} {'planned s':>9}  against one GPU")
        for degrees in self.topologies(ranks):
            text = self.topology_text(degrees)
            for exchange in exchanges:
                try:
                    latents, seconds = self.denoise("many", "--gpus", ranks, "--topology", text, "--exchange", exchange,
                                                    *self.share)
                except RuntimeError as error:
                    print(f"{text:<44} {exchange:<8} {error}")
                    continue
                worst = max(abs(a - b) for a, b in zip(latents, self.one[0]))
                same = "the same bits" if latents == self.one[0] else f"at most {worst:.2e} apart"
                print(f"{text:<44} {exchange:<8} {seconds:>8.2f} {self.one[1] / ranks / seconds:>10.3f} "
                      f"{self.predicted(ranks, degrees):>9.2f}  {same}")

    def decode_table(self, ranks):
        latents = self.folder / "one.safetensors"
        seconds = {}
        for count in (1, ranks):
            log = self.folder / "decode.ndjson"
            flags = ["--gpus", count, *self.share] if count > 1 else []
            self.run("decode", "--weights", "random:1", "--latents", latents, "--device", "cuda", "--precision", "bf16",
                     "--overwrite", "--log-file", log, "--output", self.folder / "video.y4m", *flags)
            spans = [event["seconds"] for event in events_of(log)
                     if event.get("event") == "end" and event.get("stage") == "decode"]
            seconds[count] = spans[-1]
        print(f"decode of {self.frames} frames: {seconds[1]:.2f} s on one GPU, {seconds[ranks]:.2f} s on {ranks}: "
              f"{seconds[1] / seconds[ranks]:.2f} x")

    def replicas_table(self, ranks):
        prompts = self.folder / "prompts.txt"
        prompts.write_text("".join(f"{PROMPT}, seen {count} times\n" for count in range(ranks)))
        seconds = {}
        for replicas in (1, ranks):
            log, videos = self.folder / "replicas.ndjson", self.folder / f"videos{replicas}"
            flags = ["--gpus", replicas, "--replicas", replicas, *self.share] if replicas > 1 else []
            self.run("generate", "--weights", "random:1", "--prompts", prompts, "--frames", 17, "--height", 544, "--width",
                     992, "--steps", self.steps, "--device", "cuda", "--precision", "bf16", "--yes",
                     "--log-file", log, "--output", videos, *flags)
            spans = [event["seconds"] for event in events_of(log)
                     if event.get("event") == "end" and event.get("stage") == "denoise"]
            seconds[replicas] = sum(spans)
        print(f"denoise of {ranks} prompts, 17 frames: {seconds[1]:.2f} s one after the other, {seconds[ranks]:.2f} s on "
              f"{ranks} replicas: {seconds[1] / seconds[ranks]:.2f} x")

    def faults_table(self, ranks):
        """Processes that exchange by NCCL: one is killed, or stopped, in a step."""
        for signal_number in (signal.SIGKILL, signal.SIGSTOP):
            processes = []
            for rank in range(ranks):
                environment = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank),
                                   LOCAL_WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT="29712")
                command = [self.program, "denoise", "--weights", "random:1", "--conditioning", str(self.states),
                           "--frames", str(self.frames), "--height", "544", "--width", "992", "--steps", "50", "--seed",
                           "5", "--device", "cuda", "--precision", "bf16", "--overwrite", "--yes", "--topology",
                           f"ulysses={ranks}", "--output", str(self.folder / "fault.safetensors")]
                processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                                                  stderr=subprocess.PIPE, text=True))
            time.sleep(30)
            victim = processes[-1]
            os.kill(victim.pid, signal_number)
            begin = time.monotonic()
            errors = []
            for process in processes[:-1]:
                errors.append(process.communicate(timeout=60)[1].strip().splitlines()[-1:])
            print(f"{signal_number.name} to rank {ranks - 1}: the others out after {time.monotonic() - begin:.1f} s: "
                  f"{errors[0]}")
            victim.kill()
            victim.communicate()


def visible_gpus():
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return len([line for line in done.stdout.splitlines() if line.startswith("GPU ")])


def main():
    parser = argparse.ArgumentParser(description="Measures one video on all of a host's GPUs beside one of them, with "
                                     "random weights of the release's shapes in bf16.")
    parser.add_argument("--program", default="build/stepvideo")
    parser.add_argument("--gpus", type=int, help="ranks [all GPUs that nvidia-smi lists, 2 at least]")
    parser.add_argument("--share-gpus", action="store_true", help="put several ranks on one GPU")
    parser.add_argument("--frames", type=int, default=204)
    parser.add_argument("--steps", type=int, default=2, help="guided steps of each run; the last is timed")
    parser.add_argument("--exchange", default="nccl,copies", help="ways to exchange, with commas between")
    parser.add_argument("--only", default="links,steps,decode,replicas,faults", help="parts, with commas between")
    parser.add_argument("--scratch", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    arguments = parser.parse_args()
    ranks = arguments.gpus or max(2, visible_gpus())
    parts = arguments.only.split(",")
    bench = Bench(arguments)
    try:
        if "links" in parts:
            print(bench.run("bench", "links", "--gpus", ranks, "--save", bench.folder / "link.json", *bench.share),
                  end="")
        bench.encode()
        if "steps" in parts or "decode" in parts:
            bench.steps_table(ranks, arguments.exchange.split(",") if "steps" in parts else [])
        if "decode" in parts:
            bench.decode_table(ranks)
        if "replicas" in parts:
            bench.replicas_table(ranks)
        if "faults" in parts and not arguments.share_gpus:
            bench.faults_table(ranks)
    finally:
        shutil.rmtree(bench.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

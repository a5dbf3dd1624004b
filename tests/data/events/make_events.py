#!/usr/bin/env python3
"""Writes the event logs beside it. Every number is chosen, so that a test can say what explain must find."""
import json
import pathlib

here = pathlib.Path(__file__).parent


class Log:
    def __init__(self, rank, clock_ahead=0.0):
        self.rank, self.ahead, self.lines = rank, clock_ahead, []

    def add(self, time, stage, event, **fields):
        line = {"time": round(time + self.ahead, 6), "rank": self.rank, "stage": stage, "event": event}
        self.lines.append(json.dumps(line | fields))
        return self

    def write(self, path, cut_characters=0):
        text = "\n".join(self.lines) + "\n"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text[: len(text) - cut_characters] if cut_characters else text)


def denoise(log, begin, steps, compute, late=0.0, transfer=0.1, predicted_transfer=0.1, waits=0.0, wait_from=0):
    """Steps of `compute` seconds, then one all_to_all that takes `waits` + `transfer`; `late` lengthens the
    computation. Returns the end."""
    time = begin
    log.add(time, "denoise", "begin", predicted_seconds=steps * (compute + predicted_transfer))
    for step in range(1, steps + 1):
        wait = waits if step > wait_from else 0.0
        slow = late if step > wait_from else 0.0
        seconds = compute + slow + wait + transfer
        time += seconds
        log.add(time, "denoise", "collective", step=step, layer=0, op="all_to_all", seconds=wait + transfer,
                predicted_seconds=predicted_transfer, bytes=10**9)
        log.add(time, "denoise", "step", step=step, seconds=seconds)
    log.add(time, "denoise", "end", seconds=time - begin, peak_bytes=70 * 10**9)
    return time


def load(log, begin, seconds, predicted):
    log.add(begin, "load transformer", "begin", predicted_seconds=predicted,
            run={"ranks": 2, "steps": 4, "memory_bytes": 140 * 10**9})
    log.add(begin + seconds, "load transformer", "end", seconds=seconds, bytes=58 * 10**9, cpu_seconds=1.0)
    return begin + seconds


# Two ranks that do the same at the same time; rank 1's clock stands 12.5 s ahead.
for rank, ahead in ((0, 0.0), (1, 12.5)):
    log = Log(rank, ahead)
    denoise(log, load(log, 0.0, 6.0, 2.0), 4, 0.9)
    log.write(here / "two_ranks" / f"rank{rank}.ndjson")

# The same with a link at a quarter of its rate.
for rank in (0, 1):
    log = Log(rank)
    denoise(log, load(log, 0.0, 2.0, 2.0), 4, 0.9, transfer=0.4)
    log.write(here / "slow_link" / f"rank{rank}.ndjson")

# Four ranks, and rank 2 computes 0.5 s longer than the others each step.
for rank in range(4):
    log = Log(rank, 3.0 * rank)
    is_late = rank == 2
    denoise(log, 0.0, 8, 0.9, late=0.5 * is_late, waits=0.5 * (not is_late))
    log.write(here / "straggler" / f"rank{rank}.ndjson")

# Two ranks, cut in the middle: rank 1 died in step 3, rank 0 a step later and within a line.
for rank, steps in ((0, 3), (1, 2)):
    log = Log(rank)
    denoise(log, 0.0, steps, 0.9)
    log.lines.pop()
    log.write(here / "cut" / f"rank{rank}.ndjson", cut_characters=0)
with (here / "cut" / "rank0.ndjson").open("a") as file:
    file.write('{"time":4.0,"rank":0,"stage":"denoise","event":"step","st')

# Three ranks: 0 and 2 entered an all_gather that rank 1 never came to; the watchdog of rank 0 tells.
for rank in range(3):
    log = Log(rank)
    denoise(log, 0.0, 2, 0.9)
    log.lines.pop()
    if rank != 1:
        log.add(2.9, "denoise", "begin", op="all_gather", step=3, layer=12)
    if rank == 0:
        log.add(32.9, "denoise", "warning", message="all_gather has not ended after 30 s, 3 x its prediction")
    log.write(here / "stuck" / f"rank{rank}.ndjson")

# One rank of a later version: more fields, one more kind of event, a first step that warms up.
log = Log(0)
log.add(0.0, "denoise", "begin", predicted_seconds=5.0, run={"weather": {"deep": [1, 2]}, "threads": 2}, mood="good")
time = 0.0
for step, seconds in enumerate((3.0, 1.0, 1.0, 1.0, 1.0), 1):
    time += seconds
    log.add(time, "denoise", "step", step=step, seconds=seconds, temperature=71, notes=[{"a": 1}])
    log.add(time, "denoise", "heartbeat", beat=step)
log.add(time, "denoise", "end", seconds=time, peak_bytes=10**9)
log.add(time, "decode", "begin").add(time + 2.0, "decode", "error", seconds=2.0, message="frame 3 holds NaN\n[31m")
log.write(here / "unknown_fields.ndjson")

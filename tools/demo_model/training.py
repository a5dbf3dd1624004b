"""What both trainers share: the clock-driven learning rate, moving averages, saving in parts, a device check."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class Clock:
    """A time budget: training ends by the clock, and the learning rate follows it."""

    def __init__(self, minutes: float) -> None:
        self.start = time.monotonic()
        self.seconds = 60.0 * minutes

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def fraction(self) -> float:
        """0 at the start, 1 at the end."""
        return min(1.0, self.elapsed / self.seconds)

    def learning_rate(self, step: int, peak: float, warmup: int = 200) -> float:
        """A linear warm-up over steps, then a cosine over time to 2 % of the peak."""
        cosine = 0.5 * (1.0 + math.cos(math.pi * self.fraction))
        return peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * cosine)


class MovingAverage:
    """Exponential moving average of a module's parameters, slower as training goes on."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.parameters = [p for p in module.parameters()]
        self.average = [p.detach().clone() for p in self.parameters]
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the current parameters."""
        self.updates += 1
        decay = min(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        torch._foreach_lerp_(self.average, self.parameters, 1.0 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the parameters: call again to undo."""
        for parameter, average in zip(self.parameters, self.average):
            saved = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(saved)


def save_parts(module: nn.Module, path: Path, parts: int) -> None:
    """Save a float32 state dict as `parts` files PATH.0, PATH.1, ... of similar size."""
    groups: list[dict[str, Tensor]] = [{} for _ in range(parts)]
    sizes = [0] * parts
    for key, value in sorted(module.state_dict().items(), key=lambda item: -item[1].numel()):
        index = sizes.index(min(sizes))
        groups[index][key] = value.detach().float().contiguous().cpu()
        sizes[index] += value.numel()
    path.parent.mkdir(parents=True, exist_ok=True)
    for index, group in enumerate(groups):
        save_file(group, f"{path}.{index}")


def load_parts(module: nn.Module, path: Path) -> None:
    """Load what save_parts wrote."""
    files = sorted(path.parent.glob(f"{path.name}.[0-9]"))
    if not files:
        raise FileNotFoundError(f"no checkpoint {path}.0: run the trainer that writes it first")
    state: dict[str, Tensor] = {}
    for file in files:
        state.update(load_file(file))
    module.load_state_dict(state)


def pick_device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

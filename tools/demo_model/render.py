"""Draw batches of demo clips on any device: one antialiased shape in straight motion over a plain background."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scene import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, SIZE, SPEEDS, Scene, training_triples

RADIUS_RANGE = (10.5, 13.5)
MARGIN = 1.0
# Half a square's side and a triangle's circumradius, for a circle of radius 1.
SQUARE_HALF, TRIANGLE_RADIUS = 0.9, 1.25
# How far each shape reaches from its centroid: left and right, up, down.
REACH = {"circle": (1.0, 1.0, 1.0), "square": (SQUARE_HALF,) * 3,
         "triangle": (0.8660254 * TRIANGLE_RADIUS, TRIANGLE_RADIUS, 0.5 * TRIANGLE_RADIUS)}


@dataclass
class SceneBatch:
    """Attribute indices of a batch of scenes, each (batch,)."""

    colour: Tensor
    shape: Tensor
    direction: Tensor
    speed: Tensor
    background: Tensor

    def to(self, device: torch.device) -> SceneBatch:
        """The same batch on another device."""
        return SceneBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.colour)


def scene_batch(scenes: list[Scene]) -> SceneBatch:
    """Names to indices."""
    def indices(names: list[str], of: list[str]) -> Tensor:
        return torch.tensor([names.index(value) for value in of])

    return SceneBatch(indices(list(COLOURS), [s.colour for s in scenes]),
                      indices(list(SHAPES), [s.shape for s in scenes]),
                      indices(list(DIRECTIONS), [s.direction for s in scenes]),
                      indices(list(SPEEDS), [s.speed for s in scenes]),
                      indices(list(BACKGROUNDS), [s.background for s in scenes]))


def training_scenes() -> list[Scene]:
    """Every scene whose triple is not held out: triples x speeds x backgrounds, in a fixed order."""
    return [Scene(*triple, speed, background)
            for triple in training_triples() for speed in SPEEDS for background in BACKGROUNDS]


def render(scenes: SceneBatch, frames: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Clips (batch, frames, 3, 96, 96) in [-1, 1] and the object's coverage (batch, frames, 1, 96, 96).

    Radius and start are random; the shape stays inside for the whole clip.
    """
    device, batch = scenes.colour.device, len(scenes)
    step = torch.tensor(list(DIRECTIONS.values()), device=device)[scenes.direction]
    step = step * torch.tensor(list(SPEEDS.values()), device=device)[scenes.speed][:, None]
    uniform = torch.rand(3, batch, device=device, generator=generator)
    radius = RADIUS_RANGE[0] + (RADIUS_RANGE[1] - RADIUS_RANGE[0]) * uniform[0]
    reach = torch.tensor([REACH[name] for name in SHAPES], device=device)[scenes.shape] * radius[:, None] + MARGIN
    travel = step * (frames - 1)
    start = []
    for axis, (before, after) in enumerate(((reach[:, 0], reach[:, 0]), (reach[:, 1], reach[:, 2]))):
        low = before - travel[:, axis].clamp(max=0)
        high = SIZE - after - travel[:, axis].clamp(min=0)
        start.append(low + (high - low).clamp(min=0) * uniform[1 + axis])
    times = torch.arange(frames, device=device)
    centre = torch.stack(start, 1)[:, None] + step[:, None] * times[:, None]  # (batch, frames, 2)
    pixel = torch.arange(SIZE, device=device) + 0.5
    x = pixel[None, None, None, :] - centre[..., 0, None, None]
    y = pixel[None, None, :, None] - centre[..., 1, None, None]
    r = radius[:, None, None, None]
    circle = (x.square() + y.square()).sqrt() - r
    square = torch.maximum(x.abs() + 0 * y, y.abs() + 0 * x) - SQUARE_HALF * r
    inner = 0.5 * TRIANGLE_RADIUS * r
    triangle = torch.maximum(y + 0 * x, 0.8660254 * x.abs() - 0.5 * y) - inner
    kind = scenes.shape[:, None, None, None]
    distance = torch.where(kind == 0, circle, torch.where(kind == 1, square, triangle))
    coverage = (0.5 - distance).clamp(0, 1).unsqueeze(2)

    def palette(table: dict[str, tuple[int, int, int]], index: Tensor) -> Tensor:
        return (torch.tensor(list(table.values()), device=device) / 127.5 - 1.0)[index][:, None, :, None, None]

    ground = palette(BACKGROUNDS, scenes.background)
    return ground + (palette(COLOURS, scenes.colour) - ground) * coverage, coverage


def select(scenes: SceneBatch, index: Tensor) -> SceneBatch:
    """The scenes at `index`."""
    return SceneBatch(*(getattr(scenes, name)[index] for name in scenes.__dataclass_fields__))

"""What a demo clip contains: the attribute lists, the held-out triples, and the sampled scene."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

SHAPES: tuple[str, ...] = ("circle", "square", "triangle")

# sRGB values of the objects and of the plain backgrounds they move over.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 38, 38),
    "green": (40, 178, 62),
    "blue": (40, 72, 226),
    "yellow": (242, 218, 36),
    "purple": (168, 44, 196),
    "cyan": (38, 206, 222),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "black": (14, 14, 14),
    "grey": (124, 124, 124),
    "white": (242, 242, 242),
    "pink": (248, 204, 212),
}

# Unit steps in image coordinates: x to the right, y downwards.
_DIAGONAL = 0.5**0.5
DIRECTIONS: dict[str, tuple[float, float]] = {
    "right": (1.0, 0.0),
    "up-right": (_DIAGONAL, -_DIAGONAL),
    "up": (0.0, -1.0),
    "up-left": (-_DIAGONAL, -_DIAGONAL),
    "left": (-1.0, 0.0),
    "down-left": (-_DIAGONAL, _DIAGONAL),
    "down": (0.0, 1.0),
    "down-right": (_DIAGONAL, _DIAGONAL),
}
SPEEDS: dict[str, float] = {"slow": 1.0, "fast": 2.0}  # pixels a frame

SIZE = 96
CHUNK_FRAMES = 17
HOLDOUT_SEED = 20240917
HOLDOUT_FRACTION = 0.25


@dataclass(frozen=True)
class Scene:
    """One clip's attributes, by name."""

    colour: str
    shape: str
    direction: str
    speed: str
    background: str

    @property
    def triple(self) -> tuple[str, str, str]:
        """The combination that is either trained on or held out."""
        return (self.colour, self.shape, self.direction)


def all_triples() -> list[tuple[str, str, str]]:
    """Every (colour, shape, direction), in a fixed order."""
    return list(itertools.product(COLOURS, SHAPES, DIRECTIONS))


def held_out_triples() -> list[tuple[str, str, str]]:
    """The quarter of the triples never trained on: two directions of each (colour, shape) pair.

    Stratified, so every attribute and every pair of attributes still occurs in training.
    """
    rng = random.Random(HOLDOUT_SEED)
    names = list(DIRECTIONS)
    per_pair = round(len(names) * HOLDOUT_FRACTION)
    held: list[tuple[str, str, str]] = []
    for colour in COLOURS:
        # Shapes of one colour lose different directions: no (colour, direction) pair vanishes.
        order = rng.sample(names, len(names))
        for index, shape in enumerate(SHAPES):
            held += [(colour, shape, order[(per_pair * index + k) % len(names)]) for k in range(per_pair)]
    return held


def training_triples() -> list[tuple[str, str, str]]:
    """The triples that training may draw."""
    held = set(held_out_triples())
    return [triple for triple in all_triples() if triple not in held]


def random_scene(rng: random.Random, triples: list[tuple[str, str, str]]) -> Scene:
    """A scene whose triple comes from `triples`, with any speed and background."""
    colour, shape, direction = rng.choice(triples)
    return Scene(colour, shape, direction, rng.choice(list(SPEEDS)), rng.choice(list(BACKGROUNDS)))

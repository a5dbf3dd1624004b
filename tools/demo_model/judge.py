"""An independent detector: reads an mp4 and names the moving object's colour, shape and direction.

It shares nothing with the generator: hues are named by their place on the colour wheel, shapes by their three-fold
and four-fold symmetry, directions by the centroid's path.

    python judge.py clip.mp4 [clip.mp4 ...]
"""

from __future__ import annotations

import colorsys
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Upper end of each hue range in degrees, and its name; what lies beyond the last is red again.
HUE_RANGES = ((22.0, "red"), (38.0, "orange"), (72.0, "yellow"), (156.0, "green"), (207.0, "cyan"), (258.0, "blue"),
              (325.0, "purple"), (360.0, "red"))
# Counter-clockwise from the positive x axis, 45 degrees each.
SECTORS = ("right", "up-right", "up", "up-left", "left", "down-left", "down", "down-right")
LEAST_CONTRAST = 40.0  # of 441, the length of the RGB cube's diagonal
LEAST_SATURATION = 0.25
LEAST_PATH = 5.0  # pixels from the first to the last frame
LEAST_AREA = 40  # pixels


@dataclass(frozen=True)
class Verdict:
    """What one clip shows; "none" where nothing could be named."""

    colour: str = "none"
    shape: str = "none"
    direction: str = "none"
    pixels_a_frame: float = 0.0
    three_fold: float = 0.0
    four_fold: float = 0.0
    hue: float = 0.0


def read_video(path: Path) -> NDArray[np.uint8]:
    """All frames of an mp4, (frames, height, width, 3) RGB."""
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The biggest 4-connected region of a mask."""
    todo = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask))}
    best: list[tuple[int, int]] = []
    while todo:
        region, border = [], [todo.pop()]
        while border:
            y, x = border.pop()
            region.append((y, x))
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in todo:
                    todo.remove(near)
                    border.append(near)
        if len(region) > len(best):
            best = region
    out = np.zeros_like(mask)
    if best:
        out[tuple(np.array(best).T)] = True
    return out


def segment(frame: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
    """The object's mask and each pixel's share of object colour, or None when nothing stands out."""
    rim = np.concatenate([frame[:3].reshape(-1, 3), frame[-3:].reshape(-1, 3),
                          frame[:, :3].reshape(-1, 3), frame[:, -3:].reshape(-1, 3)])
    distance = np.linalg.norm(frame - np.median(rim, 0), axis=-1)
    peak = float(np.quantile(distance, 0.985))
    if peak < LEAST_CONTRAST:
        return None
    mask = largest_component(distance > 0.5 * peak)
    return (mask, np.clip(distance / peak, 0, 1)) if mask.sum() >= LEAST_AREA else None


def name_colour(rgb: NDArray[np.float64]) -> tuple[str, float]:
    """A colour's name and its hue in degrees."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(rgb / 255.0))
    degrees = 360.0 * hue
    if saturation < LEAST_SATURATION or value < 0.2:
        return "none", degrees
    return next(name for end, name in HUE_RANGES if degrees <= end), float(degrees)


def symmetry(share: NDArray[np.float64], folds: int) -> float:
    """|sum w z^n| / sum w |z|^n about the centroid: 0 for a disc, larger the more the outline repeats n times."""
    rows, columns = np.mgrid[: share.shape[0], : share.shape[1]]
    total = share.sum()
    z = (columns - (share * columns).sum() / total) + 1j * (rows - (share * rows).sum() / total)
    return float(abs((share * z**folds).sum()) / (share * abs(z) ** folds).sum())


# Of ideal figures, by integration: an equilateral triangle's three-fold value is 0.66, a square's four-fold 0.43; a
# disc has neither. A figure counts as one when it shows half of that.
TRIANGLE_SYMMETRY, SQUARE_SYMMETRY = 0.5 * 0.66, 0.5 * 0.43


def name_shape(three_fold: float, four_fold: float) -> str:
    """The figure whose symmetry shows; a disc when none does."""
    if three_fold > TRIANGLE_SYMMETRY:
        return "triangle"
    return "square" if four_fold > SQUARE_SYMMETRY else "circle"


def object_share(mask: NDArray[np.bool_], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of object colour on the mask and one pixel around it, nothing elsewhere."""
    grown = mask.copy()
    for axis in (0, 1):
        for shift in (-1, 1):
            grown |= np.roll(mask, shift, axis)
    return np.where(grown, share, 0.0)


def judge_frames(frames: NDArray[np.uint8]) -> Verdict:
    """Judge a clip, (frames, height, width, 3) RGB."""
    times, centres, symmetries, colours = [], [], [], []
    for time, frame in enumerate(frames.astype(np.float64)):
        found = segment(frame)
        if found is None:
            continue
        mask, share = found
        ys, xs = np.nonzero(mask)
        inner = mask & np.roll(mask, 2, 0) & np.roll(mask, -2, 0) & np.roll(mask, 2, 1) & np.roll(mask, -2, 1)
        times.append(time)
        centres.append((xs.mean(), -ys.mean()))
        soft = object_share(mask, share)
        symmetries.append((symmetry(soft, 3), symmetry(soft, 4)))
        colours.append(np.median(frame[inner if inner.any() else mask], 0))
    if len(times) < max(2, len(frames) // 2):
        return Verdict()
    colour, hue = name_colour(np.median(colours, 0))
    three_fold, four_fold = (float(value) for value in np.median(symmetries, 0))
    clock = np.array(times) - np.mean(times)
    velocity = clock @ np.array(centres) / (clock @ clock)
    speed = float(np.hypot(*velocity))
    direction = "none"
    if speed * (len(frames) - 1) >= LEAST_PATH:
        direction = SECTORS[round(math.degrees(math.atan2(velocity[1], velocity[0])) / 45.0) % 8]
    shape = name_shape(three_fold, four_fold)
    return Verdict(colour, shape, direction, speed, three_fold, four_fold, hue)


def main() -> None:
    """Print one line a clip."""
    if len(sys.argv) < 2:
        raise SystemExit("usage: judge.py CLIP.mp4 [CLIP.mp4 ...]")
    for name in sys.argv[1:]:
        verdict = judge_frames(read_video(Path(name)))
        print(f"{name}: {verdict.colour} {verdict.shape} {verdict.direction} "
              f"({verdict.pixels_a_frame:.2f} px/frame, "
              f"symmetry {verdict.three_fold:.2f} {verdict.four_fold:.2f}, hue {verdict.hue:.0f})")


if __name__ == "__main__":
    main()

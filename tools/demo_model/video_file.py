"""Write a clip as H.264 in mp4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def to_pixels(video: Tensor) -> NDArray[np.uint8]:
    """(frames, 3, H, W) in [-1, 1] to (frames, H, W, 3) bytes."""
    return ((video.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def write_mp4(path: Path, frames: NDArray[np.uint8], rate: int = 25) -> None:
    """Encode RGB frames as yuv420p."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())

"""A picture: yuv420p in one numpy array, as everything in media/ passes it on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 4096  # pixels


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """I420: `data` is uint8, C-contiguous, of shape (height * 3 // 2, width): the Y plane, then U and V.

    Width and height are even, from 2 to 4096. `captured` is the time on the loop's clock (seconds) when the light was
    taken in, or, for a received picture, the same moment of the sender moved to our clock as well as is known.
    """

    data: NDArray[np.uint8]
    captured: float

    def __post_init__(self) -> None:
        rows, width = self.data.shape if self.data.ndim == 2 else (0, 0)
        if rows % 3 or width % 2 or not 2 <= width <= MAX_SIDE or not 3 <= rows <= MAX_SIDE * 3 // 2:
            raise ValueError(f"not an I420 picture with even sides up to {MAX_SIDE}: shape {self.data.shape}")
        if self.height % 2:
            raise ValueError(f"not an I420 picture: its height is {self.height}")
        if self.data.dtype != np.uint8 or not self.data.flags.c_contiguous:
            raise ValueError("an I420 picture is uint8 and C-contiguous")

    @property
    def width(self) -> int:
        return int(self.data.shape[1])

    @property
    def height(self) -> int:
        return int(self.data.shape[0]) * 2 // 3

    @property
    def luma(self) -> NDArray[np.uint8]:
        """The Y plane, (height, width), not a copy."""
        return self.data[: self.height]

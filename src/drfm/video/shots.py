"""Which crops of a track are worth keeping."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from drfm.video.boxes import Box

Pixels = npt.NDArray[np.uint8]

CUT = 0.5
"""Factor on the score of a box that touches the frame's edge: the rest of the person may lie outside."""


@dataclass(frozen=True)
class Shot:
    """A crop with what is known of it.

    Attributes:
        frame: number of its frame.
        moment: seconds by which shots are spaced.
        seconds: since the first frame, ``None`` where no time is known.
        box: as it was found.
        pixels: ``(H, W, 3)`` uint8 RGB.
        score: from :func:`score`; comparable within a track.
    """

    frame: int
    moment: float
    seconds: float | None
    box: Box
    pixels: Pixels
    score: float


def score(pixels: Pixels, box: Box, part: tuple[int, int, int, int], frame: tuple[int, int]) -> float:
    """Confidence x size x sharpness x wholeness; 0 or more.

    Size is the root of the crop's pixels. Wholeness is the share of the box that lies in the frame, times
    ``CUT`` where the box touches the frame's edge.

    Args:
        pixels: the crop, ``(H, W, 3)`` uint8 RGB.
        box: as it was found.
        part: left, top, right, bottom of the crop in the frame.
        frame: the frame's height and width.
    """
    height, width = pixels.shape[:2]
    share = min(1.0, height * width / max(box.width * box.height, 1.0))
    left, top, right, bottom = part
    touches = left <= 0 or top <= 0 or right >= frame[1] or bottom >= frame[0]
    whole = share * (CUT if touches else 1.0)
    return float(box.confidence * math.sqrt(height * width) * sharpness(pixels) * whole)


def sharpness(pixels: Pixels) -> float:
    """Spread of the Laplacian of the luminance over the spread of the luminance itself; 0 for a flat crop.

    The variance of the Laplacian is a common measure of focus (Pech-Pacheco et al., ICPR 2000); the division
    takes the contrast out. Noise counts as sharpness, so it does not compare cameras.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB; fewer than three rows or columns have no sharpness.
    """
    if min(pixels.shape[:2]) < 3:
        return 0.0
    grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.std() / (inner.std() + 1.0))


@dataclass
class BestShots:
    """The best shots of one track so far, in memory that does not grow with its length.

    Time is parted in slots of ``gap`` seconds, and each keeps its best shot. Of the slots the best are taken
    in turn; a shot nearer than ``gap`` to one that is taken is passed over. That can only be the neighbours
    of a taken slot, so the ``3 * most`` best slots decide, and no others are kept.

    Attributes:
        most: shots that are wanted.
        gap: seconds between two of them, at least; 0 for no limit.
        seen: boxes of the track.
    """

    most: int
    gap: float
    seen: int = 0
    _slots: dict[int, Shot] = field(default_factory=dict)

    def add(self, shot: Shot) -> None:
        """Consider a shot; of two that are equally good, the earlier stays."""
        self.seen += 1
        slot = math.floor(shot.moment / self.gap) if self.gap else shot.frame
        old = self._slots.get(slot)
        if old is None or shot.score > old.score:
            self._slots[slot] = shot
            if len(self._slots) > 3 * self.most:
                del self._slots[max(self._slots, key=lambda at: _order(self._slots[at]))]

    def chosen(self) -> list[Shot]:
        """The best shots, in the order of their frames."""
        taken: list[Shot] = []
        for shot in sorted(self._slots.values(), key=_order):
            if all(abs(shot.moment - other.moment) >= self.gap for other in taken):
                taken.append(shot)
            if len(taken) == self.most:
                break
        return sorted(taken, key=lambda shot: shot.frame)


def _order(shot: Shot) -> tuple[float, int]:
    return -shot.score, shot.frame

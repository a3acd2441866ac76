"""Where the persons of a frame are: in a list, or as a detector says."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from drfm.video.boxes import Box
from drfm.video.choices import CropChoices, Layout
from drfm.video.frames import Frame, Pixels


class Finder(Protocol):
    """Gives the boxes of each frame.

    Attributes:
        tracks: some boxes come without a track, so that a tracker is needed.
        last_frame: the last frame with boxes, where that is known.
        last_of: the last frame of each track, where that is known.
        first_free: the largest number of a track that is given; found ones follow it.
    """

    tracks: bool
    last_frame: int | None
    last_of: dict[int, int]
    first_free: int

    def boxes(self, frame: Frame, image: Callable[[], Pixels]) -> list[Box]:
        """Boxes of a frame, whose pixels ``image`` decodes when they are asked for."""

    def left(self) -> int:
        """Boxes in frames that did not come."""


class Listed:
    """Boxes from a list."""

    def __init__(self, found: dict[int, list[Box]], choices: CropChoices) -> None:
        least = choices.confidence or 0.0
        self._found = {
            frame: kept
            for frame, all_boxes in found.items()
            if (kept := [box for box in all_boxes if box.confidence >= least])
        }
        boxes = [(frame, box) for frame, kept in self._found.items() for box in kept]
        self.tracks = any(box.track is None for _, box in boxes)
        self.last_frame: int | None = max(self._found, default=-1)
        self.last_of: dict[int, int] = {}
        for frame, box in boxes:
            if box.track is not None:
                self.last_of[box.track] = max(frame, self.last_of.get(box.track, frame))
        self.first_free = max(self.last_of, default=0)

    def boxes(self, frame: Frame, image: Callable[[], Pixels]) -> list[Box]:
        """See :class:`Finder`."""
        return self._found.pop(frame.number, [])

    def left(self) -> int:
        """See :class:`Finder`."""
        return sum(len(boxes) for boxes in self._found.values())


class Detected:
    """Boxes from a detector."""

    tracks = True
    last_frame: int | None = None
    first_free = 0

    def __init__(self, file: Path, layout: Layout, person: int | None, choices: CropChoices) -> None:
        from drfm.video.detector import LEAST, Detector

        least = LEAST if choices.confidence is None else choices.confidence
        self._detect = Detector(file, layout=layout, person=person, least=least)
        self.last_of: dict[int, int] = {}

    def boxes(self, frame: Frame, image: Callable[[], Pixels]) -> list[Box]:
        """See :class:`Finder`."""
        found, scores = self._detect(image())
        return [
            Box(left, top, right - left, bottom - top, certain)
            for (left, top, right, bottom), certain in zip(found.tolist(), scores.tolist(), strict=True)
        ]

    def left(self) -> int:
        """None: a detector is asked of the frames that come."""
        return 0

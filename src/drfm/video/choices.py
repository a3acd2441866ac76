"""What a user may choose when crops are cut from a video."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from drfm.errors import DrfmError

TrackerName = Literal["iou", "bytetrack"]
Layout = Literal["auto", "yolov8", "yolov5", "end-to-end"]

LONGEST_NAME = 200
"""Characters of a camera's or a source's name; they become part of file names."""


@dataclass(frozen=True)
class CropChoices:
    """Which boxes become crops, and how many.

    Attributes:
        per_track: crops of one track at most.
        gap: seconds that lie between two crops of a track, at least.
        confidence: boxes of a detector or of a MOT file below it are left out; ``None`` means 0.25 for a
            detector and no limit for a file.
        min_height: boxes with fewer rows inside the frame are left out.
        min_frames: tracks with fewer boxes are left out.
        every: one frame in so many is looked at.
        tracker: joins boxes without an id to tracks: ``iou``, built in, or ``bytetrack`` (extra ``tracks``).
        first_frame: number that a MOT file gives to the first frame of a video.
        fps: frames a second, instead of the times that a video brings; a folder brings none.

    Raises:
        DrfmError: a value out of range.
    """

    per_track: int = 5
    gap: float = 1.0
    confidence: float | None = None
    min_height: int = 16
    min_frames: int = 1
    every: int = 1
    tracker: TrackerName = "iou"
    first_frame: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("per_track", 1, 1000), ("gap", 0.0, 86400.0), ("min_height", 1, 10000),
            ("min_frames", 1, 1_000_000), ("every", 1, 1_000_000), ("first_frame", 0, 1_000_000_000),
        ):  # fmt: skip
            _within(name, getattr(self, name), low, high)
        if self.confidence is not None:
            _within("confidence", self.confidence, 0.0, 1.0)
        if self.fps is not None:
            _within("fps", self.fps, 0.001, 100_000.0)
        if self.tracker not in get_args(TrackerName):
            raise DrfmError(f"tracker = {self.tracker}: give {' or '.join(get_args(TrackerName))}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise DrfmError(f"{name} = {value}: give {low} to {high}")


def parse_start(text: str | None) -> datetime | None:
    """The moment of the first frame from ISO 8601, in UTC where it names no zone; ``None`` stays ``None``.

    Raises:
        DrfmError: it is none.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise DrfmError(f"start = {text}: give ISO 8601, such as 2026-05-01T14:30:00+02:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check_name(option: str, text: str) -> str:
    """``text`` without blanks around it, if it can name a camera or a source.

    Raises:
        DrfmError: it is empty, too long or has control characters.
    """
    name = text.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise DrfmError(f"{option} = {text[:60]!r}: give 1 to {LONGEST_NAME} printable characters")
    return name

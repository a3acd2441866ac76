"""Joining the boxes of successive frames to tracks."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from drfm.errors import DrfmError
from drfm.video.choices import TrackerName

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

NONE = -1
"""Id of a box that is in no track."""
PATIENCE_SECONDS = 2.0
"""A track that was not seen for longer is over."""
LEAST_IOU = 0.3
"""Overlap with the expected place that a box must have, as in SORT."""
_KEPT = 0.5  # share of the old velocity in the new one


class Tracker(Protocol):
    """Gives each box of a frame the id of its track."""

    def update(self, boxes: Floats, scores: Floats) -> Ids:
        """Ids of a frame's boxes; to be called for each frame, also where it has none.

        Args:
            boxes: ``(N, 4)`` left, top, right, bottom in pixels.
            scores: ``(N,)`` confidences, 0..1.

        Returns:
            ``(N,)`` int64 from 1, no id twice, ``NONE`` for a box that is in no track (yet).
        """
        ...


def make_tracker(name: TrackerName, patience: int) -> Tracker:
    """The tracker of that name.

    Args:
        name: ``iou`` or ``bytetrack``.
        patience: frames that a track may be unseen.

    Raises:
        DrfmError: the library of a tracker is not installed.
    """
    return IouTracker(patience) if name == "iou" else ByteTrack(patience)


def overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of all pairs, ``(N, M)`` in 0..1; 0 where both are empty.

    Args:
        first: ``(N, 4)`` left, top, right, bottom.
        second: ``(M, 4)``.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - common
    shares: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares


@dataclass
class _Track:
    id: int
    box: Floats
    velocity: Floats
    unseen: int = 0

    def expected(self) -> Floats:
        return self.box + self.velocity * (self.unseen + 1)


class IouTracker:
    """Boxes go to the tracks whose expected places they overlap most, all at once.

    A track is expected where its last box lay, moved on by its smoothed velocity. The assignment with the
    largest sum of overlaps (Hungarian algorithm) is taken, overlaps below ``LEAST_IOU`` count as none, and a
    box that is left begins a track. This is SORT (Bewley et al., ICIP 2016) with a constant velocity in place
    of its Kalman filter. It knows no appearance: people who pass close to each other may swap their ids.

    Args:
        patience: frames that a track may be unseen.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, boxes: Floats, scores: Floats) -> Ids:
        """See :meth:`Tracker.update`; every box gets an id, and scores do not matter."""
        ids = np.full(len(boxes), NONE, np.int64)
        if self._tracks and len(boxes):
            overlap = overlaps(np.stack([track.expected() for track in self._tracks]), boxes)
            # Pairs that would be dropped must not push others aside, so they weigh nothing.
            overlap[overlap < LEAST_IOU] = 0.0
            for row, column in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
                if overlap[row, column] > 0.0:
                    self._move(self._tracks[row], boxes[column])
                    ids[column] = self._tracks[row].id
        seen = set(ids.tolist())
        for track in self._tracks:
            track.unseen += track.id not in seen
        self._tracks = [track for track in self._tracks if track.unseen <= self._patience]
        for column in np.flatnonzero(ids == NONE):
            ids[column] = self._next
            self._tracks.append(_Track(self._next, boxes[column].copy(), np.zeros(4)))
            self._next += 1
        return ids

    @staticmethod
    def _move(track: _Track, box: Floats) -> None:
        shift = ((box - track.box)[:2] + (box - track.box)[2:]) / 2 / (track.unseen + 1)
        track.velocity = _KEPT * track.velocity + (1 - _KEPT) * np.tile(shift, 2)
        track.box, track.unseen = box.copy(), 0


class ByteTrack:
    """ByteTrack (Zhang et al., ECCV 2022) of the library ``trackers`` (extra ``tracks``).

    A box begins a track where it is found in two frames in a row with a confidence of at least 0.7; less
    confident boxes only go on with tracks. The first box of a track has no id yet.

    Args:
        patience: frames that a track may be unseen.

    Raises:
        DrfmError: the library is not installed, or cannot be loaded.
    """

    def __init__(self, patience: int) -> None:
        try:
            from supervision import Detections
            from trackers import ByteTrackTracker
        except ImportError as error:  # also where OpenCV lacks a library of the system
            raise DrfmError(f"tracker = bytetrack: needs pip install 'drfm[tracks]' ({error})") from None
        # At 30 frames a second the library counts its buffer in frames.
        self._tracker: Any = ByteTrackTracker(lost_track_buffer=patience, frame_rate=30.0)
        self._detections: Any = Detections

    def update(self, boxes: Floats, scores: Floats) -> Ids:
        """See :meth:`Tracker.update`."""
        ids = np.full(len(boxes), NONE, np.int64)
        given = self._detections(
            xyxy=boxes.astype(np.float32).reshape(-1, 4),
            confidence=scores.astype(np.float32),
            data={"row": np.arange(len(boxes))},
        )
        found = self._tracker.update(given)
        if len(found):
            # The library counts ids from 0, and may change the order.
            named = found.tracker_id >= 0
            ids[found.data["row"][named]] = found.tracker_id[named] + 1
        return ids

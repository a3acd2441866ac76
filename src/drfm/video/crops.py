"""From a video and boxes to the best crops of each person's track."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from drfm.errors import DrfmError
from drfm.files import folder_lock
from drfm.progress import progress_bar
from drfm.video.boxes import Box, read_mot
from drfm.video.choices import CropChoices, Layout, check_name
from drfm.video.finders import Detected, Finder, Listed
from drfm.video.frames import Frame, Frames, Pixels, open_frames
from drfm.video.listing import CropFolder
from drfm.video.shots import BestShots, Shot, score
from drfm.video.tracking import NONE, PATIENCE_SECONDS, Tracker, make_tracker

USUAL_RATE = 25.0
"""Frames a second where nobody names any; spaces shots and ends tracks, and no time is made from it."""
_LISTED = 100_000  # boxes that were left out, in a record


@dataclass(frozen=True)
class Summary:
    """What was cut.

    Attributes:
        frames: that were looked at.
        tracks: that have crops.
        crops: that were written for this source.
        listed: crops in the list, with those of other sources.
        problems: what could not be used, one line each.
        notes: what else a user should know.
    """

    frames: int
    tracks: int
    crops: int
    listed: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def cut_crops(
    source: Path,
    out: Path,
    *,
    boxes: Path | None = None,
    detector: Path | None = None,
    camera: str | None = None,
    start: datetime | None = None,
    name: str | None = None,
    layout: Layout = "auto",
    person_class: int | None = None,
    choices: CropChoices | None = None,
) -> Summary:
    """Cut the best crops of each track and list them in ``out/list.csv``, which other sources may share.

    Running it again replaces the crops of this source; stopping it leaves the list as it was.

    Args:
        source: a video, or a folder of frames.
        out: folder for crops and list.
        boxes: a list in MOT form; either this or ``detector``.
        detector: an ONNX file.
        camera: name of the camera.
        start: moment of the first frame; without it, no times are listed.
        name: of the source, instead of its file's; has to differ among the sources of one camera.
        layout: form of the detector's answer.
        person_class: its class that is a person.
        choices: which boxes become crops.

    Raises:
        DrfmError: bad choices, files that cannot be read, or a disk that cannot be written.
    """
    choices = choices or CropChoices()
    if (boxes is None) == (detector is None):
        raise DrfmError("crops: give --boxes, a list in MOT form, or --detector, an ONNX file")
    camera = None if camera is None else check_name("camera", camera)
    name = check_name("name", name if name is not None else _name(source))
    frames = open_frames(source, fps=choices.fps, first_frame=choices.first_frame)
    if source.is_dir() and start is not None and choices.fps is None:
        raise DrfmError(f"start: {source} is a folder, and its frames have no times; give --fps, too")
    finder: Finder
    if boxes is not None:
        first = choices.first_frame if not source.is_dir() else 0
        finder = Listed(read_mot(boxes, first), choices)
    else:
        assert detector is not None
        finder = Detected(detector, layout, person_class, choices)
    with folder_lock(out):
        folder = CropFolder(out, source, name, camera, start)
        try:
            return _Cutter(frames, finder, folder, choices).run(start is not None)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; the list is as it was; the same command begins anew") from None


class _Cutter:
    """One pass over the frames."""

    def __init__(self, frames: Frames, finder: Finder, folder: CropFolder, choices: CropChoices) -> None:
        self._frames, self._finder, self._folder, self._choices = frames, finder, folder, choices
        rate = frames.rate or USUAL_RATE
        self._rate = rate
        self._patience = max(1, round(PATIENCE_SECONDS * rate / choices.every))
        self._tracker: Tracker | None = (
            make_tracker(choices.tracker, self._patience) if finder.tracks else None
        )
        self._best: dict[int, BestShots] = {}
        self._seen_at: dict[int, int] = {}
        self._skipped: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        self._tracks = self._crops = 0

    def run(self, timed: bool) -> Summary:
        looked, first, shown = 0, None, self._frames.count
        problems: list[str] = []
        with progress_bar("cutting crops", shown) as bar:
            for at, frame in enumerate(self._frames):
                first = frame.number if first is None else first
                if self._finder.last_frame is not None and frame.number > self._finder.last_frame:
                    break
                if at % self._choices.every == 0:
                    looked += 1
                    try:
                        self._look(frame, looked, first)
                    except _BrokenFrame as error:
                        problems.append(str(error))
                bar.advance(note=f"{self._tracks + len(self._best)} tracks")
        if looked and len(problems) == looked:
            raise DrfmError(f"{self._frames.source}: not one frame can be used; the first: {problems[0]}")
        for track in list(self._best):
            self._close(track)
        problems += self._frames.problems
        if left := self._finder.left():
            problems.append(f"{left} box(es) are in frames that were not looked at or are not there")
        listed = self._folder.finish({
            "frames": looked,
            "choices": asdict(self._choices),
            "tracks": self._tracks,
            "left_out": dict(self._counts),
            "skipped": self._skipped,
            "problems": problems,
        })  # fmt: skip
        return Summary(
            looked, self._tracks, self._crops, listed,
            (*problems, *self._outside()), tuple(self._notes(timed)),
        )  # fmt: skip

    def _look(self, frame: Frame, step: int, first: int) -> None:
        made: list[Pixels] = []

        def image() -> Pixels:
            if not made:
                try:
                    made.append(frame.image())
                except DrfmError as error:
                    raise _BrokenFrame(str(error)) from None
            return made[0]

        boxes = self._finder.boxes(frame, image)
        boxes = [box for box in boxes if self._usable(frame, box, image)]
        for box in self._tracked(boxes):
            if box.track is None:
                self._counts["in no track"] += 1
                continue
            part = box.inside(*image().shape[:2])
            assert part is not None
            left, top, right, bottom = part
            pixels = image()[top:bottom, left:right].copy()
            moment = (frame.number - first) / self._rate if frame.seconds is None else frame.seconds
            worth = score(pixels, box, part, (image().shape[0], image().shape[1]))
            best = self._best.setdefault(box.track, BestShots(self._choices.per_track, self._choices.gap))
            best.add(Shot(frame.number, moment, frame.seconds, box, pixels, worth))
            self._seen_at[box.track] = step
        for track in [track for track in self._best if self._over(track, frame.number, step)]:
            self._close(track)

    def _usable(self, frame: Frame, box: Box, image: Callable[[], Pixels]) -> bool:
        height, width = image().shape[:2]
        part = box.inside(height, width)
        if box.width <= 0 or box.height <= 0:
            self._skip(frame, box, "has no area")
        elif part is None:
            self._skip(frame, box, f"lies outside of the frame of {width} x {height}")
        elif part[3] - part[1] < self._choices.min_height:
            self._counts[f"below {self._choices.min_height} rows"] += 1
        else:
            return True
        return False

    def _tracked(self, boxes: list[Box]) -> list[Box]:
        """Boxes with the track of each; ids that are found follow those that are given."""
        if self._tracker is None:
            return boxes
        rows = [row for row, box in enumerate(boxes) if box.track is None]
        corners = [(b.left, b.top, b.left + b.width, b.top + b.height) for b in (boxes[row] for row in rows)]
        ids = self._tracker.update(
            np.array(corners, np.float64).reshape(-1, 4),
            np.array([boxes[row].confidence for row in rows], np.float64),
        )
        for row, number in zip(rows, ids.tolist(), strict=True):
            if number != NONE:
                boxes[row] = replace(boxes[row], track=number + self._finder.first_free)
        return boxes

    def _over(self, track: int, frame: int, step: int) -> bool:
        """Whether no more boxes of a track can come, so that its crops need not be kept in memory."""
        if track in self._finder.last_of:
            return frame >= self._finder.last_of[track]
        return step - self._seen_at[track] > 2 * self._patience

    def _close(self, track: int) -> None:
        best = self._best.pop(track)
        if best.seen < self._choices.min_frames:
            self._counts[f"of tracks below {self._choices.min_frames} frames"] += best.seen
            return
        chosen = best.chosen()
        for shot in chosen:
            self._folder.add(track, shot)
        self._tracks += 1
        self._crops += len(chosen)

    def _skip(self, frame: Frame, box: Box, why: str) -> None:
        self._counts["without area or outside of the frame"] += 1
        if len(self._skipped) < _LISTED:
            self._skipped.append({
                "frame": frame.number, "line": box.line, "why": why,
                "box": [box.left, box.top, box.width, box.height],
            })  # fmt: skip

    def _outside(self) -> list[str]:
        return [
            "frame {frame}: box {box[0]:g},{box[1]:g} of {box[2]:g} x {box[3]:g} {why}".format(**one)
            for one in self._skipped
        ]

    def _notes(self, timed: bool) -> list[str]:
        notes = [f"{count} box(es) left out: {why}" for why, count in sorted(self._counts.items())]
        if not timed:
            notes.append("no --start, so the list has no times")
        if not self._crops:
            notes.append("no crops: no box was found or kept")
        return notes


class _BrokenFrame(Exception):
    """A frame that cannot be decoded; the next one may be sound."""


def _name(source: Path) -> str:
    return source.resolve().name if source.is_dir() else source.stem

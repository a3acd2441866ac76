"""`drfm crops`: the best crops of each person in a video, and a list of them."""

from pathlib import Path
from typing import Literal

from drfm.cli.output import note, say
from drfm.errors import DrfmError

_SHOWN = 20  # problems that are shown; the record in the folder has them all


def crops(
    source: Path,
    /,
    *,
    out: Path,
    boxes: Path | None = None,
    detector: Path | None = None,
    camera: str | None = None,
    start: str | None = None,
    fps: float | None = None,
    name: str | None = None,
    per_track: int = 5,
    gap: float = 1.0,
    confidence: float | None = None,
    min_height: int = 16,
    min_frames: int = 1,
    every: int = 1,
    tracker: Literal["iou", "bytetrack"] = "iou",
    first_frame: int = 1,
    layout: Literal["auto", "yolov8", "yolov5", "end-to-end"] = "auto",
    person_class: int | None = None,
) -> None:
    """Cut the best crops of each person's track out of a video, and list them in OUT/list.csv.

    Several videos may share one folder and its list. Running it again replaces the crops of this video.

    Args:
        source: A video, or a folder of frames.
        out: Folder for crops and list.
        boxes: Boxes in MOT form: frame,id,left,top,width,height,confidence; id -1 where no track is known.
        detector: Instead of boxes, a person detector of the YOLO family as an ONNX file (extra `onnx`).
        camera: Name of the camera.
        start: Moment of the first frame in ISO 8601, in UTC where it names no zone; without it no times
            are listed.
        fps: Frames a second, instead of the video's own times; a folder has none.
        name: Name of the video in file names and tracks, instead of its file's.
        per_track: Crops of one track, at most.
        gap: Seconds between two crops of a track, at least.
        confidence: Boxes below it are left out; 0.25 for a detector.
        min_height: Boxes with fewer rows inside the frame are left out.
        min_frames: Tracks with fewer boxes are left out.
        every: Look at one frame in so many.
        tracker: What joins boxes to tracks: `iou`, or `bytetrack` (extra `tracks`).
        first_frame: Number that --boxes gives to the first frame.
        layout: Form of the detector's answer; `auto` goes by its shape.
        person_class: The detector's class that is a person.
    """
    from drfm.video.choices import CropChoices, parse_start
    from drfm.video.crops import cut_crops

    if person_class is not None and person_class < 0:
        raise DrfmError(f"person_class = {person_class}: give 0 or more")
    choices = CropChoices(
        per_track, gap, confidence, min_height, min_frames, every, tracker, first_frame, fps
    )
    done = cut_crops(
        source, out, boxes=boxes, detector=detector, camera=camera, start=parse_start(start), name=name,
        layout=layout, person_class=person_class, choices=choices,
    )  # fmt: skip
    for problem in done.problems[:_SHOWN]:
        note(f"problem: {problem}")
    if len(done.problems) > _SHOWN:
        note(f"problem: and {len(done.problems) - _SHOWN} more, in the record beside the list")
    for line in done.notes:
        note(f"note: {line}")
    say(f"{source}: {done.frames} frames looked at, {done.tracks} tracks, {done.crops} crops")
    say(f"{out / 'list.csv'}: {done.listed} crops listed")

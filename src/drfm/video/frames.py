"""Frames of a video file (PyAV, extra ``video``) or of a folder of images, one at a time."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drfm.data.imagefile import MAX_PIXELS, open_image
from drfm.data.listing import list_images, require_images
from drfm.errors import DrfmError

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """One frame; its pixels are made when they are asked for.

    Attributes:
        number: of the frame, as a list of boxes names it.
        seconds: since the first frame, or ``None`` where no time is known.
        image: gives ``(H, W, 3)`` uint8 RGB, upright.
    """

    number: int
    seconds: float | None
    image: Callable[[], Pixels]


@dataclass
class Frames:
    """A source of frames, in order, to be read once.

    Attributes:
        source: file or folder.
        count: how many frames there are about; ``None`` where the file does not say.
        rate: frames a second, ``None`` where it is not known.
        problems: frames that could not be used, one line each; grows while frames are read.
    """

    source: Path
    count: int | None
    rate: float | None
    _frames: Callable[["Frames"], Iterator[Frame]]
    problems: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Frame]:
        return self._frames(self)


def open_frames(source: Path, *, fps: float | None = None, first_frame: int = 1) -> Frames:
    """Open a video file or a folder of frames.

    Frames of a video are numbered in the order of their presentation from ``first_frame``. Files of a folder
    are numbered by the digits at the end of their names where all have different ones (``000012.jpg``,
    ``frame_12.png``), else by the order of their names from ``first_frame``.

    Args:
        source: video file, or folder with images; sub-folders are not looked into.
        fps: frames a second, instead of the presentation times of a video.
        first_frame: number of the first frame.

    Raises:
        DrfmError: nothing is there, it is no video, or it cannot be opened.
    """
    if source.is_dir():
        return _folder(source, fps, first_frame)
    if not source.exists():
        raise DrfmError(f"{source}: no such file or folder; give a video or a folder of frames")
    if not source.is_file():
        raise DrfmError(f"{source}: is no regular file; give a video or a folder of frames")
    return _video(source, fps, first_frame)


def _folder(source: Path, fps: float | None, first_frame: int) -> Frames:
    names = require_images(list_images(source, deep=False), source, "a frame in each image file")
    numbers = _numbers(names)
    files = sorted(zip(numbers, names, strict=True)) if numbers else list(enumerate(names, first_frame))

    def frames(found: Frames) -> Iterator[Frame]:
        for number, name in files:
            seconds = None if fps is None else (number - files[0][0]) / fps
            yield Frame(number, seconds, lambda name=name: open_image(source / name))  # type: ignore[misc]

    return Frames(source, len(files), fps, frames)


def _numbers(names: list[str]) -> list[int]:
    """The digits at the end of each name, or nothing where they do not tell all files apart."""
    found = [re.search(r"(\d{1,15})$", name.rpartition(".")[0]) for name in names]
    numbers = [int(match.group(1)) for match in found if match]
    return numbers if len(set(numbers)) == len(names) else []


def _video(source: Path, fps: float | None, first_frame: int) -> Frames:
    container = _open(source)
    stream = container.streams.video[0]
    rate = fps or (float(stream.average_rate) if stream.average_rate else None)
    count = stream.frames or None
    if count is None and rate and container.duration:
        count = max(1, round(container.duration / 1e6 * float(stream.average_rate or rate)))
    stream.thread_type = "AUTO"

    def frames(found: Frames) -> Iterator[Frame]:
        with container:
            yield from _decoded(container, found, fps, first_frame)

    return Frames(source, count, rate, frames)


def _open(source: Path) -> Any:
    try:
        import av
    except ImportError:
        raise DrfmError("reading a video needs PyAV: pip install 'drfm[video]'") from None
    try:
        # A playlist must not make this open anything but files.
        container = av.open(str(source), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DrfmError(f"{source}: cannot be opened as a video ({_reason(error)}); check the file") from None
    if not container.streams.video:
        container.close()
        raise DrfmError(f"{source}: has no video in it; give a video or a folder of frames")
    return container


def _decoded(container: Any, found: Frames, fps: float | None, first_frame: int) -> Iterator[Frame]:
    """Frames of the first video stream; damaged packets and frames are counted and left out."""
    zero: float | None = None
    reasons: list[str] = []
    number, corrupt = first_frame - 1, 0
    for frame in _frames(container, reasons):
        number += 1
        if frame.width * frame.height > MAX_PIXELS:
            raise DrfmError(
                f"{found.source}: frames of {frame.width} x {frame.height} pixels, above the limit of "
                f"{MAX_PIXELS // 1_000_000} megapixels; shrink the video"
            )
        if fps is not None:
            seconds: float | None = (number - first_frame) / fps
        elif frame.time is not None:
            zero = frame.time if zero is None else zero
            seconds = float(frame.time - zero)
        else:
            seconds = (number - first_frame) / found.rate if found.rate else None
        if frame.is_corrupt:
            corrupt += 1
            continue
        yield Frame(number, seconds, lambda frame=frame: _pixels(frame))  # type: ignore[misc]
    if number < first_frame:
        why = f" ({reasons[0]})" if reasons else ""
        raise DrfmError(f"{found.source}: not one frame can be decoded{why}; check the file")
    if reasons:
        found.problems.append(f"{len(reasons)} packet(s) could not be decoded ({reasons[0]})")
    if corrupt:
        found.problems.append(f"{corrupt} damaged frame(s) were left out")


def _frames(container: Any, reasons: list[str]) -> Iterator[Any]:
    import av

    packets = container.demux(container.streams.video[0])
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:  # the file ends in the middle of something
            reasons.append(_reason(error))
            packet = None
        try:
            # A file cut short has no packet that empties the decoder, so that is done here.
            yield from packet.decode() if packet is not None else container.streams.video[0].decode(None)
        except av.error.EOFError:
            pass
        except av.error.FFmpegError as error:
            reasons.append(_reason(error))
        if packet is None:
            return


def _pixels(frame: Any) -> Pixels:
    """A decoded frame, turned as the file's display matrix asks (in whole quarter turns)."""
    image: Pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120]

"""Boxes of persons, and lists of them in the form of the MOT challenge."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drfm.errors import DrfmError

MAX_BOXES = 10_000_000
"""Lines of a list that are read; a longer list is refused."""
LARGEST = 1e9
"""Numbers beyond this, in pixels or frames, are no boxes."""
_HEADER = "frame"
_FORM = "frame,id,left,top,width,height[,confidence,...]"


@dataclass(frozen=True, slots=True)
class Box:
    """A box in a frame, in pixels from the frame's upper left corner, which has (0, 0).

    Attributes:
        left, top, width, height: where it lies; it may reach over the frame's edges.
        confidence: 0..1 that it holds a person.
        track: number of the track, or ``None`` where it has to be found.
        line: of the list that it was read from, 0 where there is none.
    """

    left: float
    top: float
    width: float
    height: float
    confidence: float = 1.0
    track: int | None = None
    line: int = 0

    def inside(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of the part in a frame, in whole pixels; ``None`` if it lies outside.

        Edges are rounded to the nearest pixel; right and bottom are the first that are no longer in the part.
        """
        left, right = (min(max(round(x), 0), width) for x in (self.left, self.left + self.width))
        top, bottom = (min(max(round(y), 0), height) for y in (self.top, self.top + self.height))
        return (left, top, right, bottom) if left < right and top < bottom else None

    def text(self) -> str:
        """For a message."""
        return f"box {self.left:g},{self.top:g} of {self.width:g} x {self.height:g}"


def read_mot(path: Path, first_frame: int = 1) -> dict[int, list[Box]]:
    """Boxes by frame number from a MOT list, ``frame,id,left,top,width,height[,confidence,...]``.

    Id -1 means that the track is not known. A confidence of -1, or none, is unknown and counts as 1; 0 marks
    a box that is to be left out, as in the ground truth of the challenge; other values count as the nearest
    of 0..1. Further columns are not read. A first line that begins with ``frame`` names the columns.

    Args:
        path: the list.
        first_frame: no frame has a smaller number.

    Raises:
        DrfmError: no such file, or a line that cannot be read; with its number.
    """
    found: dict[int, list[Box]] = {}
    seen: set[tuple[int, int]] = set()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            for number, cells in enumerate(reader):
                if number == MAX_BOXES:
                    raise DrfmError(f"{path}: has more than {MAX_BOXES} lines; split the list")
                words = [cell.strip() for cell in cells]
                if not any(words) or (number == 0 and words[0].lower() == _HEADER):
                    continue
                where = f"{path}:{reader.line_num}"
                frame, box = _box(words, where, reader.line_num, first_frame)
                if box.track is not None and (frame, box.track) in seen:
                    raise DrfmError(f"{where}: id {box.track} is in frame {frame} twice; mend the list")
                if box.track is not None:
                    seen.add((frame, box.track))
                if box.confidence > 0:
                    found.setdefault(frame, []).append(box)
    except FileNotFoundError:
        raise DrfmError(f"{path}: no such file") from None
    except OSError as error:
        raise DrfmError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DrfmError(f"{path}: is not a list of boxes ({error}); give lines {_FORM}") from None
    return found


def _box(words: Sequence[str], where: str, line: int, first_frame: int) -> tuple[int, Box]:
    if len(words) < 6:
        raise DrfmError(f"{where}: has {len(words)} cells; give {_FORM}")
    frame, track = (_whole(words[at], name, where) for at, name in ((0, "frame"), (1, "id")))
    if frame < first_frame:
        raise DrfmError(
            f"{where}: frame {frame}, but frames count from {first_frame}; "
            f"give --first-frame {max(frame, 0)} or mend the list"
        )
    if track < -1:
        raise DrfmError(f"{where}: id {track}; give 0 or more, or -1 where it is not known")
    left, top, width, height = (_number(words[at], "box", where) for at in range(2, 6))
    confidence = _number(words[6], "confidence", where) if len(words) > 6 and words[6] else -1.0
    if confidence == -1.0:
        confidence = 1.0
    return frame, Box(
        left, top, width, height, min(max(confidence, 0.0), 1.0), None if track == -1 else track, line
    )


def _number(word: str, what: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise DrfmError(f"{where}: {what} has {word[:40]!r}; give a number, as in {_FORM}")
    return value


def _whole(word: str, what: str, where: str) -> int:
    value = _number(word, what, where)
    if value != int(value):
        raise DrfmError(f"{where}: {what} {word[:40]!r} is no whole number")
    return int(value)

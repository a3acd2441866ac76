"""What a gallery knows of an image, and which images a query asks for."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from drfm.errors import DrfmError

NAMES = ("camera", "person", "track")
"""Text that is kept on its own; everything else about an image is a free field."""
LONGEST = 1024
"""Characters of a path, a name or the text of all free fields."""
LEFT_OUT = {"resolution", "split"}
"""Columns of lists for training that say nothing about an image in a gallery."""


@dataclass(frozen=True)
class Item:
    """An image of a gallery.

    Attributes:
        path: the image's file, as it was given; unique in a gallery.
        camera, person, track: names, ``None`` where unknown. The person is shown and filtered by, no more.
        time: seconds since 1970-01-01 UTC.
        fields: anything else, as text.
    """

    path: str
    camera: str | None = None
    time: float | None = None
    person: str | None = None
    track: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = [self.path, *(getattr(self, name) or "" for name in NAMES), self.fields_text()]
        if not self.path or any(len(text) > LONGEST or "\0" in text for text in texts):
            raise DrfmError(
                f"image {self.path[:60]!r}: give a path, and texts of at most {LONGEST} characters"
            )
        if self.time is not None and not math.isfinite(self.time):
            raise DrfmError(f"image {self.path}: time {self.time} is not finite; leave it out where unknown")

    def fields_text(self) -> str:
        """The free fields as canonical JSON."""
        return json.dumps(dict(self.fields), sort_keys=True, ensure_ascii=False)

    def to_dict(self) -> dict[str, object]:
        """For JSON; the time as ISO 8601 in UTC."""
        shown = {name: getattr(self, name) for name in ("path", *NAMES)}
        return {
            **shown,
            "time": None if self.time is None else show_time(self.time),
            "fields": dict(self.fields),
        }


@dataclass(frozen=True)
class Filter:
    """Images that fit all that is given; a tuple offers alternatives, an empty one asks nothing.

    Attributes:
        camera, person, track, path: names; the empty one stands for images without any.
        since, until: seconds since 1970-01-01 UTC; from ``since`` on, and before ``until``.
        fields: free fields and the values they must have.
    """

    camera: tuple[str, ...] = ()
    person: tuple[str, ...] = ()
    track: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != Filter()


def parse_time(text: str) -> float:
    """Seconds since 1970-01-01 UTC from ISO 8601 (UTC where it names no zone) or from a number of seconds.

    Raises:
        DrfmError: neither.
    """
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise DrfmError(
                f"time {text!r}: give ISO 8601, such as 2026-05-01T14:30:00, or seconds"
            ) from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise DrfmError(f"time {text!r}: give a finite number of seconds")
    return seconds


def show_time(seconds: float) -> str:
    """ISO 8601 in UTC, or the number itself where a calendar does not reach."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return repr(seconds)


def read_list(path: Path) -> list[Item]:
    """Images of a CSV file with a header line: ``path``, and what is known of ``camera,time,person,track``.

    Every other column is a free field; empty cells are unknown. Paths are relative to the list.

    Raises:
        DrfmError: no such file, no column ``path``, or a line that cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            if "path" not in (reader.fieldnames or ()):
                raise DrfmError(f"{path}: has no column `path`; the first line must name the columns")
            return [_item(row, f"{path}, line {reader.line_num}", path.parent) for row in reader]
    except OSError as error:
        raise DrfmError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DrfmError(f"{path}: is not a CSV file in UTF-8 ({error})") from None


def _item(row: Mapping[str | None, object], where: str, folder: Path) -> Item:
    if None in row or any(value is None for value in row.values()):
        raise DrfmError(f"{where}: does not have as many cells as the first line")
    cells = {str(key): str(value).strip() for key, value in row.items() if str(value).strip()}
    if "path" not in cells:
        raise DrfmError(f"{where}: names no path")
    try:
        return Item(
            path=str(folder / cells.pop("path")),
            time=parse_time(cells.pop("time")) if "time" in cells else None,
            **{name: cells.pop(name, None) for name in NAMES},
            fields={key: value for key, value in cells.items() if key not in LEFT_OUT},
        )
    except DrfmError as error:
        raise DrfmError(f"{where}: {error}") from None


def fields_of(pairs: Sequence[str]) -> dict[str, str]:
    """Free fields from texts such as ``colour=red``.

    Raises:
        DrfmError: a text without a name or an equals sign.
    """
    split = [pair.partition("=") for pair in pairs]
    for pair, (name, sign, _) in zip(pairs, split, strict=True):
        if not name or not sign:
            raise DrfmError(f"field {pair!r}: give NAME=VALUE")
    return {name: value for name, _, value in split}

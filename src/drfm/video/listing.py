"""The folder of crops: images, a record for each source, and one list of them all."""

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from drfm.errors import DrfmError
from drfm.files import read_json, write_atomic, write_error, write_json
from drfm.video.shots import Shot

LIST = "list.csv"
COLUMNS = ("path", "camera", "time", "track")


class CropFolder:
    """Crops of one source in a folder that several sources may share.

    An image's name ends in a checksum of its pixels, so no name ever changes its picture. The list is
    replaced in one step when all images are there, and what it no longer names is deleted after that: whoever
    reads it finds every image that it names, also while this runs or after it was stopped.

    Args:
        out: the folder that has the list.
        source: the video or folder of frames.
        name: of the source, in file names and tracks.
        camera: of all crops; ``None`` where unknown.
        start: moment of the first frame, ``None`` where unknown.

    Raises:
        DrfmError: the folder has crops of another source of this name, or a list of something else.
    """

    def __init__(
        self, out: Path, source: Path, name: str, camera: str | None, start: datetime | None
    ) -> None:
        self.out = out
        self._camera, self._start = camera, start
        self.prefix = _file_name(f"{camera}-{name}" if camera else name)
        self._record = out / f"{self.prefix}.json"
        self._facts = {"source": str(source.resolve()), "camera": camera, "name": name}
        self.others = [row for row in _read_rows(out / LIST) if not self._mine(row["path"])]
        self._rows: list[dict[str, str]] = []
        self._crops: list[dict[str, Any]] = []
        if self._record.exists():
            known = read_json(self._record)
            before = known.get("source") if isinstance(known, dict) else None
            if before != self._facts["source"]:
                raise DrfmError(
                    f"{self._record}: belongs to {before}, which has the same name; give --name, "
                    f"or delete this file to replace its crops by those of {source}"
                )

    def add(self, track: int, shot: Shot) -> None:
        """Write an image; it is not listed before :meth:`finish`."""
        digest = hashlib.sha256(repr(shot.pixels.shape).encode() + shot.pixels.tobytes()).hexdigest()[:8]
        path = f"{self.prefix}/{track:05d}-{shot.frame:07d}-{digest}.png"
        if not (self.out / path).exists():
            write_atomic(self.out / path, _png(shot.pixels))
        self._rows.append({
            "path": path,
            "camera": self._camera or "",
            "time": self._time(shot.seconds),
            "track": f"{self.prefix}-{track}",
        })  # fmt: skip
        box = [shot.box.left, shot.box.top, shot.box.width, shot.box.height]
        self._crops.append({
            "path": path, "frame": shot.frame, "seconds": shot.seconds, "box": box,
            "confidence": shot.box.confidence, "score": shot.score,
        })  # fmt: skip

    def finish(self, facts: Mapping[str, Any]) -> int:
        """Write the record and the list, delete images of earlier runs, and return how many the list has.

        Args:
            facts: for the record, beside the crops.
        """
        rows = sorted([*self.others, *self._rows], key=lambda row: row["path"])
        crops = sorted(self._crops, key=lambda crop: str(crop["path"]))
        write_json(self._record, {**self._facts, **facts, "crops": crops})
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.out / LIST, text.getvalue())
        named = {row["path"] for row in self._rows}
        try:
            for path in (self.out / self.prefix).glob("*"):
                # A killed run also leaves hidden files that have not got their name yet.
                ours = path.suffix == ".png" or path.name.startswith(".")
                if ours and f"{self.prefix}/{path.name}" not in named:
                    path.unlink()
        except OSError as error:
            raise write_error(self.out / self.prefix, error) from None
        return len(rows)

    def _mine(self, path: str) -> bool:
        return path.startswith(f"{self.prefix}/")

    def _time(self, seconds: float | None) -> str:
        if self._start is None or seconds is None:
            return ""
        try:
            return (self._start + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
        except OverflowError:
            raise DrfmError(f"start = {self._start}: {seconds:g} seconds later no calendar reaches") from None


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise DrfmError(f"{path}: its columns are not {','.join(COLUMNS)}; give another --out")
            rows = [{name: row[name] or "" for name in COLUMNS} for row in reader]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DrfmError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DrfmError(f"{path}: cannot be read as a CSV list ({error}); give another --out") from None
    return rows


def _file_name(text: str) -> str:
    """``text`` as a file name; where characters had to go, a checksum keeps two texts apart."""
    plain = re.sub(r"[^\w.-]+", "_", text).lstrip(".-")[:100]
    return plain if plain == text else f"{plain}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Compressed, unlike the images of a benchmark: nothing depends on the bytes of a crop."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()

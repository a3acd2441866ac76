"""A search as it was asked and answered, in the form in which it is shown and exported."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from drfm.data.records import Resolution
from drfm.gallery.calibration import verdict, warning
from drfm.gallery.search import Search
from drfm.gallery.store import Hit

Mark = Literal["right", "wrong", "none"]
Pixels = npt.NDArray[np.uint8]
COLUMNS = (
    "query", "rank", "similarity", "verdict", "mark", "image", "path", "camera", "time", "person", "track",
    "fields",
)  # fmt: skip
NOTICE = (
    "Similar appearance, mostly clothing; no finding that two images show one person. "
    "Contains personal data: keep it only as long and share it only as far as the law of your place allows."
)
"""Goes with every export."""


@dataclass(frozen=True)
class Asked:
    """A query and its answer, kept in memory so that it can be shown, explained, marked and exported.

    Attributes:
        id: of the query.
        crop: ``(H, W, 3)`` uint8 RGB, as given.
        sha256: of its pixels.
        resolution: whether it counts as sharp or blurry.
        how: what was asked.
        hits: the answer, best first.
        calibration: of the bundle.
    """

    id: str
    crop: Pixels
    sha256: str
    resolution: Resolution
    how: Search
    hits: Sequence[Hit]
    calibration: Mapping[str, Any] | None

    def to_dict(self, mark_of: Callable[[str, int], Mark]) -> dict[str, Any]:
        """For JSON."""
        height, width = self.crop.shape[:2]
        return {
            "query": self.id,
            "height": height,
            "width": width,
            "sha256": self.sha256,
            "resolution": self.resolution,
            "warning": warning(height, self.calibration),
            "calibrated": self.calibration is not None,
            "k": self.how.k,
            "one_per_track": self.how.one_per_track,
            "filter": _filter(self.how),
            "results": [
                {
                    "rank": rank,
                    "similarity": round(float(hit.similarity), 6),
                    "verdict": self.verdict(hit),
                    "mark": mark_of(self.id, hit.id),
                    "image": hit.id,
                    **hit.item.to_dict(),
                }
                for rank, hit in enumerate(self.hits, 1)
            ],
        }

    def verdict(self, hit: Hit) -> str:
        """``likely``, ``possible`` or ``no evidence``; ``not calibrated`` where the bundle is not."""
        if self.calibration is None:
            return "not calibrated"
        return verdict(float(hit.similarity), self.crop.shape[0], self.calibration)


def as_csv(told: Mapping[str, Any]) -> str:
    """What :meth:`Asked.to_dict` gave as CSV, one line an image, for a spreadsheet.

    Free fields get a column each. Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    names = sorted({name for line in told["results"] for name in line["fields"]})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS[:-1], *(_cell(f"field {name}") for name in names)])
    for line in told["results"]:
        whole = {**line, "query": told["query"]}
        fields = [_cell(line["fields"].get(name)) for name in names]
        writer.writerow([*(_cell(whole[name]) for name in COLUMNS[:-1]), *fields])
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value


def _filter(how: Search) -> dict[str, Any]:
    where = how.where
    given = {
        "camera": list(where.camera), "person": list(where.person), "track": list(where.track),
        "since": where.since, "until": where.until, "fields": dict(where.fields),
    }  # fmt: skip
    return {name: value for name, value in given.items() if value not in (None, [], {})}

"""How the success of a query depends on its native height in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drfm.evaluation.plots import Axis, Line, Panel
from drfm.evaluation.ranking import Ranking


@dataclass(frozen=True)
class HeightGroup:
    """Queries of similar height.

    Attributes:
        low, high: smallest and largest native height in pixels.
        middle: median height.
        queries: their number, those without a match left out.
        rank1: share whose first gallery image is a match (multi-shot).
        interval: 95 % interval of that share, after Wilson (1927), the queries taken as independent.
        precision: mean average precision.
    """

    low: int
    high: int
    middle: float
    queries: int
    rank1: float
    interval: tuple[float, float]
    precision: float


def by_height(ranking: Ranking, heights: npt.ArrayLike, groups: int = 5) -> list[HeightGroup]:
    """Cut the queries into groups of about equal number by height, the smallest first.

    Queries of one height are never parted, so there may be fewer groups, or one.

    Args:
        ranking: of Q queries.
        heights: ``(Q,)`` native heights in pixels.
        groups: how many at most.
    """
    kept = np.flatnonzero(ranking.valid)
    height = np.asarray(heights)[kept]
    order = np.argsort(height, kind="stable")
    edges = np.unique(np.quantile(height, np.linspace(0, 1, groups + 1)[1:-1], method="lower"))
    place = np.searchsorted(edges, height[order], side="left")
    found = []
    for part in np.unique(place):
        rows = order[place == part]
        right = int((ranking.first[kept[rows]] == 1).sum())
        found.append(
            HeightGroup(
                low=int(height[rows].min()),
                high=int(height[rows].max()),
                middle=float(np.median(height[rows])),
                queries=len(rows),
                rank1=right / len(rows),
                interval=wilson(right, len(rows)),
                precision=float(ranking.precision[kept[rows]].mean()),
            )
        )
    return found


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a share, ``right`` of ``total`` (at least 1); 95 % by default."""
    share, spread = right / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def height_panel(groups: Sequence[HeightGroup], chance: float | None = None) -> Panel:
    """Rank-1 against the median height of each group, with its interval."""
    line = Line(
        "Rank-1",
        [(group.middle, group.rank1) for group in groups],
        band=[group.interval for group in groups],
    )
    levels = [] if chance is None else [("chance", chance)]
    axis = Axis("native height of the query, pixels")
    return Panel("Rank-1 by native height", [line], axis, Axis("", low=0.0, percent=True), levels)

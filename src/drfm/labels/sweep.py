"""Exact neighbours by bounds: seed each list, then sweep over blocks of pairs.

A list's k-th similarity only rises, so pairs whose bound lies below it can be left
out at any time; the order of the work changes how many are looked at, never the
result. With the rows searched among themselves each pair is looked at once and
serves both of its rows.
"""

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from drfm.labels import candidates, centring, screening
from drfm.labels.parallel import each, in_parts
from drfm.labels.rates import measured
from drfm.labels.similarity import FloatRows

BLOCK = (1024, 2048)
"""Rows and columns of a block of bounds: 8 MB of float32."""
RANK = 253
"""Coordinates of the codes, beside the length of what they miss, the offset and 1."""
POOL = 512
"""Rows that a row's first candidates are chosen from, twice."""
EXTRA = 4
"""First candidates beyond k."""
EMPTY = 2**31 - 1
"""Index of an empty place in a list, behind every row."""
CELL = 256
"""Rows in a cell of similar rows, on average."""


@dataclass
class Lists:
    """Sorted lists of the best k, under construction.

    Attributes:
        index: ``(Q, k)`` int32.
        exact: ``(Q, k)`` float32, minus infinity where still empty.
        seconds: time by stage; of ``product``, ``scan`` and ``insert`` in all threads together.
    """

    index: npt.NDArray[np.int32]
    exact: npt.NDArray[np.float32]
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, seconds: float) -> None:
        """Add to the time of a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def lap(self, stage: str, since: float) -> float:
        """Add the time since ``since`` to a stage and return the time."""
        now = time.perf_counter()
        self.add(stage, now - since)
        return now


def sweep(
    rows: FloatRows, asked: FloatRows, lists: Lists, *, own: int | None, opposite: bool = False
) -> dict[str, float | int | str]:
    """Fill the lists of ``asked`` with their exact neighbours among ``rows``.

    Args:
        rows: ``(N, D)`` float32 rows of unit length.
        asked: ``(Q, D)`` rows to search for; the very same array as ``rows`` to halve the work.
        lists: empty lists of k < N.
        own: where ``asked`` begins in ``rows`` if it is a part of them, to seed lists from the surroundings.
        opposite: search for minus each row of ``asked``, that is for the rows most unlike it.

    Returns:
        Facts: the product used, its rank, and the share of pairs that were looked at.
    """
    at = time.perf_counter()
    rates = measured()
    product = rates.product
    mirrored = asked is rows
    seen = centring.about(rows, centring.mean_of(rows))
    seen_asked = seen if mirrored else centring.about(asked, seen.centre)
    basis = screening.principal_directions(seen, RANK, product) if rows.shape[1] > 2 * RANK else None
    at = lists.lap("basis", at)

    def screens(basis: npt.NDArray[np.float32] | None) -> tuple[screening.Screen, screening.Screen]:
        screen = screening.make_screen(seen, basis, product)
        other = screen if mirrored else screening.make_screen(seen_asked, basis, product)
        return screen, other.opposite(basis is not None) if opposite else other

    sides = _Sides(*_short_sides(seen, seen_asked, opposite), *screens(basis), lists, mirrored)
    at = lists.lap("codes", at)
    floor = _floors(sides, None if opposite else own)
    at = lists.lap("seed", at)
    if basis is not None and _share(sides, floor) > rates.tolerable(RANK + 3, rows.shape[1]):
        sides.screen, sides.other = screens(None)
        at = lists.lap("codes", at)
    looked = _Work(sides, floor, sides.limit).run()
    lists.lap("sweep", at)
    pairs = len(rows) * len(asked) / (2 if mirrored else 1)
    return {"product": product, "rank": sides.screen.codes.shape[1], "looked_share": looked / pairs}


@dataclass(frozen=True)
class _Rows:
    """The rows of one side, as they are and in 16-bit integers about the centre."""

    exact: FloatRows
    short: npt.NDArray[np.int16]
    offset: FloatRows


@dataclass
class _Sides:
    """The two sides of a search and their codes."""

    rows: _Rows
    asked: _Rows
    scale: float
    """What turns products of 16-bit integers into products of differences from the centre."""
    error: float
    """How far these, with both offsets and the shift, may be from similarities."""
    shift: float
    screen: screening.Screen
    other: screening.Screen
    lists: Lists
    mirrored: bool
    """Every pair occurs twice, with one similarity: the rows are searched among themselves."""

    @property
    def limit(self) -> screening.Limit:
        """How the bounds of the two sides are read."""
        return screening.limit(self.other, self.screen, self.shift)


def _short_sides(
    seen: centring.Centred, asked: centring.Centred, opposite: bool
) -> tuple[_Rows, _Rows, float, float, float]:
    """Both sides in 16-bit integers, the scale of their products, their error and the shift."""
    short, lost = screening.shorten(seen)
    short_asked, lost_asked = (short, lost) if asked is seen else screening.shorten(asked)
    scale = seen.reach * asked.reach / screening.SHORT_SCALE**2
    error = lost * asked.reach + seen.reach * lost_asked + lost * lost_asked
    error += 8 * screening.UNIT * (seen.reach * asked.reach + seen.lift + asked.lift + 1)
    rows, others = _Rows(seen.rows, short, seen.offset), _Rows(asked.rows, short_asked, asked.offset)
    shift = seen.shift
    if opposite:  # all that is said of minus a row follows from what is said of the row
        rows, others = replace(rows, offset=-seen.offset), _Rows(-asked.rows, -short_asked, -asked.offset)
        shift = -shift
    return rows, others, scale, 1.01 * error, shift


@dataclass
class _First:
    """The rows that are likely neighbours of each row that is searched for, best first, by their bounds."""

    sides: _Sides
    index: npt.NDArray[np.int32]
    best: npt.NDArray[np.float32]

    def choose(self, bounds: Any, target: npt.NDArray[np.int64], pool: npt.NDArray[np.int32]) -> None:
        """Take the best of a pool into account."""
        candidates.choose(bounds, target, pool, self.index, self.best)


def _floors(sides: _Sides, own: int | None) -> npt.NDArray[np.float32]:
    """What each list's k-th similarity will be at least."""
    k = sides.lists.index.shape[1]
    count = len(sides.asked.exact)
    shape = (count, k + EXTRA)
    first = _First(sides, np.full(shape, EMPTY, np.int32), np.full(shape, -np.inf, np.float32))
    if own is not None:
        _choose_around(first, own)
    _choose_in_cells(first)
    floor = np.empty(count, np.float32)
    given = (first.index, sides.asked.short, sides.rows.short, sides.asked.offset, sides.rows.offset,
             sides.scale, sides.shift - sides.error, k, floor)  # fmt: skip
    in_parts(lambda a, b: candidates.floors(a, b, *given), count)
    return floor


def _choose_around(first: _First, own: int) -> None:
    """From the rows nearby: files are mostly listed by person."""
    sides = first.sides
    count, asked, half = len(sides.rows.exact), len(sides.asked.exact), POOL // 2

    def work(start: int) -> None:
        stop = min(start + half, asked)
        low = max(0, min(own + start - half // 2, count - POOL))
        high = min(count, low + POOL)
        bounds = sides.other.bounds(slice(start, stop), sides.screen, slice(low, high))
        first.choose(bounds, np.arange(start, stop), np.arange(low, high, dtype=np.int32))

    each(work, range(0, asked, half))


def _choose_in_cells(first: _First) -> None:
    """From the rows that are nearest to the same of N / 256 rows, or to similar ones."""
    sides = first.sides
    screen, count = sides.screen, len(sides.rows.exact)
    cells = max(1, count // CELL)
    centres = screen.chosen(np.arange(cells) * count // cells)
    order, start = _cells(screen, centres)
    order_asked, start_asked = (order, start) if sides.other is screen else _cells(sides.other, centres)
    near = np.argsort(-centres.bounds(slice(None), centres, slice(None)), axis=1, kind="stable")
    size = np.diff(start)

    def work(c: int) -> None:
        target = order_asked[start_asked[c] : start_asked[c + 1]]
        enough = int(np.searchsorted(np.cumsum(size[near[c]]), POOL)) + 1
        pool = np.concatenate([order[start[d] : start[d + 1]] for d in near[c, :enough]])
        bounds = sides.other.chosen(target).bounds(slice(None), screen.chosen(pool), slice(None))
        first.choose(bounds, target, pool.astype(np.int32))

    each(work, [c for c in range(cells) if start_asked[c] < start_asked[c + 1]])


def _cells(screen: screening.Screen, centres: screening.Screen) -> tuple[Any, Any]:
    count, cells = len(screen.codes), len(centres.codes)
    cell = np.empty(count, np.int64)
    for at in range(0, count, 4096):
        cell[at : at + 4096] = screen.bounds(slice(at, at + 4096), centres, slice(None)).argmax(axis=1)
    order = np.argsort(cell, kind="stable")
    return order, np.searchsorted(cell[order], np.arange(cells + 1))


def _share(sides: _Sides, floor: npt.NDArray[np.float32]) -> float:
    """Share of pairs that the bounds let through as the lists stand, from 64 rows."""
    step = max(1, len(floor) // 64)
    limit = floor[::step, None]
    if sides.mirrored:
        limit = np.minimum(limit, floor[None])
    bounds = sides.other.bounds(slice(None, None, step), sides.screen, slice(None))
    return float((bounds >= sides.limit.least(limit)).mean())


@dataclass
class _Work:
    """A sweep over the blocks of pairs."""

    sides: _Sides
    floor: npt.NDArray[np.float32]
    limit: screening.Limit
    turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> int:
        """Sweep over all blocks, those near the diagonal first; returns how many pairs were looked at."""
        tall, wide = BLOCK
        sides = self.sides
        blocks = [
            (row, column)
            for row in range(0, len(sides.asked.exact), tall)
            for column in range(row // wide * wide if sides.mirrored else 0, len(sides.rows.exact), wide)
        ]
        if sides.mirrored:
            blocks.sort(key=lambda block: block[1] - block[0])
        return sum(each(self._block, blocks))

    def _block(self, block: tuple[int, int]) -> int:
        (row, column), (tall, wide) = block, BLOCK
        sides, lists = self.sides, self.sides.lists
        limit, asked, rows = self.limit, sides.asked, sides.rows
        began = time.perf_counter()
        bounds = sides.other.bounds(slice(row, row + tall), sides.screen, slice(column, column + wide))
        multiplied = time.perf_counter()
        limits = np.full(bounds.shape[1], np.inf, np.float32)
        if sides.mirrored:
            span = slice(column, column + wide)
            limits = limit.least(np.maximum(lists.exact[span, -1], self.floor[span]))
        *pairs, looked = candidates.scan(
            bounds, limit.slack, limit.relative, asked.exact, rows.exact, asked.short, rows.short,
            asked.offset, rows.offset, sides.scale, sides.shift + sides.error,
            row, column, sides.mirrored, limits, self.floor, lists.exact,
        )  # fmt: skip
        scanned = time.perf_counter()
        with self.turn:
            candidates.insert_all(*pairs, sides.mirrored, lists.index, lists.exact)
            lists.add("product", multiplied - began)
            lists.add("scan", scanned - multiplied)
            lists.add("insert", time.perf_counter() - scanned)
        return int(looked)

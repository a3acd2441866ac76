"""Exact neighbours by bounds: seed each list, then sweep over blocks of pairs.

A list's k-th similarity only rises, so pairs whose bound lies below it can be left
out at any time; the order of the work changes how many are looked at, never the
result. With the rows searched among themselves each pair is looked at once and
serves both of its rows.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from drfm.labels import candidates, screening
from drfm.labels.parallel import in_parts
from drfm.labels.similarity import FloatRows

BLOCK = (1024, 2048)
"""Rows and columns of a block of bounds: 8 MB of float32."""
RANK = 256
"""Coordinates of the codes."""
POOL = 1024
"""Rows that a row's list is first filled from, twice."""
CELL = 256
"""Rows in a cell of similar rows, on average."""


@dataclass
class Lists:
    """Sorted lists of the best k, under construction.

    Attributes:
        index: ``(Q, k)`` int32.
        exact: ``(Q, k)`` float32, minus infinity where still empty.
        seconds: wall time by stage.
    """

    index: npt.NDArray[np.int32]
    exact: npt.NDArray[np.float32]
    seconds: dict[str, float] = field(default_factory=dict)

    def lap(self, stage: str, since: float) -> float:
        """Add the time since ``since`` to a stage and return the time."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now


def sweep(
    rows: FloatRows, asked: FloatRows, lists: Lists, *, own: int | None
) -> dict[str, float | int | str]:
    """Fill the lists of ``asked`` with their exact neighbours among ``rows``.

    Args:
        rows: ``(N, D)`` float32 rows of unit length.
        asked: ``(Q, D)`` rows to search for; the very same array as ``rows`` to halve the work.
        lists: empty lists of k < N.
        own: where ``asked`` begins in ``rows`` if it is a part of them, to seed lists from the surroundings.

    Returns:
        Facts: the product used, its rank, and the share of pairs that were looked at.
    """
    at = time.perf_counter()
    product = screening.fastest_product(torch.get_num_threads())
    basis = screening.principal_directions(rows, RANK) if rows.shape[1] >= 2 * RANK else None
    at = lists.lap("basis", at)
    screen = screening.make_screen(rows, basis, product)
    other = screen if asked is rows else screening.make_screen(asked, basis, product)
    short, error = screening.shorten(rows)
    short_asked, error_asked = (short, error) if asked is rows else screening.shorten(asked)
    at = lists.lap("codes", at)
    if own is not None:
        _seed_around(rows, asked, screen, other, lists, own)
    _seed_in_cells(rows, asked, screen, other, lists)
    at = lists.lap("seed", at)
    if basis is not None and _share(screen, other, lists, asked is rows) > 0.3:
        screen = screening.make_screen(rows, None, product)
        other = screen if asked is rows else screening.make_screen(asked, None, product)
        lists.lap("codes", at)
    work = _Work(rows, asked, short, short_asked, max(error, error_asked), screen, other, lists)
    looked = work.run()
    pairs = len(rows) * len(asked) / (2 if asked is rows else 1)
    return {"product": product, "rank": screen.codes.shape[1], "looked_share": looked / pairs}


def _top(
    lists: Lists, rows: FloatRows, asked: FloatRows, target: Any, pool: Any, bounds: Any, slack: float
) -> None:
    """Rescore the best k + 4 of a block of bounds between the targets and a pool of rows."""
    width = min(lists.index.shape[1] + 4, len(pool))
    near, which = (x.numpy() for x in torch.topk(torch.from_numpy(bounds), width))
    near += np.float32(slack)
    given = (asked, rows, target, pool[which], near, lists.index, lists.exact)
    in_parts(partial(_call, candidates.rescore, given), len(target))


def _call(kernel: Any, arguments: tuple[Any, ...], first: int, last: int) -> Any:
    return kernel(first, last, *arguments)


def _seed_around(rows: FloatRows, asked: FloatRows, screen: screening.Screen, other: screening.Screen,
                 lists: Lists, own: int) -> None:  # fmt: skip
    """Fill lists from the rows nearby: files are mostly listed by person."""
    half = POOL // 2
    for start in range(0, len(asked), half):
        stop = min(start + half, len(asked))
        low = max(0, min(own + start - half // 2, len(rows) - POOL))
        high = min(len(rows), low + POOL)
        pool = np.arange(low, high, dtype=np.int32)
        bounds = other.bounds(slice(start, stop), screen, slice(low, high))
        _top(lists, rows, asked, np.arange(start, stop), pool, bounds, screen.slack)


def _seed_in_cells(rows: FloatRows, asked: FloatRows, screen: screening.Screen, other: screening.Screen,
                   lists: Lists) -> None:  # fmt: skip
    """Fill lists from rows that are nearest to the same of N / 256 rows, or to similar ones."""
    cells = max(1, len(rows) // CELL)
    some = torch.arange(cells) * len(rows) // cells
    centres = screening.Screen(screen.codes[some], 0.0, screen.product)
    order, start = _cells(screen, centres)
    order_asked, start_asked = (order, start) if asked is rows else _cells(other, centres)
    near = np.argsort(-centres.bounds(slice(None), centres, slice(None)), axis=1, kind="stable")
    size = np.diff(start)
    for c in range(cells):
        target = order_asked[start_asked[c] : start_asked[c + 1]]
        if len(target) == 0:
            continue
        enough = int(np.searchsorted(np.cumsum(size[near[c]]), POOL)) + 1
        pool = np.concatenate([order[start[d] : start[d + 1]] for d in near[c, :enough]])
        chosen = screening.Screen(screen.codes[torch.from_numpy(pool)], 0.0, screen.product)
        asking = screening.Screen(other.codes[torch.from_numpy(target)], 0.0, screen.product)
        bounds = asking.bounds(slice(None), chosen, slice(None))
        _top(lists, rows, asked, target, pool.astype(np.int32), bounds, screen.slack)


def _cells(screen: screening.Screen, centres: screening.Screen) -> tuple[Any, Any]:
    count, cells = len(screen.codes), len(centres.codes)
    cell = np.empty(count, np.int64)
    for at in range(0, count, 4096):
        cell[at : at + 4096] = screen.bounds(slice(at, at + 4096), centres, slice(None)).argmax(axis=1)
    order = np.argsort(cell, kind="stable")
    return order, np.searchsorted(cell[order], np.arange(cells + 1))


def _share(screen: screening.Screen, other: screening.Screen, lists: Lists, mirrored: bool) -> float:
    """Share of pairs that the bounds let through as the lists stand, from 64 rows."""
    step = max(1, len(other.codes) // 64)
    limit = lists.exact[::step, -1:] - np.float32(screen.slack)
    bounds = other.bounds(slice(None, None, step), screen, slice(None))
    if mirrored:
        limit = np.minimum(limit, lists.exact[:, -1][None] - np.float32(screen.slack))
    return float((bounds >= limit).mean())


@dataclass
class _Work:
    rows: FloatRows
    asked: FloatRows
    short: npt.NDArray[np.int16]
    short_asked: npt.NDArray[np.int16]
    error: float
    screen: screening.Screen
    other: screening.Screen
    lists: Lists

    def run(self) -> int:
        """Sweep over all blocks, those near the diagonal first; returns how many pairs were looked at."""
        tall, wide = BLOCK
        mirrored = self.asked is self.rows
        blocks = [
            (row, column)
            for row in range(0, len(self.asked), tall)
            for column in range(row // wide * wide if mirrored else 0, len(self.rows), wide)
        ]
        if mirrored:
            blocks.sort(key=lambda block: block[1] - block[0])
        return sum(self._block(row, column, mirrored) for row, column in blocks)

    def _block(self, row: int, column: int, mirrored: bool) -> int:
        tall, wide = BLOCK
        lists, slack = self.lists, np.float32(self.screen.slack)
        at = time.perf_counter()
        bounds = self.other.bounds(slice(row, row + tall), self.screen, slice(column, column + wide))
        at = lists.lap("product", at)
        limits = np.full(bounds.shape[1], np.inf, np.float32)
        if mirrored:
            limits = lists.exact[column : column + wide, -1] - slack
        scale = np.float32(1 / screening.SHORT_SCALE**2)
        given = (bounds, slack, self.asked, self.rows, self.short_asked, self.short, scale,
                 np.float32(self.error),
                 row, column, mirrored, limits, lists.index, lists.exact)  # fmt: skip
        found = in_parts(partial(_call, candidates.scan, given), len(bounds))
        for columns, rows, values, _ in found:
            candidates.insert_all(columns, rows, values, lists.index, lists.exact)
        lists.lap("scan", at)
        return sum(part[3] for part in found)

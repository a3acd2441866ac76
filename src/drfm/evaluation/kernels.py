"""Compiled loops that turn rows of similarities into ranks.

Every function works on rows that were already computed, releases the GIL and allocates a few
small arrays a call, so that threads can share a block of rows between them.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from drfm.evaluation.expectation import expect

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
RowArray = npt.NDArray[np.float32]
DrawArray = npt.NDArray[np.int32]


class Sides(NamedTuple):
    """Who is where.

    Attributes:
        person: ``(Q,)`` index into ``starts`` of each query's person, or -1.
        camera: ``(Q,)`` cameras of the queries, -1 where unknown.
        gallery_camera: ``(G,)`` cameras of the gallery.
        members: gallery images of person p are ``members[starts[p]:starts[p + 1]]``.
        starts: ``(P + 1,)``.
        owner: ``(G,)`` person of each gallery image, P where it has none.
        ignored: gallery images that take no part.
        same_camera: leave out images of the query's person from the query's camera.
    """

    person: IntArray
    camera: IntArray
    gallery_camera: IntArray
    members: IntArray
    starts: IntArray
    owner: DrawArray
    ignored: IntArray
    same_camera: bool


class Lottery(NamedTuple):
    """The galleries of one image a person.

    Attributes:
        shared: take ``chosen`` for all queries, rather than draw anew for each.
        seed: of galleries drawn anew.
        chosen: ``(R, P)`` shared galleries.
        priority: ``(R, G)`` the order they were chosen by, for a query whose own choice is left out.
        expected: also take the exact mean over all such galleries.
    """

    shared: bool
    seed: np.uint64
    chosen: IntArray
    priority: DrawArray
    expected: bool


class Scoreboard(NamedTuple):
    """Results of all queries, zero at the start; see :class:`drfm.evaluation.ranking.Ranking`."""

    matches: IntArray
    first: IntArray
    precision: FloatArray
    inverse: FloatArray
    draws: DrawArray
    cmc: FloatArray
    reciprocal: FloatArray


@njit(cache=True, nogil=True)
def _mix(state: np.uint64) -> np.uint64:
    """One step of SplitMix64 (Steele et al., 2014): 64 well-mixed bits of a counter."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def _below(state: np.uint64, count: int) -> np.int64:
    """A number in 0..count-1 from the upper 32 bits of ``state``."""
    return np.int64(((state >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))


@njit(cache=True, nogil=True)
def _count_at_least(row: RowArray, limits: RowArray, above: IntArray) -> None:
    """``above[i]`` = number of entries of ``row`` that are >= ``limits[i]``."""
    whole = limits.shape[0] - limits.shape[0] % 4
    for i in range(0, whole, 4):
        a, b, c, d = limits[i], limits[i + 1], limits[i + 2], limits[i + 3]
        first = second = third = fourth = 0
        for j in range(row.shape[0]):
            x = row[j]
            first += x >= a
            second += x >= b
            third += x >= c
            fourth += x >= d
        above[i], above[i + 1], above[i + 2], above[i + 3] = first, second, third, fourth
    for i in range(whole, limits.shape[0]):
        above[i] = np.sum(row >= limits[i])


@njit(cache=True, nogil=True)
def _draw(
    row: RowArray, good: IntArray, own: RowArray, query: int, sides: Sides, lottery: Lottery, ranks: DrawArray
) -> None:
    """Rank of the one match in each random gallery; own images in ``row`` are already -inf.

    ``good`` are the permitted matches and ``own`` their similarities.
    """
    starts, members, chosen = sides.starts, sides.members, lottery.chosen
    draws = ranks.shape[0]
    for r in range(draws):
        above = 0
        if lottery.shared:
            pick = 0
            for i in range(1, good.shape[0]):
                if lottery.priority[r, good[i]] < lottery.priority[r, good[pick]]:
                    pick = i
            for p in range(chosen.shape[1]):
                above += row[chosen[r, p]] >= own[pick]
        else:
            state = _mix(lottery.seed ^ _mix(np.uint64(query * draws + r)))
            pick = _below(state, good.shape[0])
            for p in range(starts.shape[0] - 1):
                state = _mix(state)
                j = members[starts[p] + _below(state, starts[p + 1] - starts[p])]
                above += row[j] >= own[pick]
        ranks[r] = above + 1


@njit(cache=True, nogil=True)
def rank_rows(block: RowArray, first_query: int, sides: Sides, lottery: Lottery, board: Scoreboard) -> None:
    """Rank the matches of the queries ``first_query``.. whose similarities are the rows of ``block``.

    Args:
        block: ``(B, G)`` similarities, higher is closer; overwritten.
        first_query: query of row 0.
        sides: persons and cameras.
        lottery: single-shot galleries.
        board: where the results go.
    """
    starts, members = sides.starts, sides.members
    images = starts[1:] - starts[:-1]
    largest = images.max()
    good = np.empty(largest, np.int64)
    own = np.empty(largest, np.float32)
    above = np.empty(largest, np.int64)
    for b in range(block.shape[0]):
        q = first_query + b
        row, person, camera = block[b], sides.person[q], sides.camera[q]
        if person < 0:
            continue
        count = 0
        for m in range(starts[person], starts[person + 1]):
            j = members[m]
            if not sides.same_camera or camera < 0 or sides.gallery_camera[j] != camera:
                good[count], own[count] = j, row[j]
                count += 1
            row[j] = -np.inf
        if count == 0:
            continue
        for i in range(sides.ignored.shape[0]):
            row[sides.ignored[i]] = -np.inf
        limits = np.sort(own[:count])[::-1].copy()
        _count_at_least(row, limits, above)
        total = 0.0
        for i in range(count):
            total += (i + 1) / (above[i] + i + 1)
        board.matches[q] = count
        board.first[q] = above[0] + 1
        board.precision[q] = total / count
        board.inverse[q] = count / (above[count - 1] + count)
        if board.draws.shape[1]:
            _draw(row, good[:count], own[:count], q, sides, lottery, board.draws[q])
        if lottery.expected:
            board.reciprocal[q] = expect(row, limits, sides.owner, images, board.cmc[q])

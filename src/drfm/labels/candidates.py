"""Compiled kernels that keep the best k exact neighbours of each row."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from drfm.labels.reciprocal import grown
from drfm.labels.similarity import similarity, similarity_before

STRIPE = 16
"""Bounds that are compared at once."""
PEAKS = 64
"""Groups whose maxima say which bounds are not worth a place in a list."""


@numba.njit(cache=True, nogil=True)
def insert(value: Any, row: Any, index: Any, exact: Any) -> None:
    """Put a neighbour into a list sorted by (similarity descending, index ascending), once."""
    at = index.shape[0]
    while at > 0 and (value > exact[at - 1] or (value == exact[at - 1] and row < index[at - 1])):
        at -= 1
    if at == index.shape[0] or (at > 0 and value == exact[at - 1] and row == index[at - 1]):
        return
    for c in range(index.shape[0] - 1, at, -1):
        exact[c] = exact[c - 1]
        index[c] = index[c - 1]
    exact[at] = value
    index[at] = row


@numba.njit(cache=True, nogil=True)
def rescore(first: int, last: int, asked: Any, rows: Any, target: Any, candidates: Any, bounds: Any,
            index: Any, exact: Any) -> None:  # fmt: skip
    """Give list ``target[i]`` the exact similarities of those ``candidates[i]`` that their bounds allow."""
    k = index.shape[1]
    for i in range(first, last):
        t = target[i]
        for c in range(candidates.shape[1]):
            if bounds[i, c] >= exact[t, k - 1]:
                row = candidates[i, c]
                insert(similarity(asked[t], rows[row]), row, index[t], exact[t])


@numba.njit(cache=True, nogil=True)
def all_pairs(first: int, last: int, asked: Any, rows: Any, index: Any, exact: Any) -> None:
    """Exact similarities with every row."""
    for i in range(first, last):
        for row in range(rows.shape[0]):
            insert(similarity(asked[i], rows[row]), np.int32(row), index[i], exact[i])


@numba.njit(cache=True, nogil=True)
def products(x: Any, rows: Any, offset: int, which: Any, count: int, out: Any) -> None:
    """Exact integer products of a 16-bit row with the rows ``offset + which``, four at a time."""
    for c in range(0, count, 4):
        y0 = rows[offset + which[c]]
        y1 = rows[offset + which[min(c + 1, count - 1)]]
        y2 = rows[offset + which[min(c + 2, count - 1)]]
        y3 = rows[offset + which[min(c + 3, count - 1)]]
        t0 = t1 = t2 = t3 = np.int32(0)
        for d in range(x.shape[0]):
            v = np.int32(x[d])
            t0 = np.int32(t0 + np.int32(v * np.int32(y0[d])))
            t1 = np.int32(t1 + np.int32(v * np.int32(y1[d])))
            t2 = np.int32(t2 + np.int32(v * np.int32(y2[d])))
            t3 = np.int32(t3 + np.int32(v * np.int32(y3[d])))
        out[c], out[c + 1], out[c + 2], out[c + 3] = t0, t1, t2, t3


@intrinsic
def _reaching(typing: Any, values: Any, at: Any, limit: Any, limits: Any) -> Any:
    """Bit b of the result: ``values[at + b]`` reaches ``limit`` or ``limits[at + b]``, for 16 of them."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, word = ir.VectorType(ir.FloatType(), STRIPE), ir.IntType(STRIPE)
        value, position, threshold, own = arguments
        loaded = []
        for kind, array in ((signature.args[0], value), (signature.args[3], own)):
            start = builder.gep(make_array(kind)(context, builder, array).data, [position])
            loaded.append(builder.load(builder.bitcast(start, vector.as_pointer()), align=4))
        empty = ir.Constant(vector, ir.Undefined)
        single = builder.insert_element(empty, threshold, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), STRIPE), [0] * STRIPE)
        first = builder.fcmp_ordered(">=", loaded[0], builder.shuffle_vector(single, empty, lanes))
        mask = builder.bitcast(builder.or_(first, builder.fcmp_ordered(">=", *loaded)), word)
        return builder.zext(mask, ir.IntType(32))

    return types.uint32(values, types.intp, types.float32, limits), build


@numba.njit(cache=True, nogil=True)
def _passing(bounds: Any, limit: Any, limits: Any, begin: int, out: Any) -> int:
    """Columns from ``begin`` on whose bound reaches the row's limit or their own."""
    held = 0
    size = bounds.shape[0]
    whole = size - size % STRIPE
    for start in range(begin - begin % STRIPE, whole, STRIPE):
        if _reaching(bounds, start, limit, limits):
            for b in range(max(start, begin), start + STRIPE):
                out[held] = b
                held += (bounds[b] >= limit) | (bounds[b] >= limits[b])
    for b in range(max(whole, begin), size):
        out[held] = b
        held += (bounds[b] >= limit) | (bounds[b] >= limits[b])
    return held


@numba.njit(cache=True, nogil=True)
def choose(bounds: Any, target: Any, pool: Any, index: Any, best: Any) -> None:
    """Put the best of the ``(A, B)`` products with a pool's rows into the lists ``target``."""
    never = np.full(bounds.shape[1], np.inf, np.float32)
    peak = np.empty(PEAKS, np.float32)
    width, size = best.shape[1], bounds.shape[1]
    whole = size - size % STRIPE
    for a in range(bounds.shape[0]):
        t = target[a]
        least = _rank_of_peaks(bounds[a], width, peak)
        for start in range(0, whole, STRIPE):
            reaching = _reaching(bounds[a], start, max(least, best[t, width - 1]), never)
            b = start
            while reaching:
                if reaching & 1:
                    insert(bounds[a, b], pool[b], index[t], best[t])
                reaching >>= 1
                b += 1
        for b in range(whole, size):
            insert(bounds[a, b], pool[b], index[t], best[t])


@numba.njit(cache=True, nogil=True)
def _rank_of_peaks(values: Any, width: int, peak: Any) -> Any:
    """A number that ``width`` of the values reach at least, not far below the ``width``-th largest.

    It is the ``width``-th largest of the maxima of groups of values, each another value.
    """
    size = values.shape[0]
    if width > PEAKS or size < PEAKS:
        return np.float32(-np.inf)
    peak[:] = values[:PEAKS]
    for start in range(PEAKS, size - PEAKS + 1, PEAKS):
        for b in range(PEAKS):
            peak[b] = max(peak[b], values[start + b])
    return np.sort(peak)[PEAKS - width]


@numba.njit(cache=True, nogil=True)
def floors(first: int, last: int, chosen: Any, short_asked: Any, short_rows: Any, offset_asked: Any,
           offset_rows: Any, scale: float, least: float, k: int, floor: Any) -> None:  # fmt: skip
    """What the k-th similarity of each list is at least, from the rows ``chosen`` for it.

    A similarity is at least ``least`` above the product of the 16-bit rows, times ``scale``, and
    both offsets.
    """
    width = chosen.shape[1]
    product = np.empty(width + 4, np.int32)
    index, value = np.empty(k, np.int32), np.empty(k, np.float32)
    for i in range(first, last):
        held = 0
        while held < width and chosen[i, held] < short_rows.shape[0]:
            held += 1
        index[:] = 2147483647
        value[:] = -np.inf
        products(short_asked[i], short_rows, 0, chosen[i], held, product)
        for c in range(held):
            row = chosen[i, c]
            near = product[c] * scale + (offset_asked[i] + np.float64(offset_rows[row])) + least
            insert(np.float32(near), row, index, value)
        floor[i] = value[k - 1]


@numba.njit(cache=True, nogil=True)
def scan(bounds: Any, slack: float, relative: float, asked: Any, rows: Any, short_asked: Any, short_rows: Any,
         offset_asked: Any, offset_rows: Any, scale: float, most: float, row_start: int, column_start: int,
         mirrored: Any, limits: Any, floor: Any, exact: Any) -> Any:  # fmt: skip
    """Exact similarities of the pairs of a block that its bounds cannot rule out.

    ``bounds`` are the ``(A, B)`` products of codes of a block that begins at ``row_start`` and
    ``column_start``; see ``Limit`` for ``slack`` and ``relative``. A similarity is at most ``most`` above
    the product of the 16-bit rows, times ``scale``, and both offsets. With ``mirrored`` a pair serves its
    column too, which wants products from ``limits`` on, and only columns not before the row are looked at.
    A list's k-th similarity is known to be ``floor`` at least. Other threads may raise ``exact`` meanwhile:
    an old value only lets more pairs through.

    Returns row, column and similarity of the pairs that a list may want, and how many pairs passed the
    first bound.
    """
    row, column = np.empty(64, np.int32), np.empty(64, np.int32)
    passed = np.empty(bounds.shape[1] + 1, np.int32)
    product = np.empty(bounds.shape[1] + 4, np.int32)
    size, looked = 0, 0
    k = exact.shape[1]
    for a in range(bounds.shape[0]):
        i = row_start + a
        begin = max(0, i - column_start) if mirrored else 0
        own = max(exact[i, k - 1], floor[i])
        low = own - slack
        low -= relative * min(abs(low), 2.0)
        held = _passing(bounds[a], np.float32(low), limits, begin, passed)
        looked += held
        products(short_asked[i], short_rows, column_start, passed, held, product)
        row, column = grown(row, size + held), grown(column, size + held)
        for c in range(held):
            j = column_start + passed[c]
            wanted = min(own, max(exact[j, k - 1], floor[j])) if mirrored else own
            if product[c] * scale + (offset_asked[i] + np.float64(offset_rows[j])) + most >= wanted:
                row[size], column[size] = i, j
                size += 1
    value = np.empty(size, np.float32)
    kept = 0
    for p in range(size):
        i, j, ahead = row[p], column[p], column[min(p + 1, size - 1)]
        s = similarity_before(asked[i], rows[j], rows[ahead])
        wanted = max(exact[i, k - 1], floor[i])
        if mirrored:
            wanted = min(wanted, max(exact[j, k - 1], floor[j]))
        if s >= wanted:
            row[kept], column[kept], value[kept] = i, j, s
            kept += 1
    return row[:kept], column[:kept], value[:kept], looked


@numba.njit(cache=True, nogil=True)
def insert_all(row: Any, column: Any, value: Any, mirrored: Any, index: Any, exact: Any) -> None:
    """Give the lists of both sides of each pair, or of its row alone, what :func:`scan` found."""
    for p in range(row.shape[0]):
        insert(value[p], column[p], index[row[p]], exact[row[p]])
        if mirrored and row[p] != column[p]:
            insert(value[p], row[p], index[column[p]], exact[column[p]])

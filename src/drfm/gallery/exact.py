"""Exact nearest rows by certified bounds: all codes are scanned, few float32 rows are read.

The product of codes plus its bound is an upper bound of a similarity. The rows with the highest bounds
get their exact similarity; once the k-th of these lies above every bound that is left, no other row can
be among the nearest k. Where the rows that a scan keeps do not suffice for that, a second scan collects
all whose bound reaches the k-th similarity found. So the result is that of comparing every row.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from drfm.gallery.codes import Codes, Rows, encode, shifted
from drfm.gallery.products import SHIFT, TILE, Form, fastest_form, row_product, tile_products
from drfm.labels.candidates import insert
from drfm.labels.parallel import in_parts
from drfm.labels.reciprocal import grown
from drfm.labels.similarity import similarity_before

EXTRA = 54
"""Rows beyond k whose bounds a scan keeps in each part."""
STRIPE = 64
"""Rows that stay in the cache while several queries pass over them."""
BLOCK = 256
"""Queries that pass over the codes together."""
LONG = 1.0011
"""No row is longer: rows are of unit length within 1e-3."""
SLACK = 1e-6
"""Covers the rounding of a similarity to float32, and of the bound itself."""
NONE = 2**31 - 1


@dataclass(frozen=True)
class Nearest:
    """The nearest rows of Q queries.

    Attributes:
        index: ``(Q, k)`` int32 rows, by descending similarity, equal ones by ascending index.
        similarity: ``(Q, k)`` float32, as :func:`drfm.labels.similarity.similarity` has them.
        scanned_twice: queries for which the first scan did not suffice.
        rescored: similarities that were computed.
    """

    index: npt.NDArray[np.int32]
    similarity: npt.NDArray[np.float32]
    scanned_twice: int
    rescored: int


def nearest(
    rows: Rows,
    codes: Codes,
    which: npt.NDArray[np.int32],
    queries: Rows,
    k: int,
    form: Form | None = None,
    extra: int = EXTRA,
) -> Nearest:
    """The ``k`` of some rows with the highest similarity to each query; fewer where there are fewer.

    Args:
        rows: ``(N, D)`` float32 rows of unit length, which may be mapped from a file.
        codes: their codes.
        which: rows that take part, ascending.
        queries: ``(Q, D)`` float32 rows of unit length.
        k: neighbours, 1 or more.
        form: how integers are multiplied; the fastest by default.
        extra: rows beyond k that the first scan keeps.
    """
    k = min(k, len(which))
    form = fastest_form() if form is None else form
    index = np.full((len(queries), k), NONE, np.int32)
    exact = np.full((len(queries), k), -np.inf, np.float32)
    counts = np.zeros(2, np.int64)
    for start in range(0, len(queries) if k else 0, BLOCK):
        span = slice(start, start + BLOCK)
        side = _Side(rows, codes, which, np.ascontiguousarray(queries[span]), form)
        counts += side.search(index[span], exact[span], k + extra)
    return Nearest(index, exact, int(counts[0]), int(counts[1]))


def best(
    query: npt.NDArray[np.float32], rows: Rows, k: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The ``k`` of ``(N, D)`` rows most similar to one ``(D,)`` query, by comparing every row."""
    k = min(k, len(rows))
    index, exact = np.full(k, NONE, np.int32), np.full(k, -np.inf, np.float32)
    if k:
        _rescore(query, rows, np.arange(len(rows), dtype=np.int32), index, exact)
    return index, exact


def prepare() -> None:
    """Compile what a search of mapped rows needs, or load what was compiled before.

    It takes seconds once on a machine, and then some hundredths. Any thread may do it beside other work.
    """
    rows = np.ones((1, 1), np.float32)
    codes = encode(rows)
    # A function is compiled once for arrays that can be written, and once for those that cannot.
    for array in (rows, codes.codes, codes.facts):
        array.flags.writeable = False
    nearest(rows, codes, np.zeros(1, np.int32), np.ones((1, 1), np.float32), 1)


@dataclass(frozen=True)
class _Side:
    rows: Rows
    codes: Codes
    which: npt.NDArray[np.int32]
    queries: Rows
    form: Form

    def search(self, index: Any, exact: Any, keep: int) -> tuple[int, int]:
        """Fill the lists of a block of queries; returns those scanned twice and the rows rescored."""
        asked = encode(self.queries)
        scale, error, _ = np.ascontiguousarray(asked.facts.T, np.float64)
        given = (self.codes.codes, self.codes.facts, self.which, shifted(asked.codes), scale, error)
        found = in_parts(partial(_kept, given, keep, self.form), len(self.which))
        near, bound = (np.stack([part[i] for part in found], axis=1) for i in (0, 1))
        doubtful = np.zeros(len(self.queries), np.bool_)
        settle = (self.queries, self.rows, near, bound, index, exact, doubtful)
        rescored = sum(in_parts(lambda a, b: _settle(a, b, *settle), len(self.queries)))
        for q in np.flatnonzero(doubtful):
            again = (*given, int(q), float(exact[q, -1]), self.form)
            rest = np.concatenate(in_parts(partial(_rest, again), len(self.which)))
            rescored += len(rest)
            index[q], exact[q] = NONE, -np.inf
            _rescore(self.queries[q], self.rows, rest, index[q], exact[q])
        return int(doubtful.sum()), rescored


def _kept(given: Any, keep: int, form: Form, first: int, last: int) -> tuple[Any, Any]:
    """The ``keep`` rows of a part with the highest bounds, for each query, and these bounds."""
    near = np.full((len(given[3]), keep), NONE, np.int32)
    bound = np.full((len(given[3]), keep), -np.inf)
    _scan(first, last, *given, near, bound, form)
    return near, bound


def _rest(given: Any, first: int, last: int) -> Any:
    return _reaching(first, last, *given)


@numba.njit(cache=True, nogil=True)
def _bounds(products: Any, row: Any, scale: Any, error: Any, out: Any) -> None:
    """Upper bounds of a row's similarities, from its shifted products with queries and the facts of both."""
    shift = SHIFT * np.float64(row[2])
    wide, own = np.float64(row[0]), np.float64(row[1])
    for q in range(out.shape[0]):
        out[q] = wide * scale[q] * (products[q] - shift) + error[q] * (LONG + own) + (LONG * own + SLACK)


@numba.njit(cache=True, nogil=True)
def _scan(first: int, last: int, codes: Any, facts: Any, which: Any, asked: Any, scale: Any, error: Any,
          near: Any, bound: Any, form: Any) -> None:  # fmt: skip
    """Keep the rows ``which[first:last]`` with the highest bounds, for all queries."""
    tile, values = np.empty(TILE, np.int32), np.empty(TILE)
    limit = bound[:, -1].copy()
    whole = asked.shape[0] - asked.shape[0] % TILE
    for start in range(first, last, STRIPE):
        stop = min(start + STRIPE, last)
        for q in range(0, whole, TILE):
            for i in range(start, stop):
                row = which[i]
                tile_products(codes, row, asked, q, tile, form)
                _bounds(tile, facts[row], scale[q : q + TILE], error[q : q + TILE], values)
                if _any_above(values, limit[q : q + TILE]):
                    for b in range(TILE):
                        _keep(values[b], row, q + b, near, bound, limit)
        for q in range(whole, asked.shape[0]):
            for i in range(start, stop):
                row = which[i]
                tile[0] = row_product(codes, row, asked, q, form)
                _bounds(tile, facts[row], scale[q : q + 1], error[q : q + 1], values[:1])
                _keep(values[0], row, q, near, bound, limit)


@numba.njit(cache=True, nogil=True)
def _any_above(values: Any, limit: Any) -> Any:
    found = False
    for b in range(TILE):
        found |= values[b] > limit[b]
    return found


@numba.njit(cache=True, nogil=True)
def _keep(value: Any, row: Any, query: Any, near: Any, bound: Any, limit: Any) -> None:
    if value > limit[query]:
        insert(value, row, near[query], bound[query])
        limit[query] = bound[query, -1]


@numba.njit(cache=True, nogil=True)
def _settle(first: int, last: int, queries: Any, rows: Any, near: Any, bound: Any, index: Any, exact: Any,
            doubtful: Any) -> int:  # fmt: skip
    """Rescore what the parts of a scan kept, best bound first, until no bound reaches the k-th similarity."""
    rescored = 0
    k = index.shape[1]
    for q in range(first, last):
        left = -np.inf
        for part in range(bound.shape[1]):
            left = max(left, bound[q, part, bound.shape[2] - 1])
        values, places = bound[q].ravel(), near[q].ravel()
        order = np.argsort(-values)
        for c, at in enumerate(order):
            if values[at] < exact[q, k - 1] or places[at] == NONE:
                break
            row, ahead = places[at], places[order[min(c + 1, len(order) - 1)]]
            value = similarity_before(queries[q], rows[row], rows[row if ahead == NONE else ahead])
            insert(value, row, index[q], exact[q])
            rescored += 1
        doubtful[q] = left >= exact[q, k - 1]
    return rescored


@numba.njit(cache=True, nogil=True)
def _reaching(first: int, last: int, codes: Any, facts: Any, which: Any, asked: Any, scale: Any, error: Any,
              query: int, least: float, form: Any) -> Any:  # fmt: skip
    """The rows ``which[first:last]`` whose bound for one query reaches ``least``."""
    out, size = np.empty(1024, np.int32), 0
    product, value = np.empty(1, np.int32), np.empty(1)
    for i in range(first, last):
        row = which[i]
        product[0] = row_product(codes, row, asked, query, form)
        _bounds(product, facts[row], scale[query : query + 1], error[query : query + 1], value)
        if value[0] >= least:
            out = grown(out, size + 1)
            out[size] = row
            size += 1
    return out[:size].copy()


@numba.njit(cache=True, nogil=True)
def _rescore(query: Any, rows: Any, which: Any, index: Any, exact: Any) -> None:
    for c, row in enumerate(which):
        ahead = which[min(c + 1, len(which) - 1)]
        insert(similarity_before(query, rows[row], rows[ahead]), row, index, exact)

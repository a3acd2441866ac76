"""Integer products of 8-bit rows, in the widest form that the processor has.

One side is signed, the other has ``SHIFT`` added and is unsigned, because that is what the processors'
instruction takes. Every product and sum is exact, so all forms give the same integers.
"""

import functools
import time
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array

from drfm.labels.similarity import emit_fetch

LINE = 256
"""Bytes that the codes of a row are padded to a multiple of, with zeros: four of the widest registers."""
SHIFT = 128
TILE = 8
"""Queries that a row is multiplied with at once; one row is one stream from memory, which is read ahead."""

AHEAD = 4096
"""Bytes ahead of its place that a scan asks the memory for.

A processor reads ahead by itself to the end of a page, which on most systems holds two rows of 2,048 codes.
"""
CACHE_LINE = 64

Form = tuple[int, ...]
"""A tuple whose length says how many 32-bit sums a register holds; empty for the compiler's own way.

The length is part of the type, so that each form is compiled, and kept, on its own.
"""
PLAIN: Form = ()


def _products(
    builder: Any, row: Any, queries: list[Any], stride: Any, lanes: int, steps: int, fetch: bool
) -> list[Any]:
    """Emit the products of the bytes at ``row`` and at ``queries`` (pointers), in ``steps`` sums each.

    ``fetch`` says whether the rows behind this one are asked for, too.
    """
    word, vector = stride.type, ir.VectorType(ir.IntType(32), lanes)
    multiply = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, (vector, vector, vector)),
        f"llvm.x86.avx512.vpdpbusd.{32 * lanes}",
    )
    zero = ir.Constant(vector, [0] * lanes)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(steps)] for _ in queries]
    step = ir.Constant(word, 4 * lanes * steps)
    with cgutils.for_range_slice(builder, ir.Constant(word, 0), stride, step) as (at, _):
        for number in range(steps):
            offset = builder.add(at, ir.Constant(word, 4 * lanes * number))

            def load(start: Any, offset: Any = offset) -> Any:
                place = builder.bitcast(builder.gep(start, [offset]), vector.as_pointer())
                return builder.load(place, align=1)

            if fetch and 4 * lanes * number % CACHE_LINE == 0:
                emit_fetch(builder, builder.gep(row, [builder.add(offset, ir.Constant(word, AHEAD))]))
            part = load(row)
            for query, totals in zip(queries, sums, strict=True):
                value = builder.call(multiply, (builder.load(totals[number]), load(query), part))
                builder.store(value, totals[number])
    return [_folded(builder, [builder.load(total) for total in totals]) for totals in sums]


def _folded(builder: Any, vectors: list[Any]) -> Any:
    """The sum of all lanes of all vectors, in halves."""
    total = functools.reduce(builder.add, vectors)
    lanes = total.type.count
    while lanes > 1:
        lanes //= 2
        kind = ir.VectorType(ir.IntType(32), lanes)
        low, high = (ir.Constant(kind, list(range(start, start + lanes))) for start in (0, lanes))
        empty = ir.Constant(total.type, ir.Undefined)
        total = builder.add(
            builder.shuffle_vector(total, empty, low), builder.shuffle_vector(total, empty, high)
        )
    return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))


def _starts(context: Any, builder: Any, kind: Any, array: Any, indices: list[Any]) -> tuple[Any, list[Any]]:
    """Row length of a byte matrix, and pointers to some of its rows."""
    made = make_array(kind)(context, builder, array)
    stride = builder.extract_value(made.shape, 1)
    return stride, [builder.gep(made.data, [builder.mul(index, stride)]) for index in indices]


@intrinsic
def _wide_row(typing: Any, codes: Any, row: Any, asked: Any, query: Any, form: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        stride, rows = _starts(context, builder, signature.args[0], arguments[0], [arguments[1]])
        _, queries = _starts(context, builder, signature.args[2], arguments[2], [arguments[3]])
        return _products(builder, rows[0], queries, stride, form.count, 4, True)[0]

    return types.int32(codes, types.intp, asked, types.intp, form), build


@intrinsic
def _wide_tile(typing: Any, codes: Any, row: Any, asked: Any, first: Any, out: Any, form: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds, word = signature.args, arguments[1].type
        stride, rows = _starts(context, builder, kinds[0], arguments[0], [arguments[1]])
        wanted = [builder.add(arguments[3], ir.Constant(word, q)) for q in range(TILE)]
        _, queries = _starts(context, builder, kinds[2], arguments[2], wanted)
        result = make_array(kinds[4])(context, builder, arguments[4])
        for q, value in enumerate(_products(builder, rows[0], queries, stride, form.count, 1, False)):
            builder.store(value, builder.gep(result.data, [ir.Constant(word, q)]))
        return context.get_dummy_value()

    return types.void(codes, types.intp, asked, types.intp, out, form), build


@numba.njit(cache=True, nogil=True)
def _plain_row(codes: Any, row: Any, asked: Any, query: Any) -> Any:
    own, other = codes[row], asked[query]
    total = np.int32(0)
    for d in range(own.shape[0]):
        total += np.int32(own[d]) * np.int32(other[d])
    return total


def row_product(codes: Any, row: Any, asked: Any, query: Any, form: Any) -> Any:
    """Sum over d of ``codes[row, d] * asked[query, d]``, an int32; for compiled code alone."""


@overload(row_product)
def _row_product(codes: Any, row: Any, asked: Any, query: Any, form: Any) -> Any:
    def wide(codes: Any, row: Any, asked: Any, query: Any, form: Any) -> Any:
        return _wide_row(codes, row, asked, query, form)

    def plain(codes: Any, row: Any, asked: Any, query: Any, form: Any) -> Any:
        return _plain_row(codes, row, asked, query)

    return wide if form.count else plain


def tile_products(codes: Any, row: Any, asked: Any, first: Any, out: Any, form: Any) -> None:
    """``out[q]``: the product of ``row`` and query ``first + q``, for a tile of queries."""


@overload(tile_products)
def _tile_products(codes: Any, row: Any, asked: Any, first: Any, out: Any, form: Any) -> Any:
    def wide(codes: Any, row: Any, asked: Any, first: Any, out: Any, form: Any) -> None:
        _wide_tile(codes, row, asked, first, out, form)

    def plain(codes: Any, row: Any, asked: Any, first: Any, out: Any, form: Any) -> None:
        for q in range(TILE):
            out[q] = _plain_row(codes, row, asked, first + q)

    return wide if form.count else plain


def forms() -> list[Form]:
    """Forms that this processor can run."""
    found = [PLAIN]
    features = binding.get_host_cpu_features()
    if features.get("avxvnni") or (features.get("avx512vnni") and features.get("avx512vl")):
        found.append((0,) * 8)
    if features.get("avx512vnni"):
        found.append((0,) * 16)
    return found


@numba.njit(cache=True, nogil=True)
def _all_products(codes: Any, asked: Any, form: Any) -> int:
    total = 0
    for row in range(codes.shape[0]):
        total += row_product(codes, row, asked, 0, form)
    return total


@functools.cache
def fastest_form() -> Form:
    """The form that is fastest here, by a measurement of a few milliseconds."""
    known = forms()
    if len(known) == 1:
        return known[0]
    codes, asked = np.zeros((256, 2048), np.int8), np.zeros((1, 2048), np.uint8)

    def seconds(form: Form) -> float:
        best = float("inf")
        for _ in range(8):
            start = time.perf_counter()
            _all_products(codes, asked, form)
            best = min(best, time.perf_counter() - start)
        return best

    return min(known, key=seconds)

"""The one cosine similarity that every exact result is made of.

Its value for two rows depends on those two rows alone: not on blocks, threads,
processes, device or how candidates were found. The products of float32 numbers
are exact in float64; they are added in a fixed order, in 16 lanes that are then
folded in halves and followed by the dimensions beyond a multiple of 16, and the
sum is rounded to float32 once.

Torch is not imported here: a service that encodes without it searches with this.
"""

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from drfm.errors import DrfmError

if TYPE_CHECKING:
    from torch import Tensor

LANES = 16
"""Partial sums; lane ``l`` adds the products of the dimensions ``l, l + 16, ...`` in ascending order."""

FloatRows = npt.NDArray[np.float32]


@intrinsic
def _lane_sums(typing: Any, x: Any, y: Any, ahead: Any) -> Any:
    """Sums of products in ``LANES`` lanes over the whole multiples of ``LANES`` dimensions, folded to one.

    The memory is asked for as much of the row ``ahead``, a line of it in each round.

    Written as vector operations of the compiler's own language because the order of additions, which a
    plain loop pins down, keeps the compiler from using vectors, and allowing it to reorder would let the
    result differ between processors.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        first, second, later = (
            make_array(kind)(context, builder, value) for kind, value in zip(kinds, arguments, strict=True)
        )
        size = builder.extract_value(first.shape, 0)
        word = size.type
        single = ir.VectorType(ir.FloatType(), LANES)
        double = ir.VectorType(ir.DoubleType(), LANES)
        stop = builder.and_(size, ir.Constant(word, -LANES))
        total = cgutils.alloca_once_value(builder, ir.Constant(double, [0.0] * LANES))
        with cgutils.for_range_slice(builder, ir.Constant(word, 0), stop, ir.Constant(word, LANES)) as (
            at,
            _,
        ):
            loaded = []
            emit_fetch(builder, builder.gep(later.data, [at]))
            for array in (first, second):
                start = builder.bitcast(builder.gep(array.data, [at]), single.as_pointer())
                loaded.append(builder.fpext(builder.load(start, align=4), double))
            builder.store(builder.fadd(builder.load(total), builder.fmul(*loaded)), total)
        lanes = builder.load(total)
        width = LANES
        while width > 1:
            width //= 2
            low = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(width)))
            high = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(width, 2 * width)))
            empty = ir.Constant(lanes.type, ir.Undefined)
            lanes = builder.fadd(
                builder.shuffle_vector(lanes, empty, low), builder.shuffle_vector(lanes, empty, high)
            )
        return builder.extract_element(lanes, ir.Constant(ir.IntType(32), 0))

    return types.float64(x, y, ahead), build


def emit_fetch(builder: Any, place: Any) -> None:
    """Emit a request for the line of memory at a pointer, which may lie behind the end of an array."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), (byte, number, number, number))
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    read, keep, data = (ir.Constant(number, value) for value in (0, 3, 1))
    builder.call(function, (builder.bitcast(place, byte), read, keep, data))


@numba.njit(cache=True, nogil=True)
def inner(x: Any, y: Any) -> Any:
    """Inner product of two contiguous float32 rows ``(D,)``, as float64."""
    return _inner(x, y, y)


@numba.njit(cache=True, nogil=True)
def _inner(x: Any, y: Any, ahead: Any) -> Any:
    total = _lane_sums(x, y, ahead)
    rest = 0.0
    for d in range(x.shape[0] - x.shape[0] % LANES, x.shape[0]):
        rest += np.float64(x[d]) * np.float64(y[d])
    return total + rest


@numba.njit(cache=True, nogil=True)
def similarity(x: Any, y: Any) -> Any:
    """Cosine similarity of two contiguous float32 rows ``(D,)`` of unit length, as float32."""
    return np.float32(_inner(x, y, y))


@numba.njit(cache=True, nogil=True)
def similarity_before(x: Any, y: Any, ahead: Any) -> Any:
    """:func:`similarity`, while the memory is asked for the row ``ahead``, which is needed next.

    Rows that are needed in no order come from memory five times as slowly as they are multiplied.
    """
    return np.float32(_inner(x, y, ahead))


def similarity_rows(x: "Tensor", y: "Tensor") -> "Tensor":
    """The same value on any device: float32 ``(..., D)`` times ``(..., D)`` (broadcast) to ``(...)``."""
    size = x.shape[-1]
    shape = (x[..., 0] * y[..., 0]).shape
    lanes = x.new_zeros((*shape, LANES)).double()
    whole = size - size % LANES
    for start in range(0, whole, LANES):
        stop = start + LANES
        lanes += x[..., start:stop].double() * y[..., start:stop].double()
    width = LANES
    while width > 1:
        width //= 2
        lanes = lanes[..., :width] + lanes[..., width:]
    rest = lanes.new_zeros(shape)
    for d in range(whole, size):
        rest = rest + x[..., d].double() * y[..., d].double()
    return (lanes[..., 0] + rest).float()


def unit_rows(features: "FloatRows | Tensor", what: str = "features") -> FloatRows:
    """Check ``(N, D)`` features and return them as a contiguous float32 array, without a copy where possible.

    Raises:
        DrfmError: not two-dimensional, not finite, or rows that are not of unit length.
    """
    array = features if isinstance(features, np.ndarray) else features.detach().cpu().numpy()
    rows = np.ascontiguousarray(array, dtype=np.float32)
    if rows.ndim != 2:
        raise DrfmError(f"{what}: shape {rows.shape}; give a matrix with one row per image")
    squares = np.einsum("ij,ij->i", rows, rows)
    if not np.isfinite(squares).all():
        row = int(np.flatnonzero(~np.isfinite(squares))[0])
        raise DrfmError(f"{what}: row {row} is not finite; the network that made it has diverged")
    far = np.abs(squares - 1) > 1e-3
    if far.any():
        row = int(np.flatnonzero(far)[0])
        raise DrfmError(f"{what}: row {row} has length {squares[row] ** 0.5:.4g}; normalise rows to length 1")
    return rows

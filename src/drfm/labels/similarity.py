"""The one cosine similarity that every exact result is made of.

Its value for two rows depends on those two rows alone: not on blocks, threads,
processes, device or how candidates were found. The products of float32 numbers
are exact in float64; they are added in a fixed order, in 16 lanes that are then
folded in halves, and the sum is rounded to float32 once.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.errors import DrfmError

LANES = 16
"""Partial sums; lane ``l`` adds the products of the dimensions ``l, l + 16, ...`` in ascending order."""

FloatRows = npt.NDArray[np.float32]


@numba.njit(cache=True, error_model="numpy", nogil=True, inline="never")
def similarity(x: Any, y: Any) -> Any:
    """Cosine similarity of two contiguous float32 rows ``(D,)`` of unit length, as float32."""
    size = x.shape[0]
    whole = size - size % 16
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = 0.0
    b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = 0.0
    for d in range(0, whole, 16):
        a0 += np.float64(x[d]) * np.float64(y[d])
        a1 += np.float64(x[d + 1]) * np.float64(y[d + 1])
        a2 += np.float64(x[d + 2]) * np.float64(y[d + 2])
        a3 += np.float64(x[d + 3]) * np.float64(y[d + 3])
        a4 += np.float64(x[d + 4]) * np.float64(y[d + 4])
        a5 += np.float64(x[d + 5]) * np.float64(y[d + 5])
        a6 += np.float64(x[d + 6]) * np.float64(y[d + 6])
        a7 += np.float64(x[d + 7]) * np.float64(y[d + 7])
        b0 += np.float64(x[d + 8]) * np.float64(y[d + 8])
        b1 += np.float64(x[d + 9]) * np.float64(y[d + 9])
        b2 += np.float64(x[d + 10]) * np.float64(y[d + 10])
        b3 += np.float64(x[d + 11]) * np.float64(y[d + 11])
        b4 += np.float64(x[d + 12]) * np.float64(y[d + 12])
        b5 += np.float64(x[d + 13]) * np.float64(y[d + 13])
        b6 += np.float64(x[d + 14]) * np.float64(y[d + 14])
        b7 += np.float64(x[d + 15]) * np.float64(y[d + 15])
    if whole < size:
        rest = np.zeros(16)
        for d in range(whole, size):
            rest[d - whole] = np.float64(x[d]) * np.float64(y[d])
        a0, a1, a2, a3 = a0 + rest[0], a1 + rest[1], a2 + rest[2], a3 + rest[3]
        a4, a5, a6, a7 = a4 + rest[4], a5 + rest[5], a6 + rest[6], a7 + rest[7]
        b0, b1, b2, b3 = b0 + rest[8], b1 + rest[9], b2 + rest[10], b3 + rest[11]
        b4, b5, b6, b7 = b4 + rest[12], b5 + rest[13], b6 + rest[14], b7 + rest[15]
    low = ((a0 + b0) + (a4 + b4)) + ((a2 + b2) + (a6 + b6))
    high = ((a1 + b1) + (a5 + b5)) + ((a3 + b3) + (a7 + b7))
    return np.float32(low + high)


def similarity_rows(x: Tensor, y: Tensor) -> Tensor:
    """The same value on any device: float32 ``(..., D)`` times ``(..., D)`` (broadcast) to ``(...)``."""
    size = x.shape[-1]
    shape = torch.broadcast_tensors(x[..., 0], y[..., 0])[0].shape
    lanes = torch.zeros(*shape, LANES, dtype=torch.float64, device=x.device)
    for start in range(0, size, LANES):
        stop = min(start + LANES, size)
        lanes[..., : stop - start] += x[..., start:stop].double() * y[..., start:stop].double()
    width = LANES
    while width > 1:
        width //= 2
        lanes = lanes[..., :width] + lanes[..., width:]
    return lanes[..., 0].to(torch.float32)


def unit_rows(features: FloatRows | Tensor, what: str = "features") -> FloatRows:
    """Check ``(N, D)`` features and return them as a contiguous float32 array, without a copy where possible.

    Raises:
        DrfmError: not two-dimensional, not finite, or rows that are not of unit length.
    """
    array = features.detach().cpu().numpy() if isinstance(features, Tensor) else features
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

"""The exact mean over every gallery of one image a person, from one row of similarities.

The number N of persons before a match is a sum of independent Bernoulli(p_j), p_j being the share of
person j's images at least as similar as the match. P(N = k) are the coefficients of prod_j (1 - p_j + p_j t).
"""

from typing import Any

import numpy as np
from numba import njit

COUNT, FAR = 24, 41.0
"""Nodes of the quadrature, and the exponent beyond which a product is taken as zero: exp(-41) < 2e-18.

E[1 / (1 + N)] is the integral over 0 <= u <= 1 of prod_j (1 - p_j u), which is at most exp(-m u) with m the
mean of N. It is cut at u = min(1, 41 / m). Up to there the product is a polynomial with positive coefficients
in the distance from the cut, so that on an ellipse of parameter r around the interval it is nowhere larger
than at the far end, exp(41 (r + 1 / r - 2) / 4). The error of 24 Gauss-Legendre nodes is of the order of
that times r^-48, for any r: below 1e-18, whatever the number of persons.
"""
NODES, WEIGHTS = (np.polynomial.legendre.leggauss(COUNT) + np.array([[1.0], [0.0]])) / 2
TOP, MANY = 20, 150.0
"""Longest rank list of the CMC, and the mean of N from which P(N < 20) <= exp(-(m - 19)^2 / 2m), below
1e-24, is taken as zero."""
STEP = 4
"""Persons multiplied at a time."""


@njit(cache=True, nogil=True)
def expect(row: Any, limits: Any, owner: Any, images: Any, cmc: Any) -> float:
    """Exact mean reciprocal rank of a query's c matches; the exact CMC is added to ``cmc``.

    Args:
        row: ``(G,)`` float32 similarities of the gallery; images that take no part are at -inf.
        limits: ``(c,)`` those of the matches, in descending order.
        owner: ``(G,)`` int32 person of each gallery image, P where it has none.
        images: ``(P,)`` int64 gallery images of each person.
        cmc: ``(TOP,)`` float64.
    """
    count = limits.shape[0]
    share = np.empty((count, images.shape[0] + STEP))
    size, mean = np.zeros(count, np.int64), np.zeros(count)
    _shares(_beaten(row, limits), owner, images, share, size, mean)
    product, chance = np.empty(COUNT), np.empty(TOP + STEP)
    reciprocal = 0.0
    for i in range(count):
        reciprocal += _reciprocal(share[i], size[i], mean[i], product) / count
        if mean[i] < MANY:
            _first(share[i], size[i], chance)
            within = 0.0
            for k in range(TOP):
                within += chance[TOP - 1 - k]
                cmc[k] += within / count
    return reciprocal


@njit(cache=True, nogil=True)
def _beaten(row: Any, limits: Any) -> Any:
    """``(G,)`` number of ``limits`` above each entry of ``row``."""
    beaten = np.zeros(row.shape[0], np.int32)
    whole = limits.shape[0] - limits.shape[0] % STEP
    for i in range(0, whole, STEP):
        a, b, c, d = limits[i], limits[i + 1], limits[i + 2], limits[i + 3]
        for j in range(row.shape[0]):
            x = row[j]
            beaten[j] += np.int32(x < a) + np.int32(x < b) + np.int32(x < c) + np.int32(x < d)
    for i in range(whole, limits.shape[0]):
        for j in range(row.shape[0]):
            beaten[j] += row[j] < limits[i]
    return beaten


@njit(cache=True, nogil=True)
def _shares(beaten: Any, owner: Any, images: Any, share: Any, size: Any, mean: Any) -> None:
    """``share[i, :size[i]]`` = the positive p_j of match i, then zeros up to a multiple of ``STEP``."""
    count = size.shape[0]
    hits = np.zeros((images.shape[0] + 1, count), np.int32)
    for j in range(beaten.shape[0]):
        if beaten[j] < count:
            hits[owner[j], beaten[j]] += 1
    for p in range(images.shape[0]):
        closer = 0
        for i in range(count):
            closer += hits[p, i]
            if closer:
                value = closer / images[p]
                share[i, size[i]] = value
                size[i] += 1
                mean[i] += value
    for i in range(count):
        share[i, size[i] : size[i] + STEP] = 0


@njit(cache=True, nogil=True)
def _reciprocal(share: Any, size: int, mean: float, product: Any) -> float:
    """E[1 / (1 + N)]."""
    cut = FAR / max(mean, FAR)
    product[:] = WEIGHTS
    for p in range(0, size, STEP):
        a, b, c, d = share[p] * cut, share[p + 1] * cut, share[p + 2] * cut, share[p + 3] * cut
        for n in range(COUNT):
            u = NODES[n]
            product[n] *= (1 - a * u) * (1 - b * u) * ((1 - c * u) * (1 - d * u))
    total = 0.0
    for n in range(COUNT):
        total += product[n]
    return total * cut


@njit(cache=True, nogil=True)
def _first(share: Any, size: int, chance: Any) -> None:
    """P(N = k) to place ``TOP - 1 - k`` of ``chance``: in that order the update in place uses vectors."""
    chance[:] = 0
    chance[TOP - 1] = 1
    for p in range(0, size, STEP):
        a, b, c, d = share[p], share[p + 1], share[p + 2], share[p + 3]
        e, f, g, h = 1 - a, 1 - b, 1 - c, 1 - d
        low0, low1, low2 = e * f, e * b + f * a, a * b
        top0, top1, top2 = g * h, g * d + h * c, c * d
        w0, w4 = low0 * top0, low2 * top2
        w1 = low0 * top1 + low1 * top0
        w2 = low0 * top2 + low1 * top1 + low2 * top0
        w3 = low1 * top2 + low2 * top1
        for k in range(TOP):
            near = w0 * chance[k] + w1 * chance[k + 1] + w2 * chance[k + 2]
            chance[k] = near + w3 * chance[k + 3] + w4 * chance[k + 4]

"""Which similarity means something: thresholds at chosen false-match rates, by native height of the query.

A false-match rate is the share of pairs of different people that a threshold lets through. Groups are
identities where they are known, or pseudo-labels. Half of the groups give the thresholds, the other half
checks them. Pairs that share a group are not independent, so intervals come from a bootstrap over groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from drfm.data.assign import stable_hash
from drfm.errors import DrfmError

Verdict = Literal["likely", "possible", "no evidence"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

EDGES = (0, 16, 24, 32, 48, 64, 96, 128)
"""Lower ends of the bands of native height, in rows, before thin ones are joined."""
CONFIDENCE, RESAMPLES = 0.95, 200
MIN_GROUPS, MIN_ERRORS = 10, 10
"""A band needs so many groups, and so many false matches expected at the lowest rate."""


@dataclass(frozen=True)
class Evidence:
    """Images whose groups are known, or guessed.

    Attributes:
        vectors: ``(N, D)`` float32 unit rows.
        group: ``(N,)`` int64 >= 0.
        image: ``(N,)`` int64, the same for an image and its twins, which are never paired.
        camera: ``(N,)`` int64, -1 where unknown; pairs of one group from one camera are left out.
        height: ``(N,)`` native heights in rows.
        gallery: ``(N,)`` bool, which of them queries are compared with.
    """

    vectors: npt.NDArray[np.float32]
    group: Ints
    image: Ints
    camera: Ints
    height: Ints
    gallery: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Scores:
    """Similarities of queries of some heights with the gallery: those of one group and of different ones."""

    genuine: Floats
    genuine_group: Ints
    impostor: Floats
    impostor_groups: npt.NDArray[np.int64]


def calibrate(evidence: Evidence, rates: Mapping[str, float], seed: int = 0) -> dict[str, Any]:
    """Thresholds by height, and how well they hold on groups that did not give them.

    Args:
        evidence: what is known.
        rates: false-match rates of ``likely`` and ``possible``, 0 < likely < possible < 1.
        seed: of the two halves and of the bootstrap.

    Returns:
        ``rates``, ``confidence``, ``pairs``, and ``bands`` from tall to small. A band has ``low``, ``high``
        (rows, both included) and for each level ``threshold``, ``low``, ``high`` (its interval), ``found``
        (share of the pairs of one group at or above ``high``), and of the other half ``check_false`` and
        ``check_found``.
        ``evidence_from`` is the height below which nothing is known, None where no band tells people apart.

    Raises:
        DrfmError: the rates are no such rates, or there are too few images for the lower one.
    """
    likely, possible = rates["likely"], rates["possible"]
    if not 0 < likely < possible < 1:
        raise DrfmError(
            f"--likely {likely} and --possible {possible}: give rates with 0 < likely < possible < 1"
        )
    fit = np.array([stable_hash(seed, "half", int(group)) % 2 == 0 for group in evidence.group], dtype=bool)
    bands, kept, fewest = [], [], len(np.unique(evidence.group[fit]))
    for low, high in _bands(evidence, fit, likely):
        scores = _scores(evidence, fit, low, high)
        band = _band(scores, _scores(evidence, ~fit, low, high), rates, seed)
        tall = evidence.height[fit & (evidence.height >= low) & (evidence.height < high)]
        bands.append({"low": int(tall.min()), "high": int(tall.max()), **band})
    if fewest < MIN_GROUPS:
        raise DrfmError(
            f"calibrate: {fewest} persons or clusters in the half that gives thresholds, and {MIN_GROUPS} "
            "are needed; give more images, or train longer where clusters stand for persons"
        )
    if not bands:
        raise DrfmError(
            f"--likely {likely}: {fewest} groups of images are too few for it; raise it, or give more data"
        )
    for band in bands:
        # Twice the rate: what is found must be clearly more than what is found by mistake.
        if band["possible"]["found_low"] <= 2 * possible:
            break
        kept.append(band)
    return {
        "rates": dict(rates),
        "confidence": CONFIDENCE,
        "bands": kept,
        "dropped": bands[len(kept) :],
        "evidence_from": kept[-1]["low"] if kept else None,
    }


def verdict(similarity: float, height: int, calibration: Mapping[str, Any] | None) -> Verdict:
    """What a similarity says of a query with ``height`` rows.

    Thresholds are the upper ends of their intervals. Below the height at which the evidence ends, and without
    a calibration, every similarity is no evidence. Without labels (``labelled``) nothing is more than
    possible: clusters are alike by construction, so that they make any model look right.
    """
    band = _band_of(height, calibration)
    if calibration is None or band is None:
        return "no evidence"
    if similarity >= band["likely"]["high"] and calibration["labelled"]:
        return "likely"
    return "possible" if similarity >= band["possible"]["high"] else "no evidence"


def warning(height: int, calibration: Mapping[str, Any] | None) -> str:
    """One sentence where verdicts for a query of ``height`` rows are not to be had, else an empty string."""
    if calibration is None:
        return "This model is not calibrated: no similarity means anything by itself."
    least = calibration["evidence_from"]
    if least is None:
        return "In its calibration this model did not tell people apart well enough for a verdict."
    if height < least:
        return (
            f"The query has {height} rows; below {least} rows there is no evidence that the model is right."
        )
    return ""


def _band_of(height: int, calibration: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    bands = [] if calibration is None else calibration["bands"]
    return next((band for band in bands if height >= band["low"]), None)


def _bands(evidence: Evidence, fit: npt.NDArray[np.bool_], rate: float) -> list[tuple[int, int]]:
    """Ranges of height, from tall to small, each with enough groups and pairs; the rest is dropped."""
    found, high = [], 1 << 30
    gallery = int((fit & evidence.gallery).sum())
    for low in reversed(EDGES):
        inside = fit & (evidence.height >= low) & (evidence.height < high)
        groups = len(np.unique(evidence.group[inside]))
        if groups >= MIN_GROUPS and inside.sum() * gallery * rate >= MIN_ERRORS:
            scores = _scores(evidence, fit, low, high)
            if (
                len(np.unique(scores.genuine_group)) >= MIN_GROUPS
                and len(scores.impostor) * rate >= MIN_ERRORS
            ):
                found.append((low, high))
                high = low
    return found


def _scores(evidence: Evidence, half: npt.NDArray[np.bool_], low: int, high: int) -> _Scores:
    query = np.flatnonzero(half & (evidence.height >= low) & (evidence.height < high))
    other = np.flatnonzero(half & evidence.gallery)
    similarity = evidence.vectors[query] @ evidence.vectors[other].T
    group, camera, image = (getattr(evidence, name) for name in ("group", "camera", "image"))
    same = group[query, None] == group[None, other]
    seen_together = (camera[query, None] == camera[None, other]) & (camera[query, None] >= 0)
    genuine = same & ~seen_together & (image[query, None] != image[None, other])
    first, second = np.nonzero(~same)
    return _Scores(
        similarity[genuine].astype(np.float64),
        group[query[np.nonzero(genuine)[0]]],
        similarity[first, second].astype(np.float64),
        np.stack([group[query[first]], group[other[second]]]),
    )


def _band(fit: _Scores, check: _Scores, rates: Mapping[str, float], seed: int) -> dict[str, Any]:
    levels: dict[str, Any] = {}
    random = np.random.default_rng(seed)
    for name, rate in rates.items():
        threshold = threshold_at(fit.impostor, rate)
        low, high = threshold_interval(fit.impostor, fit.impostor_groups, rate, random)
        high = max(high, threshold)
        levels[name] = {
            "threshold": threshold,
            "low": min(low, threshold),
            "high": high,
            "found": _share(fit.genuine >= high),
            "found_low": _least_share(fit.genuine >= high, fit.genuine_group, random),
            "check_false": _share(check.impostor >= high),
            "check_found": _share(check.genuine >= high),
        }
    pairs = {
        "of_one": len(fit.genuine),
        "of_two": len(fit.impostor),
        "groups": len(np.unique(fit.genuine_group)),
    }
    return {**levels, "pairs": pairs}


def threshold_at(impostor: Floats, rate: float) -> float:
    """The lowest similarity that at most a share ``rate`` of ``impostor``, ``(M,)``, M >= 1, reaches."""
    allowed = int(np.floor(len(impostor) * rate))
    beaten = np.partition(impostor, len(impostor) - 1 - allowed)[len(impostor) - 1 - allowed]
    return float(np.nextafter(beaten, np.inf))


def threshold_interval(
    impostor: Floats, groups: Ints, rate: float, random: np.random.Generator
) -> tuple[float, float]:
    """Interval of :func:`threshold_at` when groups are drawn anew, with replacement.

    Args:
        impostor: ``(M,)`` similarities of pairs of different groups.
        groups: ``(2, M)`` the groups of each pair.
        rate: false-match rate.
        random: of the bootstrap.
    """
    names, codes = np.unique(groups, return_inverse=True)
    first, second = codes.reshape(groups.shape)
    count = len(names)
    pairs = np.bincount(first * count + second, minlength=count * count).reshape(count, count)
    # Only the highest similarities decide; the rest counts through the number of pairs.
    top = min(len(impostor), int(8 * rate * len(impostor)) + 100)
    order = np.argsort(impostor)[::-1][:top]
    values, a, b = impostor[order], first[order], second[order]
    found = []
    for _ in range(RESAMPLES):
        weight = np.bincount(random.integers(0, count, count), minlength=count).astype(np.float64)
        passed = np.cumsum(weight[a] * weight[b])
        allowed = rate * float(weight @ pairs @ weight)
        found.append(values[min(int(np.searchsorted(passed, allowed, side="right")), top - 1)])
    ends = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(ends[0]), float(ends[1])


def _least_share(hits: npt.NDArray[np.bool_], group: Ints, random: np.random.Generator) -> float:
    """Lower end of the interval of the share of ``hits`` when groups are drawn anew."""
    if not len(hits):
        return 0.0
    names, code = np.unique(group, return_inverse=True)
    total = np.bincount(code).astype(np.float64)
    good = np.bincount(code, weights=hits)
    drawn = random.integers(0, len(names), (RESAMPLES, len(names)))
    return float(np.quantile(good[drawn].sum(1) / total[drawn].sum(1), (1 - CONFIDENCE) / 2))


def _share(hits: npt.NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if len(hits) else None

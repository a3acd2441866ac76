"""Numbers from ranks: CMC, mAP and mINP, their spread over draws, and what chance would give."""

import numpy as np

from drfm.evaluation.ranking import Ranking

RANKS = (1, 5, 10, 20)
"""k of the Rank-k that are reported."""

Scores = dict[str, float]
"""``rank1``, ``rank5``, ``rank10``, ``rank20``, ``map`` and, for multi-shot, ``minp``, each in 0..1."""


def multi_shot(ranking: Ranking) -> Scores:
    """CMC, mAP and mINP over the full gallery, averaged over queries with a match."""
    first = ranking.first[ranking.valid]
    scores = {f"rank{k}": float(np.mean(first <= k)) for k in RANKS}
    scores["map"] = float(ranking.precision[ranking.valid].mean())
    scores["minp"] = float(ranking.inverse[ranking.valid].mean())
    return scores


def exact(ranking: Ranking) -> Scores:
    """Expectation of the single-shot CMC and mAP over every gallery of one random image a person."""
    cmc = ranking.cmc[ranking.valid].mean(axis=0)
    scores = {f"rank{k}": float(cmc[k - 1]) for k in RANKS}
    scores["map"] = float(ranking.reciprocal[ranking.valid].mean())
    return scores


def single_shot(ranking: Ranking) -> tuple[Scores, Scores]:
    """Mean and standard deviation (n - 1) over the drawn galleries of CMC and mAP.

    A gallery of one image a person has one match a query, so its average precision is 1 / rank.
    """
    ranks = ranking.draws[ranking.valid]
    by_draw = {f"rank{k}": (ranks <= k).mean(axis=0) for k in RANKS}
    by_draw["map"] = (1.0 / ranks).mean(axis=0)
    spread = 1 if ranks.shape[1] > 1 else 0
    mean = {name: float(values.mean()) for name, values in by_draw.items()}
    return mean, {name: float(values.std(ddof=spread)) for name, values in by_draw.items()}


def single_shot_chance(persons: int) -> Scores:
    """Single-shot scores of features that say nothing, in a gallery of ``persons`` images."""
    scores = {f"rank{k}": min(k / persons, 1.0) for k in RANKS}
    scores["map"] = _harmonic(persons) / persons
    return scores


def multi_shot_chance(ranking: Ranking) -> Scores:
    """Expected Rank-1 and mAP of a random order of the full gallery, averaged over queries with a match."""
    matches = ranking.matches[ranking.valid].astype(np.float64)
    size = ranking.images
    harmonic = _harmonic(size)
    repeat = (matches - 1) / max(size - 1, 1) * (size - harmonic)
    return {"rank1": float(np.mean(matches / size)), "map": float(np.mean((harmonic + repeat) / size))}


def _harmonic(count: int) -> float:
    return float(np.sum(1.0 / np.arange(1, count + 1)))

"""One call from features and identities to a result that can be quoted."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from drfm.config.schema import EvaluationConfig
from drfm.errors import DrfmError
from drfm.evaluation.metrics import exact, multi_shot, single_shot, single_shot_chance
from drfm.evaluation.protocol import FEATURES, Protocol
from drfm.evaluation.ranking import Labels, Ranking, rank, similarity_blocks
from drfm.evaluation.rerank import reranked_blocks
from drfm.evaluation.result import Result, Row
from drfm.models.features import Features


def evaluate(
    features_query: Features,
    features_gallery: Features,
    query: Labels,
    gallery: Labels,
    config: EvaluationConfig,
    facts: Mapping[str, object] | None = None,
) -> Result:
    """Rank the gallery for every query in each feature space.

    Args:
        features_query: space name to ``(Q, D)`` float32 unit rows.
        features_gallery: the same spaces, ``(G, D)``.
        query: persons and cameras of the queries.
        gallery: persons and cameras of the gallery.
        config: the protocol.
        facts: for the record, printed with every number: ``benchmark``, ``manifest``, ``seed``,
            ``weights`` (checksum), ``sr``, ``drawn`` and whatever else matters.

    Returns:
        One row for each of ``fused``, ``hr``, ``lr``, ``concat`` (HR and LR) and ``mean`` that the spaces
        allow, the headline row first. A model without a fusion space has its headline in the HR space, a
        model with one encoder in its only one, ``image``.

    Raises:
        DrfmError: features and labels do not fit together, hold NaN, or no query has a match.
    """
    _check(features_query, query, "query")
    _check(features_gallery, gallery, "gallery")
    notes = []
    if (facts or {}).get("supervised"):
        notes.append("The run is a supervised ceiling: it trains on true identities.")
    headline = headline_of(features_query, config.features)
    if headline == "hr" and config.features in ("fused", "mean"):
        notes.append(f"The model has no fusion space: the headline is the HR space, not {config.features!r}.")
    rows = []
    for name in sorted(_available(features_query), key=lambda name: name != headline):
        ranking = rank(
            similarity_blocks(feature_of(features_query, name), feature_of(features_gallery, name)),
            query,
            gallery,
            draws=config.draws,
            draw=config.draw,
            seed=config.seed,
            expectation=True,
        )
        rows.append(_row(name, ranking))
    if config.rerank:
        blocks = reranked_blocks(feature_of(features_query, headline), feature_of(features_gallery, headline))
        rows.insert(1, Row(f"{headline} (re-ranked)", multi_shot(rank(blocks, query, gallery))))
    return Result(
        rows=tuple(rows),
        features=headline,
        protocol=Protocol.of(config, headline),
        counts=_counts(ranking),
        chance=single_shot_chance(ranking.persons),
        facts=dict(facts or {}),
        notes=tuple(notes),
    )


def headline_of(features: Features, wanted: str) -> str:
    """The test feature ``wanted``, or the one that stands in for it where the model does not have it."""
    if "image" in features:
        return "image"
    return "hr" if wanted in ("fused", "mean") and "fused" not in features else wanted


def feature_of(features: Features, name: str) -> Tensor:
    """``(N, D)`` rows whose products are the similarities of the test feature ``name`` (G1).

    The mean of several cosine similarities is one product of the rows side by side, divided by
    the root of their number.
    """
    spaces = _PARTS.get(name, (name,))
    if len(spaces) == 1:
        return features[name]
    return torch.cat([features[space] for space in spaces], dim=1) / math.sqrt(len(spaces))


_PARTS = {"concat": ("hr", "lr"), "mean": ("fused", "hr", "lr")}


def _available(features: Features) -> list[str]:
    return [name for name in FEATURES if all(space in features for space in _PARTS.get(name, (name,)))]


def _row(name: str, ranking: Ranking) -> Row:
    mean, std = single_shot(ranking)
    return Row(name, multi_shot(ranking), exact(ranking), mean, std)


def _counts(ranking: Ranking) -> dict[str, int]:
    valid = int(ranking.valid.sum())
    return {
        "queries": valid,
        "skipped": len(ranking.valid) - valid,
        "gallery": ranking.images,
        "persons": ranking.persons,
    }


def _check(features: Features, labels: Labels, side: str) -> None:
    for space, rows in features.items():
        if len(rows) != len(labels):
            raise DrfmError(
                f"{len(rows)} {side} features in the {space} space but {len(labels)} labels: give one each"
            )
        if not bool(torch.isfinite(rows).all()):
            raise DrfmError(
                f"the {space} features of the {side} images hold NaN or infinity: the model has diverged"
            )
    if len(labels) == 0:
        raise DrfmError(f"there are no {side} images to evaluate")

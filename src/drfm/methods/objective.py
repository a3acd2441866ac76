"""The terms of Eq. 20 from float32 features and memories, before their weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from drfm.config import LossConfig
from drfm.learning.losses import (
    cross_resolution_contrastive,
    identity_consistency,
    probability_sharpening,
    softmax_classification,
)
from drfm.learning.memory import FeatureMemory
from drfm.models.dual import DualEncoder
from drfm.models.features import Encoded, Features


def contrastive(
    encoded: Encoded, labels: Tensor, memories: Mapping[str, FeatureMemory], config: LossConfig, epoch: int
) -> Tensor:
    """L_cc summed over the spaces (Eq. 17); ``labels`` are ``(B,)`` int64."""
    active = _active(encoded, config, epoch)
    terms = [contrast_in_space(rows, labels, memories[space], config) for space, rows in active.items()]
    return torch.stack(terms).sum()


def contrast_in_space(features: Tensor, labels: Tensor, memory: FeatureMemory, config: LossConfig) -> Tensor:
    """L_cc of one space (Eq. 16); ``features`` are ``(B, D)`` unit rows, ``labels`` ``(B,)`` int64."""
    return cross_resolution_contrastive(
        features,
        labels,
        memory.centroids,
        memory.groups.cluster,
        memory.groups.origin,
        tau=config.tau_c,
        negatives=config.negatives,
        denominator=config.denominator,
        negatives_from=config.negatives_from,
    )


def classification(
    encoded: Encoded, labels: Tensor, slots: Features, config: LossConfig, epoch: int
) -> Tensor:
    """L_sc of the ablations summed over the spaces (E12); ``slots`` are ``(M, D)`` in each space."""
    active = _active(encoded, config, epoch)
    terms = [
        softmax_classification(rows, labels, slots[space], config.tau_sc) for space, rows in active.items()
    ]
    return torch.stack(terms).sum()


def consistency(
    model: DualEncoder, encoded: Encoded, is_lr: Tensor, doubtful: Encoded | None, config: LossConfig
) -> Tensor:
    """L_ic (Eq. 18) over the pairs of E7, one mean over all of them.

    The predictor sees the whole batch, whichever rows count, so that a BatchNorm in it does too.

    Args:
        model: its ``predict`` is Pred.
        encoded: the B labelled pairs.
        is_lr: ``(B,)`` bool, which of them are LR captures.
        doubtful: ambiguous pairs, all of them LR captures, or ``None``.
        config: which pairs count.
    """
    counted = torch.ones_like(is_lr) if config.ic_pairs == "both_origins" else is_lr
    predicted, target = model.predict(encoded), encoded.lr
    if config.ic_pairs == "all_lr" and doubtful is not None:
        predicted = torch.cat([predicted, model.predict(doubtful)])
        target = torch.cat([target, doubtful.lr])
        counted = torch.cat([counted, counted.new_ones(len(doubtful.lr))])
    return identity_consistency(predicted, target, counted)


def sharpening(doubtful: Encoded, memories: Mapping[str, FeatureMemory], config: LossConfig) -> Tensor:
    """L_ps (Eq. 19) in the fusion space, or in the HR space of a model without one."""
    space, features = ("hr", doubtful.hr) if doubtful.fused is None else ("fused", doubtful.fused)
    memory = memories[space]
    centroids = memory.centroids[memory.groups.hr]
    return probability_sharpening(features, centroids, config.tau_s, config.tau_c)


def _active(encoded: Encoded, config: LossConfig, epoch: int) -> dict[str, Tensor]:
    """The spaces that have an identification loss in this epoch (B11)."""
    named = {"hr": encoded.hr, "lr": encoded.lr}
    if encoded.fused is not None and epoch >= config.fusion_start:
        named["fused"] = encoded.fused
    return named

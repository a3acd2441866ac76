"""The losses of Eq. 16, 18 and 19 and of the ablations, each a pure function of tensors."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from drfm.data.records import HR, LR

Denominator = Literal["positives_negatives", "one_positive", "positives"]
NegativesFrom = Literal["all", "each_origin"]


def cross_resolution_contrastive(
    features: Tensor,
    labels: Tensor,
    centroids: Tensor,
    centroid_labels: Tensor,
    centroid_origins: Tensor,
    *,
    tau: float,
    negatives: int,
    denominator: Denominator = "positives_negatives",
    negatives_from: NegativesFrom = "all",
) -> Tensor:
    """L_cc of one space (Eq. 16), mean over the batch; Eq. 17 adds up the spaces.

    P are the centroids of the row's own cluster, Q the most similar ones of other clusters, all of
    them where fewer exist. Q is chosen by the current similarities; the choice has no gradient.

    Args:
        features: ``(B, D)`` float, unit rows.
        labels: ``(B,)`` int64. A row whose label has no centroid does not count.
        centroids: ``(K, D)`` float, without gradient.
        centroid_labels: ``(K,)`` int64.
        centroid_origins: ``(K,)`` ``HR`` or ``LR``.
        tau: temperature tau_c.
        negatives: |Q|.
        denominator: P and Q; the one positive and Q; P alone, as printed (E1).
        negatives_from: |Q| over both origins together, or of each (E3).

    Returns:
        Scalar, zero for a batch without rows that count.
    """
    logits = features @ centroids.T / tau
    positive = labels.unsqueeze(1) == centroid_labels.unsqueeze(0)
    # A large negative number, not -inf: the log-sum-exp of an empty set then has a gradient (zero).
    nothing = torch.finfo(logits.dtype).min / 2
    if denominator == "positives":
        bottom = torch.logsumexp(logits.masked_fill(~positive, nothing), dim=1, keepdim=True)
    else:
        negative = _nearest_negatives(logits.detach(), positive, centroid_origins, negatives, negatives_from)
        if denominator == "positives_negatives":
            kept = positive | negative
            bottom = torch.logsumexp(logits.masked_fill(~kept, nothing), dim=1, keepdim=True)
        else:
            rest = torch.logsumexp(logits.masked_fill(~negative, nothing), dim=1, keepdim=True)
            bottom = torch.logaddexp(logits, rest)
    count = positive.sum(dim=1)
    rows = ((bottom - logits) * positive).sum(dim=1) / count.clamp(min=1)
    return rows.sum() / (count > 0).sum().clamp(min=1)


def _nearest_negatives(logits: Tensor, positive: Tensor, origins: Tensor, number: int,
                       source: NegativesFrom) -> Tensor:  # fmt: skip
    """``(B, K)`` bool: the ``number`` nearest centroids that are not positive."""
    chosen = torch.zeros_like(positive)
    masks = [~positive]
    if source == "each_origin":
        masks = [~positive & (origins == origin) for origin in (HR, LR)]
    for mask in masks:
        values, places = logits.masked_fill(~mask, -torch.inf).topk(min(number, logits.shape[1]), dim=1)
        chosen |= torch.zeros_like(positive).scatter_(1, places, values > -torch.inf)
    return chosen


def identity_consistency(predicted: Tensor, target: Tensor, counted: Tensor | None = None) -> Tensor:
    """L_ic (Eq. 18): minus the cosine of prediction and target, whose side has no gradient.

    Args:
        predicted: ``(B, D)`` Pred(f^sh), of any length.
        target: ``(B, D)`` f^l.
        counted: ``(B,)`` bool, rows that the mean is over; all unless given.

    Returns:
        Scalar in [-1, 1], zero where no row counts.
    """
    cosine = functional.cosine_similarity(predicted, target.detach(), dim=1)
    weight = torch.ones_like(cosine) if counted is None else counted.to(cosine.dtype)
    return -(cosine * weight).sum() / weight.sum().clamp(min=1)


def probability_sharpening(features: Tensor, centroids: Tensor, tau_s: float, tau_c: float) -> Tensor:
    """L_ps (Eq. 19): cross-entropy with the model's own, sharper prediction, which has no gradient.

    Args:
        features: ``(A, D)`` fused features f^lsh of ambiguous pairs.
        centroids: ``(M, D)`` C_hsl, the HR-origin centroids of all clusters, without gradient.
        tau_s: temperature of the target, below ``tau_c``.
        tau_c: temperature of the prediction.

    Returns:
        Scalar mean over the rows, zero for none.
    """
    similarity = features @ centroids.T
    target = torch.softmax(similarity.detach() / tau_s, dim=1)
    rows = -(target * torch.log_softmax(similarity / tau_c, dim=1)).sum(dim=1)
    return rows.sum() / max(1, len(rows))


def softmax_classification(features: Tensor, labels: Tensor, slots: Tensor, tau: float = 0.1) -> Tensor:
    """L_sc of the ablations: softmax over cluster slots after Lin et al., AAAI 2019 (E12).

    Args:
        features: ``(B, D)`` float, unit rows.
        labels: ``(B,)`` int64 in 0..M-1.
        slots: ``(M, D)`` one vector for each cluster, without gradient.
        tau: temperature.

    Returns:
        Scalar mean over the rows, zero for none.
    """
    rows = functional.cross_entropy(features @ slots.T / tau, labels, reduction="none")
    return rows.sum() / max(1, len(rows))

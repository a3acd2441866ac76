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
    if denominator == "positives":
        return _over_positives(_log_sum(logits, positive) - logits, positive)
    pools = [~positive]
    if negatives_from == "each_origin":
        pools = [~positive & (centroid_origins == origin) for origin in (HR, LR)]
    negative = torch.stack([nearest(logits, pool, negatives) for pool in pools]).any(dim=0)
    if denominator == "positives_negatives":
        return proxy_contrast(logits, positive, negative)
    bottom = torch.logaddexp(logits, _log_sum(logits, negative))
    return _over_positives(bottom - logits, positive)


def proxy_contrast(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Cross-entropy with a target that is even over the positives, softmax over both kinds together.

    Args:
        logits: ``(B, K)`` similarities to K proxies by the temperature.
        positive: ``(B, K)`` bool.
        negative: ``(B, K)`` bool, see :func:`nearest`.

    Returns:
        Scalar mean over the rows that have a positive, zero for none.
    """
    return _over_positives(_log_sum(logits, positive | negative) - logits, positive)


def nearest(logits: Tensor, pool: Tensor, number: int) -> Tensor:
    """``(B, K)`` bool: the ``number`` largest logits of the pool, or all that it has; no gradient."""
    among = logits.detach().masked_fill(~pool, -torch.inf)
    values, places = among.topk(min(number, logits.shape[1]), dim=1)
    return torch.zeros_like(pool).scatter_(1, places, values > -torch.inf)


def _log_sum(logits: Tensor, kept: Tensor) -> Tensor:
    """``(B, 1)`` log-sum-exp over the kept entries."""
    # A large negative number, not -inf: the log-sum-exp of an empty set then has a gradient (zero).
    nothing = torch.finfo(logits.dtype).min / 2
    return torch.logsumexp(logits.masked_fill(~kept, nothing), dim=1, keepdim=True)


def _over_positives(terms: Tensor, positive: Tensor) -> Tensor:
    """Mean of ``(B, K)`` terms over the positives of a row, then over the rows that have some."""
    count = positive.sum(dim=1)
    rows = (terms * positive).sum(dim=1) / count.clamp(min=1)
    return rows.sum() / (count > 0).sum().clamp(min=1)


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

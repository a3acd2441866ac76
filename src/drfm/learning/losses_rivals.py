"""Losses of the methods that DRFM is compared with, each a pure function of tensors."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from drfm.learning.losses import cross_resolution_contrastive


def unified_contrastive(features: Tensor, labels: Tensor, centroids: Tensor, tau: float) -> Tensor:
    """Contrast with every class of the hybrid memory (SpCL, NeurIPS 2020, Eq. 2 without a source domain).

    ``-log(p_y + e)`` with ``p_k = exp(s_k) / (sum_k' exp(s_k') + e)``, ``s_k = <f, c_k> / tau`` and the
    ``e = 1e-6`` of its code, in logarithms.

    Args:
        features: ``(B, D)`` float, unit rows.
        labels: ``(B,)`` int64 in 0..M-1.
        centroids: ``(M, D)`` means of the slots of each class, singletons too, without gradient and
            not of unit length.
        tau: temperature.

    Returns:
        Scalar mean over the rows, zero for none.
    """
    logits = features @ centroids.T / tau
    tiny = logits.new_tensor(math.log(1e-6))
    chosen = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
    log_p = chosen - torch.logaddexp(torch.logsumexp(logits, dim=1), tiny)
    return -torch.logaddexp(log_p, tiny).sum() / max(1, len(labels))


def hard_instance(query: Tensor, key: Tensor, labels: Tensor, tau: float = 0.1) -> Tensor:
    """Contrast with the least similar instance of the class (L_hard of ICE, ICCV 2021).

    The negatives are all keys of other classes, however many these are.

    Args:
        query: ``(B, D)`` unit rows of the student, B >= 1.
        key: ``(B, D)`` unit rows of the teacher on another view, without gradient.
        labels: ``(B,)`` int64.
        tau: temperature.

    Returns:
        Scalar mean over the rows, zero for a batch of one class.
    """
    similarity = query @ key.T / tau
    same = labels.unsqueeze(1) == labels.unsqueeze(0)
    hardest = similarity.masked_fill(~same, torch.inf).amin(dim=1)
    nothing = torch.finfo(similarity.dtype).min / 2
    others = torch.logsumexp(similarity.masked_fill(same, nothing), dim=1)
    return functional.softplus(others - hardest).mean()


def soft_instance(query: Tensor, key: Tensor, weak: Tensor, tau: float = 0.4) -> Tensor:
    """Relations between instances that augmentation must not change (L_soft of ICE, ICCV 2021).

    ``KL(softmax(<w_i, w_j> / tau) || softmax(<q_i, k_j> / tau))``.

    Args:
        query: ``(B, D)`` unit rows of the student on one strong view.
        key: ``(B, D)`` unit rows of the teacher on another, without gradient.
        weak: ``(B, D)`` unit rows of the teacher on the image as it is, without gradient.
        tau: temperature.

    Returns:
        Scalar mean over the rows, zero for none.
    """
    target = torch.log_softmax(weak @ weak.T / tau, dim=1)
    prediction = torch.log_softmax(query @ key.T / tau, dim=1)
    return (target.exp() * (target - prediction)).sum() / max(1, len(query))


def camera_contrastive(
    features: Tensor, labels: Tensor, camera: Tensor, proxies: Tensor, proxy_labels: Tensor
) -> Tensor:
    """Contrast with the proxies of all cameras of a cluster (ICE, ICCV 2021, after CAP, AAAI 2021).

    For the samples of each camera in the batch a mean, and the sum of these; a sample has all proxies of its
    cluster as positives in equal parts, and the 50 most similar others as negatives.

    Args:
        features: ``(B, D)`` unit rows.
        labels: ``(B,)`` int64.
        camera: ``(B,)`` int64.
        proxies: ``(K, D)`` unit rows, one for each (cluster, camera), without gradient.
        proxy_labels: ``(K,)`` int64 clusters of the proxies.

    Returns:
        Scalar, zero for an empty batch.
    """
    total = features.new_zeros(())
    for number in torch.unique(camera):
        mine = camera == number
        total = total + cross_resolution_contrastive(
            features[mine], labels[mine], proxies, proxy_labels, proxy_labels, tau=0.07, negatives=50
        )
    return total

"""What parts of a person say of the whole: agreement scores and losses of PPLR (Cho et al., CVPR 2022)."""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from drfm.labels.neighbours import k_nearest
from drfm.learning.losses import nearest, proxy_contrast

_BLOCK = 4096
"""Rows compared at a time: a few MB for lists of 20."""


def cross_agreement(whole: Tensor, parts: list[Tensor], k: int = 20) -> Tensor:
    """How far the neighbours of a part are those of the whole (cross agreement score).

    Args:
        whole: ``(N, D)`` float32 unit rows.
        parts: P tensors of the same kind, one a part.
        k: neighbours compared, the image itself not counted; cut to N - 1.

    Returns:
        ``(N, P)`` float32 in 0..1 on the CPU: common neighbours by neighbours in either list. Lists without
        any neighbour agree.
    """
    own = _others(whole, k)
    scores = [_overlap(own, _others(part, k)) for part in parts]
    return torch.from_numpy(np.stack(scores, axis=1)) if scores else torch.empty(len(whole), 0)


def _others(features: Tensor, k: int) -> npt.NDArray[np.int32]:
    """``(N, min(k, N - 1))`` nearest neighbours of each row without the row itself."""
    index = k_nearest(features, k + 1).index
    dropped = index == np.arange(len(index))[:, None]
    # Among more than k identical images the row itself may be missing from its list.
    dropped[~dropped.any(axis=1), -1] = True
    others: npt.NDArray[np.int32] = index[~dropped].reshape(len(index), index.shape[1] - 1)
    return others


def _overlap(first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Intersection by union of the two lists of each row; entries of a list are different."""
    width = first.shape[1]
    if width == 0:
        return np.ones(len(first), np.float32)
    common = np.empty(len(first), np.int64)
    for start in range(0, len(first), _BLOCK):
        rows = slice(start, start + _BLOCK)
        common[rows] = (first[rows, :, None] == second[rows, None, :]).sum(axis=(1, 2))
    overlap: npt.NDArray[np.float32] = (common / (2 * width - common)).astype(np.float32)
    return overlap


def part_guided(
    whole: Tensor, parts: list[Tensor], labels: Tensor, agreement: Tensor, beta: float = 0.5
) -> Tensor:
    """PGLR: cross-entropy of the whole with labels that its parts have refined.

    The target is ``beta`` times the label and ``1 - beta`` times the mean prediction of the parts, weighted
    with the softmax of their agreement scores; it has no gradient.

    Args:
        whole: ``(B, M)`` logits.
        parts: P tensors ``(B, M)`` of logits, P >= 1.
        labels: ``(B,)`` int64 in 0..M-1.
        agreement: ``(B, P)``.
        beta: weight of the label.

    Returns:
        Scalar mean over the rows.
    """
    said = torch.stack([torch.softmax(part.detach(), dim=1) for part in parts], dim=1)
    weights = torch.softmax(agreement, dim=1).unsqueeze(2)
    target = (1 - beta) * (weights * said).sum(dim=1)
    target = target + beta * functional.one_hot(labels, whole.shape[1]).to(target.dtype)
    return -(target * torch.log_softmax(whole, dim=1)).sum(dim=1).mean()


def agreement_smoothing(parts: list[Tensor], labels: Tensor, agreement: Tensor) -> Tensor:
    """AALS: a part that agrees with the whole learns its label, one that does not learns to be undecided.

    ``ca CE(z, y) + (1 - ca) KL(uniform || softmax(z))``, mean over rows and parts.

    Args:
        parts: P tensors ``(B, M)`` of logits, P >= 1.
        labels: ``(B,)`` int64 in 0..M-1.
        agreement: ``(B, P)`` ca in 0..1.
    """
    said = torch.log_softmax(torch.stack(parts, dim=1), dim=2)
    right = -said.gather(2, labels[:, None, None].expand(-1, len(parts), 1)).squeeze(2)
    undecided = -said.mean(dim=2) - math.log(said.shape[2])
    return (agreement * right + (1 - agreement) * undecided).mean()


def inter_camera(
    features: Tensor, own: Tensor, proxies: Tensor, cluster: Tensor, *, tau: float, negatives: int
) -> Tensor:
    """Contrast with what the other cameras have of the row's cluster.

    The target is even over these proxies; the softmax is over them and the most similar proxies of other
    clusters, whose choice has no gradient.

    Args:
        features: ``(B, D)``, unit rows.
        own: ``(B,)`` int64, the proxy that each row belongs to.
        proxies: ``(K, D)``, one for each (cluster, camera), without gradient.
        cluster: ``(K,)`` int64, cluster of each proxy.
        tau: temperature.
        negatives: proxies of other clusters, all of them where fewer exist.

    Returns:
        Scalar mean over the rows whose cluster another camera has some of, zero for none.
    """
    logits = features @ proxies.T / tau
    mine = cluster[own].unsqueeze(1) == cluster
    positive = mine.scatter(1, own.unsqueeze(1), False)
    return proxy_contrast(logits, positive, nearest(logits, ~mine, negatives))


def soft_margin_triplet(features: Tensor, labels: Tensor) -> Tensor:
    """Batch-hard triplet loss with a soft margin (Hermans et al., arXiv 1703.07737).

    ``-log(exp(d_an) / (exp(d_ap) + exp(d_an)))`` with the Euclidean distances of the farthest row of the
    same class and the nearest of another.

    Args:
        features: ``(B, D)``, of any length.
        labels: ``(B,)`` int64.

    Returns:
        Scalar mean over the rows; zero in a batch of one class.
    """
    exactly = "donot_use_mm_for_euclid_dist"
    distance = torch.cdist(features, features, compute_mode=exactly)
    same = labels.unsqueeze(1) == labels
    farthest = distance.masked_fill(~same, 0).amax(dim=1)
    nearest = distance.masked_fill(same, torch.inf).amin(dim=1)
    return functional.softplus(farthest - nearest).mean()

"""Losses of the methods that DRFM is compared with, each a pure function of tensors."""

import math

import torch
from torch import Tensor


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

"""Resolution groups: the rows of one (cluster, origin), whose means are the resolution centroids."""

from dataclasses import dataclass

import torch
from torch import Tensor

from drfm.data.records import HR


@dataclass(frozen=True)
class Groups:
    """Which rows of the pair table make up which resolution centroid. Only existing groups are listed.

    Attributes:
        of_row: ``(N,)`` int64, group of each pair, -1 for a pair without a label.
        cluster: ``(K,)`` int64, cluster of each group, ascending.
        origin: ``(K,)`` int64, origin of each group, ascending within a cluster.
        count: ``(K,)`` float32, number of rows of each group, at least 1.
        hr: ``(M',)`` int64, the groups of HR origin, one for each cluster that has HR pairs.
    """

    of_row: Tensor
    cluster: Tensor
    origin: Tensor
    count: Tensor
    hr: Tensor

    def __len__(self) -> int:
        return len(self.cluster)


def resolution_groups(labels: Tensor, origin: Tensor) -> Groups:
    """Groups of ``(N,)`` int64 labels (-1: none) and ``(N,)`` origins, on the device of the labels."""
    labelled = labels >= 0
    keys = labels * 2 + origin.to(labels)
    found, inverse, count = torch.unique(keys[labelled], return_inverse=True, return_counts=True)
    of_row = torch.full_like(labels, -1)
    of_row[labelled] = inverse
    group_origin = found % 2
    return Groups(
        of_row=of_row,
        cluster=torch.div(found, 2, rounding_mode="floor"),
        origin=group_origin,
        count=count.to(torch.float32),
        hr=torch.nonzero(group_origin == HR).squeeze(1),
    )


def group_sums(features: Tensor, groups: Groups) -> Tensor:
    """``(K, D)`` sums of the ``(N, D)`` features of each group; rows without a group count nowhere."""
    slots = torch.where(groups.of_row >= 0, groups.of_row, len(groups))
    sums = features.new_zeros(len(groups) + 1, features.shape[1])
    return sums.index_add_(0, slots, features)[: len(groups)].clone()

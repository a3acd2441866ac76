"""Groups of rows whose means are centroids: of one (cluster, origin), or of one (cluster, camera)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from drfm.data.records import HR


@dataclass(frozen=True)
class Groups:
    """Which rows of the pair table make up which centroid. Only existing groups are listed.

    Attributes:
        of_row: ``(N,)`` int64, group of each pair, -1 for a pair without a label.
        cluster: ``(K,)`` int64, cluster of each group, ascending.
        origin: ``(K,)`` int64, origin (or camera) of each group, ascending within a cluster.
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
    return _groups(labels, origin.to(labels), 2)


def camera_groups(labels: Tensor, camera: Tensor) -> Groups:
    """Groups of ``(N,)`` int64 labels (-1: none) and ``(N,)`` cameras, on the device of the labels.

    ``origin`` of the result numbers the cameras from 0 in ascending order.
    """
    cameras, place = torch.unique(camera.to(labels), return_inverse=True)
    return _groups(labels, place, max(1, len(cameras)))


def _groups(labels: Tensor, part: Tensor, parts: int) -> Groups:
    labelled = labels >= 0
    keys = labels * parts + part
    found, inverse, count = torch.unique(keys[labelled], return_inverse=True, return_counts=True)
    of_row = torch.full_like(labels, -1)
    of_row[labelled] = inverse
    group_part = found % parts
    return Groups(
        of_row=of_row,
        cluster=torch.div(found, parts, rounding_mode="floor"),
        origin=group_part,
        count=count.to(torch.float32),
        hr=torch.nonzero(group_part == HR).squeeze(1),
    )


def group_sums(features: Tensor, groups: Groups) -> Tensor:
    """``(K, D)`` sums of the ``(N, D)`` features of each group; rows without a group count nowhere."""
    slots = torch.where(groups.of_row >= 0, groups.of_row, len(groups))
    sums = features.new_zeros(len(groups) + 1, features.shape[1])
    return sums.index_add_(0, slots, features)[: len(groups)].clone()


def group_means(features: Tensor, groups: Groups, normalise: bool = False) -> Tensor:
    """``(K, D)`` means of the ``(N, D)`` features of each group, of unit length if ``normalise``."""
    means = group_sums(features, groups) / groups.count.unsqueeze(1)
    return functional.normalize(means, dim=1) if normalise else means

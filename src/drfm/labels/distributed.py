"""Neighbours over several processes: each searches for its share of the rows."""

import itertools

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from drfm.labels.neighbours import Method, Neighbours, k_nearest
from drfm.labels.similarity import FloatRows


def neighbours_distributed(features: FloatRows | Tensor, k: int, *, method: Method = "auto") -> Neighbours:
    """:func:`k_nearest` of all rows, the rows shared evenly among the processes of ``torch.distributed``.

    Every process holds all features and gets the whole result, which does not depend on their number.
    Without an initialised process group it is :func:`k_nearest` itself.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return k_nearest(features, k, method=method)
    ranks, count = dist.get_world_size(), len(features)
    edges = [count * rank // ranks for rank in range(ranks + 1)]
    rank = dist.get_rank()
    own = k_nearest(features, k, row_range=(edges[rank], edges[rank + 1]), method=method)
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    tallest = max(stop - start for start, stop in itertools.pairwise(edges))
    gathered = []
    for array in (own.index, own.similarity):
        padded = np.zeros((tallest, array.shape[1]), array.dtype)
        padded[: len(array)] = array
        mine = torch.from_numpy(padded).to(device)
        parts = [torch.empty_like(mine) for _ in range(ranks)]
        dist.all_gather(parts, mine)
        gathered.append(
            np.concatenate([parts[r][: edges[r + 1] - edges[r]].cpu().numpy() for r in range(ranks)])
        )
    return Neighbours(gathered[0], gathered[1], {**own.facts, "processes": ranks})

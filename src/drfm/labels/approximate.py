"""Approximate neighbours for pools of millions, with their recall measured."""

import numpy as np
import torch

from drfm.errors import DrfmError
from drfm.labels.neighbours import Neighbours
from drfm.labels.similarity import FloatRows

SAMPLE = 256
"""Queries that the recall is measured on."""


def k_nearest_with_faiss(rows: FloatRows, asked: FloatRows, k: int, *, probes: int = 32) -> Neighbours:
    """Neighbours from an inverted file of faiss (``IndexIVFFlat``).

    Similarities are faiss's own float32 products. A query with fewer than k results is given its best
    one again for the rest. ``facts["recall"]`` is the share of true neighbours found for 256 queries.

    Args:
        rows: ``(N, D)`` float32 rows of unit length.
        asked: ``(Q, D)`` queries.
        k: neighbours, at most N.
        probes: cells searched a query.

    Raises:
        DrfmError: faiss is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise DrfmError("method = faiss: faiss is not installed; install drfm[search]") from None
    from drfm.labels.neighbours import k_nearest

    if not len(asked) or not k:
        return Neighbours(np.empty((len(asked), k), np.int32), np.empty((len(asked), k), np.float32))
    faiss.omp_set_num_threads(torch.get_num_threads())
    cells = max(1, min(int(4 * len(rows) ** 0.5), len(rows) // 39))
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], cells, faiss.METRIC_INNER_PRODUCT
    )
    index.train(rows[:: max(1, len(rows) // (64 * cells))])
    index.add(rows)
    index.nprobe = min(probes, cells)
    near, best = index.search(asked, k)
    missing = best < 0
    which = np.asarray(np.where(missing, best[:, :1], best), np.int32)
    near = np.where(missing, near[:, :1], near).astype(np.float32)
    some = np.arange(0, len(asked), max(1, len(asked) // SAMPLE))[:SAMPLE]
    truth = k_nearest(rows, k, queries=asked[some]).index
    found = [len(np.intersect1d(a, b)) for a, b in zip(which[some], truth, strict=True)]
    facts = {
        "method": "faiss",
        "cells": cells,
        "probes": int(index.nprobe),
        "recall": float(np.mean(found) / k),
    }
    return Neighbours(which, near, facts)

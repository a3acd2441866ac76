"""Pseudo-labels with dense N x N matrices, as public code of the field computes them.

A re-implementation of our own from the description of the algorithm: neighbours by
a flat index, a dense float32 weight matrix, one numpy row at a time. Tests compare
with it, and the benchmark measures it. Nothing in the package uses it.
"""

import numpy as np


def exact_ranks(features, k):
    """The k nearest rows, ties by index: float64 products rounded to float32, a stable sort."""
    near = similarities(features)
    return np.argsort(-near, axis=1, kind="stable")[:, :k]


def similarities(features):
    wide = features.astype(np.float64)
    return (wide @ wide.T).astype(np.float32)


def flat_ranks(features, k):
    """The k nearest rows by faiss's flat index where it is installed, else by blocked numpy products."""
    try:
        import faiss
    except ImportError:
        parts = []
        for start in range(0, len(features), 1024):
            near = features[start : start + 1024] @ features.T
            best = np.argpartition(-near, k - 1, axis=1)[:, :k]
            order = np.argsort(-np.take_along_axis(near, best, 1), axis=1, kind="stable")
            parts.append(np.take_along_axis(best, order, 1))
        return np.concatenate(parts)
    index = faiss.IndexFlatL2(features.shape[1])
    index.add(features)
    return index.search(features, k)[1]


def reciprocal(rank, i, k):
    forward = rank[i, :k]
    backward = rank[forward, :k]
    return forward[np.where(backward == i)[0]]


def weights(features, rank, k1, k2):
    """Dense ``(N, N)`` float32 weights of the expanded k-reciprocal sets, after query expansion."""
    count = len(features)
    half = int(np.around(k1 / 2)) + 1
    sets = [reciprocal(rank, i, rank.shape[1]) for i in range(count)]
    halves = [reciprocal(rank, i, half) for i in range(count)]
    dense = np.zeros((count, count), np.float32)
    for i in range(count):
        expanded = sets[i]
        for j in sets[i]:
            if len(np.intersect1d(halves[j], sets[i])) > 2 / 3 * len(halves[j]):
                expanded = np.append(expanded, halves[j])
        expanded = np.unique(expanded)
        distance = 2 - 2 * (features[i : i + 1] @ features[expanded].T)[0]
        weight = np.exp(-distance)
        dense[i, expanded] = weight / weight.sum()
    if k2 > 1:
        averaged = np.zeros_like(dense)
        for i in range(count):
            averaged[i] = dense[rank[i, :k2]].mean(axis=0)
        dense = averaged
    return dense


def distances(dense):
    """Dense ``(N, N)`` float32 Jaccard distances of weight rows."""
    count = len(dense)
    holders = [np.where(dense[:, j] != 0)[0] for j in range(count)]
    jaccard = np.zeros((count, count), np.float32)
    for i in range(count):
        common = np.zeros(count, np.float32)
        for j in np.where(dense[i] != 0)[0]:
            common[holders[j]] += np.minimum(dense[i, j], dense[holders[j], j])
        jaccard[i] = 1 - common / (2 - common)
    jaccard[jaccard < 0] = 0
    return jaccard


def jaccard(features, k1, k2, reading="inclusive", ranks=exact_ranks):
    rank = ranks(features, min(k1 if reading == "inclusive" else k1 + 1, len(features)))
    return distances(weights(features, rank, k1, min(k2, len(features))))


def labels(features, k1, k2, eps, min_samples, reading="inclusive", ranks=exact_ranks):
    """scikit-learn's DBSCAN on the dense matrix."""
    from sklearn.cluster import DBSCAN

    matrix = jaccard(features, k1, k2, reading, ranks)
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed", n_jobs=-1).fit_predict(matrix)

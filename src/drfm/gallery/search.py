"""Searching a gallery: plain, with query expansion, re-ranked, by camera, one image a track."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from drfm.errors import DrfmError
from drfm.gallery.codes import Rows
from drfm.gallery.exact import best
from drfm.gallery.items import Filter
from drfm.gallery.store import EVERYTHING, Hit, Store, checked, checked_k

POWER = 3
"""Power of the similarity that weights the images which expand a query (Radenovic et al., TPAMI 2018)."""
UNKNOWN = ""
"""In a filter and as a group: images without a camera, person or track."""


@dataclass(frozen=True)
class Search:
    """How a gallery is searched.

    Attributes:
        k: images in the answer, for each camera where ``by_camera`` is set.
        where: images that take part.
        expand: nearest images that are averaged into the query before it is searched for again; 0 for none.
        rerank: nearest images that k-reciprocal re-ranking puts in a new order, at least k; 0 for none.
        one_per_track: keep the best image of each track alone; an image without a track is one by itself.
        by_camera: an answer for each camera.
    """

    k: int = 10
    where: Filter = EVERYTHING
    expand: int = 0
    rerank: int = 0
    one_per_track: bool = False
    by_camera: bool = False

    def __post_init__(self) -> None:
        checked_k(self.k)
        if self.expand < 0:
            raise DrfmError(f"expand = {self.expand}: give 0 for none, or the images to average")
        if self.rerank and self.rerank < self.k:
            raise DrfmError(f"rerank = {self.rerank}: give at least k = {self.k}, or 0 for none")


def search(store: Store, queries: Rows, how: Search | None = None) -> list[list[Hit]]:
    """Answers to ``(Q, D)`` unit rows, best first; with ``by_camera``, camera after camera.

    Similarities are those to the query as given, in whatever order the images are.
    """
    how = how or Search()
    asked = checked(queries, store.size, what="query")
    if not (how.expand or how.rerank or how.one_per_track or how.by_camera):
        return store.search(asked, how.k, how.where)
    return [_one(store, asked[q : q + 1], how) for q in range(len(asked))]


def _one(store: Store, query: Rows, how: Search) -> list[Hit]:
    used = expanded(store, query, how.expand, how.where) if how.expand else query
    found: list[Hit] = []
    for where in _groups(store, how):
        near = _nearest(store, used, where, how)
        if how.rerank:
            near = _reranked(store, used, near)
        found += near[: how.k]
    if not how.expand or not found:
        return found
    vectors = store.vectors([hit.id for hit in found])
    order, similarity = best(query[0], vectors, len(found))
    by_place = dict(zip(order.tolist(), similarity.tolist(), strict=True))
    return [replace(hit, similarity=by_place[at]) for at, hit in enumerate(found)]


def _groups(store: Store, how: Search) -> list[Filter]:
    if not how.by_camera:
        return [how.where]
    cameras: Sequence[str] = how.where.camera or [*store.names("camera"), UNKNOWN]
    return [replace(how.where, camera=(camera,)) for camera in cameras]


def _nearest(store: Store, query: Rows, where: Filter, how: Search) -> list[Hit]:
    """The nearest images, as many as the answer or its re-ranking takes, one a track if asked."""
    wanted = max(how.k, how.rerank)
    if not how.one_per_track:
        return store.search(query, wanted, where)[0]
    count = 4 * wanted
    while True:
        near = store.search(query, count, where)[0]
        best: dict[str | int, Hit] = {}
        for hit in near:
            best.setdefault(hit.item.track if hit.item.track is not None else hit.id, hit)
        if len(best) >= wanted or len(near) < count:
            return list(best.values())[:wanted]
        count *= 4


def expanded(store: Store, query: Rows, count: int, where: Filter = EVERYTHING) -> Rows:
    """The query plus its ``count`` nearest images, each weighted by a power of its similarity; ``(1, D)``.

    Average query expansion (Chum et al., ICCV 2007) with the weights of Radenovic et al. (TPAMI 2018).
    """
    near = [hit for hit in store.search(query, count, where)[0] if hit.similarity > 0]
    if not near:
        return query
    weight = np.array([hit.similarity for hit in near], np.float64) ** POWER
    total = query[0] + weight @ store.vectors([hit.id for hit in near]).astype(np.float64)
    return np.asarray(total / np.linalg.norm(total), np.float32)[None]


def _reranked(store: Store, query: Rows, near: list[Hit]) -> list[Hit]:
    """The same images by k-reciprocal re-ranking among themselves and the query, with torch."""
    import torch

    from drfm.evaluation.rerank import K1, K2, reranked_blocks

    if len(near) < 2:
        return near
    gallery = torch.from_numpy(np.ascontiguousarray(store.vectors([hit.id for hit in near])))
    k1 = min(K1, len(near))
    score = next(reranked_blocks(torch.from_numpy(query.copy()), gallery, k1=k1, k2=min(K2, k1)))[0]
    return [near[at] for at in np.argsort(-score, kind="stable")]

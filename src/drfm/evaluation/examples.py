"""Ranked lists to look at: a few queries that went well and a few that went wrong."""

from dataclasses import dataclass

import numpy as np

from drfm.data.records import DISTRACTOR
from drfm.errors import DrfmError
from drfm.evaluation.ranking import Labels, rank, similarity_blocks
from drfm.models.features import Features


@dataclass(frozen=True)
class Example:
    """One query and the head of its ranking.

    Attributes:
        query: row of the query.
        gallery: rows of the gallery images, best first.
        right: whether each of them shows the query's person.
        similarity: cosine similarity of each.
        first: rank of the first match in the full gallery, from 1.
    """

    query: int
    gallery: tuple[int, ...]
    right: tuple[bool, ...]
    similarity: tuple[float, ...]
    first: int


def ranked_examples(
    features_query: Features,
    features_gallery: Features,
    query: Labels,
    gallery: Labels,
    *,
    count: int = 6,
    top: int = 5,
    features: str = "fused",
    seed: int = 0,
) -> list[Example]:
    """Queries drawn at random, half with a match in first place and half without, as far as there are such.

    The draw does not look at anything but success, so that what is shown is typical of its half. One query a
    person. The gallery is ranked as in the multi-shot protocol: junk and the query's person in the query's
    camera are left out, ties count against the method.

    Args:
        features_query: space name to ``(Q, D)`` float32 unit rows.
        features_gallery: the same spaces, ``(G, D)``.
        query: persons and cameras of the queries.
        gallery: persons and cameras of the gallery.
        count: examples to give; successes come first.
        top: gallery images an example.
        features: test feature, a key of ``drfm.evaluation.protocol.FEATURES``, or what stands in for it.
        seed: of the draw.

    Raises:
        DrfmError: no query has a match, or ``count`` or ``top`` is below 1.
    """
    from drfm.evaluation.evaluate import feature_of, headline_of

    if count < 1 or top < 1:
        raise DrfmError(f"count = {count}, top = {top}: give 1 or more")
    name = headline_of(features_query, features)
    rows, columns = feature_of(features_query, name), feature_of(features_gallery, name)
    ranking = rank(similarity_blocks(rows, columns), query, gallery)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(ranking.valid))
    _, once = np.unique(query.persons[order], return_index=True)
    order = order[np.sort(once)]
    good, bad = order[ranking.first[order] == 1], order[ranking.first[order] > 1]
    wrong = min(len(bad), max(count // 2, count - len(good)))
    picked = [*good[: count - wrong], *bad[:wrong]]
    found = []
    for q in picked:
        similarity = (rows[q : q + 1] @ columns.T)[0].cpu().numpy()
        match = gallery.persons == query.persons[q]
        usable = (gallery.persons >= 0) | (gallery.persons == DISTRACTOR)
        usable &= ~(match & (gallery.cameras == query.cameras[q]) & (query.cameras[q] >= 0))
        best = np.lexsort((match, -similarity))
        best = best[usable[best]][:top]
        found.append(
            Example(
                query=int(q),
                gallery=tuple(best.tolist()),
                right=tuple(match[best].tolist()),
                similarity=tuple(similarity[best].tolist()),
                first=int(ranking.first[q]),
            )
        )
    return found

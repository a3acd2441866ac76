"""Ranked lists to look at: a few queries that went well, a few that went wrong, and the worst."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from drfm.data.records import DISTRACTOR
from drfm.errors import DrfmError
from drfm.evaluation.evaluate import feature_of, headline_of
from drfm.evaluation.kernels import IntArray
from drfm.evaluation.ranking import Labels, Ranking, rank, similarity_blocks
from drfm.models.features import Features


@dataclass(frozen=True)
class Example:
    """One query and the head of its ranking.

    Attributes:
        query: row of the query.
        gallery: rows of the gallery images, best first.
        right: whether each of them shows the query's person; empty where that is not known.
        similarity: cosine similarity of each.
        first: rank of the first match in the full gallery, from 1; 0 where that is not known.
        match: row of that match, or -1.
    """

    query: int
    gallery: tuple[int, ...]
    right: tuple[bool, ...]
    similarity: tuple[float, ...]
    first: int
    match: int = -1


@dataclass(frozen=True)
class RankedLists:
    """A gallery ranked for every query, as in the multi-shot protocol.

    Junk and the query's person in the query's camera are left out; ties count against the method.

    Attributes:
        rows: ``(Q, D)`` float32 rows of the test feature.
        columns: ``(G, D)`` the same of the gallery.
        query: persons and cameras of the queries.
        gallery: persons and cameras of the gallery.
        ranking: ranks of the matches.
    """

    rows: Tensor
    columns: Tensor
    query: Labels
    gallery: Labels
    ranking: Ranking

    @classmethod
    def of(
        cls,
        features_query: Features,
        features_gallery: Features,
        query: Labels,
        gallery: Labels,
        features: str = "fused",
    ) -> "RankedLists":
        """Rank the gallery for every query.

        Args:
            features_query: space name to ``(Q, D)`` float32 unit rows.
            features_gallery: the same spaces, ``(G, D)``.
            query: persons and cameras of the queries.
            gallery: persons and cameras of the gallery.
            features: test feature, a key of ``drfm.evaluation.protocol.FEATURES``, or what stands in for it.

        Raises:
            DrfmError: no query has a match.
        """
        name = headline_of(features_query, features)
        rows, columns = feature_of(features_query, name), feature_of(features_gallery, name)
        return cls(rows, columns, query, gallery, rank(similarity_blocks(rows, columns), query, gallery))

    def typical(self, count: int = 6, top: int = 5, seed: int = 0) -> list[Example]:
        """Queries drawn at random, as far as possible half with a match in first place and half without.

        The draw does not look at anything but success, so that what is shown is typical of its half. One
        query a person; successes come first.

        Raises:
            DrfmError: ``count`` or ``top`` is below 1.
        """
        first = self.ranking.first
        order = self._one_a_person(
            np.random.default_rng(seed).permutation(np.flatnonzero(self.ranking.valid))
        )
        good, bad = order[first[order] == 1], order[first[order] > 1]
        wrong = min(len(bad), max(count // 2, count - len(good)))
        return self._lists([*good[: count - wrong], *bad[:wrong]], count, top)

    def hardest(self, count: int = 6, top: int = 5) -> list[Example]:
        """The queries whose first match stands last, worst first; one a person, and none that succeeded.

        Raises:
            DrfmError: ``count`` or ``top`` is below 1.
        """
        first = self.ranking.first
        failed = np.flatnonzero(self.ranking.valid & (first > 1))
        return self._lists(
            self._one_a_person(failed[np.argsort(-first[failed], kind="stable")])[:count], count, top
        )

    def _one_a_person(self, order: IntArray) -> IntArray:
        _, once = np.unique(self.query.persons[order], return_index=True)
        return order[np.sort(once)]

    def _lists(self, queries: Sequence[int] | IntArray, count: int, top: int) -> list[Example]:
        if count < 1 or top < 1:
            raise DrfmError(f"count = {count}, top = {top}: give 1 or more")
        return [self._list(int(query), top) for query in queries]

    def _list(self, q: int, top: int) -> Example:
        similarity = (self.rows[q : q + 1] @ self.columns.T)[0].cpu().numpy()
        persons, cameras = self.gallery.persons, self.gallery.cameras
        match = persons == self.query.persons[q]
        usable = (persons >= 0) | (persons == DISTRACTOR)
        usable &= ~(match & (cameras == self.query.cameras[q]) & (self.query.cameras[q] >= 0))
        best = np.lexsort((match, -similarity))
        best = best[usable[best]]
        head = best[:top]
        return Example(
            query=q,
            gallery=tuple(head.tolist()),
            right=tuple(match[head].tolist()),
            similarity=tuple(similarity[head].tolist()),
            first=int(self.ranking.first[q]),
            match=int(best[match[best]][0]),
        )


def nearest(rows: Tensor, columns: Tensor, *, count: int = 6, top: int = 5, seed: int = 0) -> list[Example]:
    """Queries drawn at random with the gallery images nearest to them, where no identity is known.

    Args:
        rows: ``(Q, D)`` float32 rows of the test feature.
        columns: ``(G, D)`` the same of the gallery.
        count: queries.
        top: gallery images a query.
        seed: of the draw.
    """
    found = []
    for q in np.random.default_rng(seed).permutation(len(rows))[:count].tolist():
        similarity, order = (rows[q : q + 1] @ columns.T)[0].cpu().sort(descending=True, stable=True)
        head = tuple(order[:top].tolist())
        found.append(Example(q, head, (), tuple(similarity[:top].tolist()), first=0))
    return found

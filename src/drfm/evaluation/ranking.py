"""Ranks of the matches of every query, in one pass over blocks of similarities.

The product of a block of queries with the gallery is ranked while it is warm and then
thrown away: no distance matrix is stored. Ties count against the method: an image of
another person that is exactly as similar as a match stands before it.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.data.records import DISTRACTOR
from drfm.errors import DrfmError
from drfm.evaluation.expectation import TOP
from drfm.evaluation.kernels import FloatArray, IntArray, Lottery, Scoreboard, Sides, rank_rows
from drfm.labels.parallel import libraries, numpy_multiplies_faster

BLOCK = 256
"""Queries in a block: 16 MB of similarities against 16,000 gallery images."""


@dataclass(frozen=True)
class Labels:
    """What an evaluation knows of one side.

    Attributes:
        persons: ``(N,)`` int64 identities, or ``JUNK``, ``DISTRACTOR``, ``UNKNOWN`` of ``drfm.data.records``.
        cameras: ``(N,)`` int64, -1 where unknown. An unknown camera is never the same camera.
    """

    persons: IntArray
    cameras: IntArray

    def __post_init__(self) -> None:
        if len(self.persons) != len(self.cameras):
            raise DrfmError(
                f"{len(self.persons)} persons but {len(self.cameras)} cameras: give one of each per image"
            )

    def __len__(self) -> int:
        return len(self.persons)


@dataclass(frozen=True)
class Ranking:
    """What one pass says of each of the Q queries. Skipped queries hold zeros.

    Attributes:
        matches: ``(Q,)`` gallery images that count as matches; 0 marks a skipped query.
        first: ``(Q,)`` rank of the first match among all gallery images, from 1 (multi-shot).
        precision: ``(Q,)`` average precision: mean over matches of (matches so far) / rank.
        inverse: ``(Q,)`` inverse negative penalty: matches / rank of the last match (Ye et al., 2021).
        draws: ``(Q, R)`` rank of the match in each random gallery of one image a person.
        cmc: ``(Q, TOP)`` probability over all such galleries that the match is within rank k + 1.
        reciprocal: ``(Q,)`` expected 1 / rank over all such galleries.
        images: gallery images that took part.
        persons: persons among them; the size of a single-shot gallery.
    """

    matches: IntArray
    first: IntArray
    precision: FloatArray
    inverse: FloatArray
    draws: npt.NDArray[np.int32]
    cmc: FloatArray
    reciprocal: FloatArray
    images: int
    persons: int

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """``(Q,)`` queries with at least one match."""
        return self.matches > 0


def similarity_blocks(
    query: Tensor, gallery: Tensor, block: int = BLOCK
) -> Iterator[npt.NDArray[np.float32]]:
    """Products of ``(Q, D)`` with ``(G, D)`` float32 rows, ``(block, G)`` at a time, into one buffer."""
    columns = gallery.T
    buffer = torch.empty((min(block, len(query)), len(gallery)), device=query.device)
    by_numpy = not query.is_cuda and numpy_multiplies_faster()
    for start in range(0, len(query), block):
        rows = query[start : start + block]
        product = buffer[: len(rows)]
        if by_numpy:
            with libraries().limit(limits=torch.get_num_threads(), user_api="blas"):
                np.matmul(rows.numpy(), columns.numpy(), out=product.numpy())
        else:
            torch.mm(rows, columns, out=product)
        yield product.cpu().numpy()


def rank(
    blocks: Iterable[npt.NDArray[np.float32]],
    query: Labels,
    gallery: Labels,
    *,
    same_camera: bool = True,
    draws: int = 0,
    draw: Literal["shared", "per_query"] = "shared",
    seed: int = 0,
    expectation: bool = False,
) -> Ranking:
    """Rank the gallery for every query.

    Junk and unlabelled gallery images take no part. Distractors are never matches; they stand in the
    multi-shot ranking and, having no person, are in no single-shot gallery.

    Args:
        blocks: ``(B, G)`` float32 similarities of the queries in order, higher is closer; overwritten.
        query: persons and cameras of the Q queries.
        gallery: persons and cameras of the G gallery images.
        same_camera: leave out gallery images of the query's person from the query's camera, in draws too.
        draws: random galleries of one image a person.
        draw: one gallery a repetition for all queries, or a new one for each query. A query whose own
            person's image is left out by the camera rule takes the next of that person in the same draw.
        seed: of the random galleries.
        expectation: also give ``cmc`` and ``reciprocal``, the exact mean over all such galleries.

    Raises:
        DrfmError: a similarity is not finite, no gallery image has a person, or no query has a match.
    """
    sides, persons = _sides(query, gallery, same_camera)
    lottery = _lottery(sides, len(gallery), draws, draw, seed, expectation)
    count = len(query)
    board = Scoreboard(
        matches=np.zeros(count, np.int64),
        first=np.zeros(count, np.int64),
        precision=np.zeros(count),
        inverse=np.zeros(count),
        draws=np.zeros((count, draws), np.int32),
        cmc=np.zeros((count, TOP)),
        reciprocal=np.zeros(count),
    )

    def work(rows: npt.NDArray[np.float32], first: int) -> None:
        if not np.isfinite(rows.sum()):
            raise DrfmError("a similarity is not finite: the features hold NaN or infinity")
        rank_rows(np.ascontiguousarray(rows, np.float32), first, sides, lottery, board)

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        start = 0
        for block in blocks:
            cuts = np.linspace(0, len(block), min(threads, len(block)) + 1).astype(int).tolist()
            parts = [pool.submit(work, block[low:high], start + low) for low, high in pairwise(cuts)]
            for part in parts:
                part.result()
            start += len(block)
    if not board.matches.any():
        raise DrfmError(
            f"none of the {count} queries has a match in the gallery: check that both share persons "
            "and that these were seen by different cameras"
        )
    return Ranking(*board, images=len(gallery) - len(sides.ignored), persons=persons)


def _sides(query: Labels, gallery: Labels, same_camera: bool) -> tuple[Sides, int]:
    """Persons as the compiled loops want them, and how many there are."""
    persons = np.asarray(gallery.persons, dtype=np.int64)
    members = np.argsort(persons, kind="stable")
    members = members[persons[members] >= 0]
    if len(members) == 0:
        raise DrfmError("no gallery image has a person: evaluation needs identities")
    known, begins = np.unique(persons[members], return_index=True)
    place = np.minimum(np.searchsorted(known, query.persons), len(known) - 1)
    owner = np.full(len(persons), len(known), np.int32)
    owner[members] = np.searchsorted(known, persons[members])
    sides = Sides(
        person=np.where(known[place] == query.persons, place, -1).astype(np.int64),
        camera=np.asarray(query.cameras, dtype=np.int64),
        gallery_camera=np.asarray(gallery.cameras, dtype=np.int64),
        members=members,
        starts=np.append(begins, len(members)).astype(np.int64),
        owner=owner,
        ignored=np.flatnonzero((persons < 0) & (persons != DISTRACTOR)),
        same_camera=same_camera,
    )
    return sides, len(known)


def _lottery(sides: Sides, size: int, draws: int, draw: str, seed: int, expectation: bool) -> Lottery:
    shared = draw == "shared"
    chosen, priority = _galleries(sides, size, draws if shared else 0, seed)
    return Lottery(shared, np.uint64(seed), chosen, priority, expectation)


def _galleries(sides: Sides, size: int, draws: int, seed: int) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """``draws`` random galleries: the image of each person, and the order that chose it."""
    members, starts = sides.members, sides.starts
    random = np.random.default_rng(seed)
    priority = np.empty((draws, size), np.int32)
    chosen = np.empty((draws, len(starts) - 1), np.int64)
    image = np.empty(size, np.int64)
    for r in range(draws):
        priority[r] = random.permutation(size)
        image[priority[r]] = np.arange(size)
        chosen[r] = image[np.minimum.reduceat(priority[r, members], starts[:-1])]
    return chosen, priority

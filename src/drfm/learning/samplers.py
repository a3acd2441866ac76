"""Endless streams of batches of rows, which never fail on small data (E5, E6, E8)."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from drfm.config import SamplerConfig
from drfm.data.records import HR, LR
from drfm.errors import DrfmError

Rows = npt.NDArray[np.int64]
Classes = list[Rows]
Pass = Callable[[np.random.Generator], Rows]


def labelled_batches(
    labels: Rows,
    origin: npt.NDArray[np.int8],
    config: SamplerConfig,
    random: np.random.Generator,
    camera: Rows | None = None,
) -> Iterator[Rows]:
    """Batches of rows with a label, as the options E5 and E6 say.

    ``mixed`` gives ``config.batch`` rows of both origins, ``balanced`` half of them of each origin,
    ``double`` a whole batch of each, HR rows first. An origin without labelled rows leaves its
    share of a balanced batch to the other, and its batch of a double one out.

    Args:
        labels: ``(N,)`` int64, negative for rows that are never drawn.
        origin: ``(N,)`` ``HR`` or ``LR``.
        config: batch size, instances, kind and origins.
        random: the only source of randomness.
        camera: ``(N,)`` true cameras, for ``config.cameras: camera``.

    Raises:
        DrfmError: no row has a label.
    """
    if not (labels >= 0).any():
        raise DrfmError("no pair has a pseudo-label: there is nothing to draw a batch from")
    groups = _groups(origin, config, camera)
    present = [o for o in (HR, LR) if ((labels >= 0) & (origin == o)).any()]
    if config.origins == "mixed" or len(present) == 1:
        return _stream(labels, groups, config, config.batch, random)
    sizes = [config.batch - config.batch // 2, config.batch // 2]
    if config.origins == "double":
        sizes = [config.batch, config.batch]
    return _side_by_side(
        [
            _stream(np.where(origin == o, labels, -1), groups, config, size, random)
            for o, size in zip((HR, LR), sizes, strict=True)
        ]
    )


def ambiguous_batches(
    rows: Rows, guess: Rows, batch: int, sampling: Literal["uniform", "balanced"], random: np.random.Generator
) -> Iterator[Rows]:
    """Batches of ambiguous rows (E8); empty ones for ever where there are none.

    ``uniform`` goes through a random order and makes a new one when it is exhausted; ``balanced``
    goes through the most likely classes in random order with one random row of each. Batches are
    always full, so rows repeat where there are fewer than ``batch``.

    Args:
        rows: ``(A,)`` int64.
        guess: ``(N,)`` int64, most likely class of every row of the table.
        batch: rows in a batch.
        sampling: see above.
        random: the only source of randomness.
    """
    if len(rows) == 0:
        return _nothing()
    if sampling == "uniform":
        return _continuous(lambda generator: generator.permutation(rows), batch, random)
    classes = _split(rows, guess[rows])
    return _continuous(lambda generator: _pk_pass(classes, 1, generator), batch, random)


def random_batches(rows: Rows, batch: int, random: np.random.Generator) -> Iterator[Rows]:
    """Full batches of ``(n,)`` rows, n >= 1, in random order, a new order when one is exhausted."""
    return _continuous(lambda generator: generator.permutation(rows), batch, random)


def _groups(origin: npt.NDArray[np.int8], config: SamplerConfig, camera: Rows | None) -> Rows:
    if config.cameras == "camera":
        assert camera is not None
        return camera
    return np.zeros(len(origin), np.int64) if config.cameras == "none" else origin.astype(np.int64)


def _stream(labels: Rows, groups: Rows, config: SamplerConfig, batch: int,
            random: np.random.Generator) -> Iterator[Rows]:  # fmt: skip
    rows = np.flatnonzero(labels >= 0)
    if config.kind == "random":
        return _cut(lambda generator: generator.permutation(rows), batch, random)
    classes = _split(rows, labels[rows])
    if config.kind == "pk":
        return _cut(lambda generator: _pk_pass(classes, config.instances, generator), batch, random)
    if config.kind == "each_camera":
        return _cut(
            lambda generator: _camera_pass(classes, groups, config.instances, generator), batch, random
        )
    return _cut(lambda generator: _gallery_pass(classes, groups, config.instances, generator), batch, random)


def _split(rows: Rows, labels: Rows) -> Classes:
    """The rows of each class, classes in ascending order."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(rows[order], starts)


def _draw(pool: Rows, number: int, random: np.random.Generator, replace_below: int) -> Rows:
    return random.choice(pool, size=number, replace=len(pool) < replace_below)


def _gallery_pass(classes: Classes, groups: Rows, instances: int, random: np.random.Generator) -> Rows:
    """One pass of the random multiple gallery sampler, with groups in the place of the cameras.

    Of each class an anchor, then K - 1 rows of other groups, or of the class without the anchor
    where there is no other group; with replacement where the pool has fewer than K rows. A class
    of one row gives that row alone.
    """
    parts = []
    for index in random.permutation(len(classes)):
        members = classes[index]
        anchor = members[random.integers(len(members))]
        parts.append(np.array([anchor]))
        pool = members[groups[members] != groups[anchor]]
        if len(pool) == 0:
            pool = members[members != anchor]
        if len(pool) and instances > 1:
            parts.append(_draw(pool, instances - 1, random, replace_below=instances))
    return np.concatenate(parts)


def _camera_pass(classes: Classes, groups: Rows, instances: int, random: np.random.Generator) -> Rows:
    """One pass of the sampler of ICE (ICCV 2021), with groups as :func:`_gallery_pass` has them.

    Of each class a random row of every group, K of these where there are more groups than K; what K still
    lacks comes from the other rows, with replacement where they are too few. A class of one repeats.
    """
    parts = []
    for index in random.permutation(len(classes)):
        members = random.permutation(classes[index])
        chosen = members[np.unique(groups[members], return_index=True)[1]]
        if len(chosen) > instances:
            chosen = random.choice(chosen, size=instances, replace=False)
        lacking = instances - len(chosen)
        if lacking:
            others = np.setdiff1d(members, chosen)
            pool = others if len(others) else members
            chosen = np.concatenate([chosen, _draw(pool, lacking, random, replace_below=lacking)])
        parts.append(chosen)
    return np.concatenate(parts)


def _pk_pass(classes: Classes, instances: int, random: np.random.Generator) -> Rows:
    """K rows of each class in random order of classes; with replacement where a class has fewer."""
    order = random.permutation(len(classes))
    return np.concatenate([_draw(classes[i], instances, random, replace_below=instances) for i in order])


def _cut(one_pass: Pass, batch: int, random: np.random.Generator) -> Iterator[Rows]:
    """Consecutive batches of each pass; what a pass leaves over is dropped, unless it was all of it.

    Passes shorter than a batch are strung together until they fill one.
    """
    while True:
        rows = one_pass(random)
        while len(rows) < batch:
            rows = np.concatenate([rows, one_pass(random)])
        for start in range(0, len(rows) - batch + 1, batch):
            yield rows[start : start + batch]


def _continuous(one_pass: Pass, batch: int, random: np.random.Generator) -> Iterator[Rows]:
    """Consecutive batches of an endless row of passes; nothing is dropped."""
    rows = one_pass(random)
    while True:
        while len(rows) < batch:
            rows = np.concatenate([rows, one_pass(random)])
        yield rows[:batch]
        rows = rows[batch:]


def _side_by_side(streams: list[Iterator[Rows]]) -> Iterator[Rows]:
    while True:
        yield np.concatenate([next(stream) for stream in streams])


def _nothing() -> Iterator[Rows]:
    while True:
        yield np.empty(0, dtype=np.int64)

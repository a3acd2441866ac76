"""A benchmark with its pairs in the image store, and the device that works on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from drfm.config import Config, ImagesConfig
from drfm.data.manifest import load_benchmark
from drfm.data.records import Benchmark, Entry, persons
from drfm.errors import DrfmError
from drfm.evaluation.ranking import Labels
from drfm.files import fingerprint
from drfm.resolution.downsample import RANDOM_RATES
from drfm.resolution.pairs import PairSet
from drfm.resolution.store import open_pairs


@dataclass(frozen=True)
class Part:
    """Training, query or gallery images: pairs for the model, identities for reporting only."""

    pairs: PairSet
    labels: Labels


@dataclass(frozen=True)
class TestSet:
    """Query and gallery."""

    query: Part
    gallery: Part


@dataclass(frozen=True)
class Prepared:
    """A benchmark whose pairs are in the store.

    Attributes:
        benchmark: its split.
        train: training images.
        test: query and gallery; ``None`` for unlabelled data.
        skipped: names of images that were left out because they cannot be used.
    """

    benchmark: Benchmark
    train: Part
    test: TestSet | None
    skipped: tuple[str, ...] = ()


def prepare(folder: Path, config: Config, cache: Path, *, split: int = 0, skip_bad: bool = False) -> Prepared:
    """Open a benchmark and put its pairs into the image store under ``cache``.

    Raises:
        DrfmError: the benchmark does not match its manifest, or an image cannot be read.
    """
    # The store compares each file with its checksum anyway, and is the one that can skip.
    benchmark = load_benchmark(folder, split, verify=not skip_bad)

    def part(entries: Sequence[Entry], training: bool = False) -> Part:
        return open_part(entries, config, cache, skip_bad=skip_bad, training=training)

    train, test = part(benchmark.train, training=True), None
    if benchmark.query and benchmark.gallery:
        test = TestSet(part(benchmark.query), part(benchmark.gallery))
    return Prepared(benchmark, train, test, _skipped(benchmark, train, test))


def open_part(
    entries: Sequence[Entry], config: Config, cache: Path, *, skip_bad: bool = False, training: bool = False
) -> Part:
    """Entries of a benchmark as pairs of the image store, with their identities for reporting.

    Args:
        entries: of the benchmark.
        config: the run.
        cache: folder of the image store.
        skip_bad: leave out unreadable images.
        training: with the twins that ``images.twin_rates: several`` trains on.

    Raises:
        DrfmError: as :func:`drfm.resolution.store.open_pairs`.
    """

    def opened(images: ImagesConfig) -> PairSet:
        return open_pairs(
            entries,
            images,
            cache,
            seed=config.seed,
            workers=config.train.workers,
            skip_bad=skip_bad,
            device=config.train.device,
        )

    pairs = opened(config.images)
    if training and config.images.twin_rates == "several":
        pairs = _with_twins(pairs, config.images, opened)
    known = dict(zip((entry.name for entry in entries), persons(entries).tolist(), strict=True))
    identities = np.array([known[name] for name in pairs.names], dtype=np.int64)
    return Part(pairs, Labels(persons=identities, cameras=pairs.camera))


def _with_twins(pairs: PairSet, images: ImagesConfig, opened: Callable[[ImagesConfig], PairSet]) -> PairSet:
    """The pairs with the twins of the other rates; each rate has a store of its own."""
    rates = [rate for rate in RANDOM_RATES if rate != images.twin_rate]
    others = [opened(replace(images, twin_rate=rate)) for rate in rates]
    facts = {**pairs.facts, "twin_rates": sorted([images.twin_rate, *rates])}
    key = fingerprint([each.key for each in (pairs, *others)])
    return replace(pairs, key=key, facts=facts, twins=tuple(each.lr for each in others))


def _skipped(benchmark: Benchmark, train: Part, test: TestSet | None) -> tuple[str, ...]:
    opened = [(benchmark.train, train)]
    if test is not None:
        opened += [(benchmark.query, test.query), (benchmark.gallery, test.gallery)]
    lost = [{entry.name for entry in entries} - set(part.pairs.names) for entries, part in opened]
    return tuple(sorted(set().union(*lost)))


def choose_device(name: str) -> torch.device:
    """The device that ``train.device`` names; ``auto`` takes a GPU if there is one.

    Raises:
        DrfmError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DrfmError(f"train.device = {name}: give auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DrfmError(f"train.device = {name}: this machine has no such GPU; give cpu or auto")
    return device

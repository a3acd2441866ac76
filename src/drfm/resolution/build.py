"""Filling an image store: decode, make the twin, resize, write; in parallel, chunk by chunk."""

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from drfm.config.schema import ImagesConfig
from drfm.data.imagefile import decode_image, read_image_bytes
from drfm.data.parallel import ahead
from drfm.data.records import Entry, Resolution
from drfm.errors import DrfmError
from drfm.progress import progress_bar
from drfm.resolution.degradation import degrade
from drfm.resolution.downsample import downsample, resize, sr_rate, twin_rate
from drfm.resolution.finished import Finished, digest
from drfm.resolution.layout import SPACES, Layout, Sums
from drfm.resolution.superresolve import SuperResolver

Image = npt.NDArray[np.uint8]
TOGETHER = 512
"""LR captures that are collected for a network before it runs,"""
CHUNKS_TOGETHER = 16
"""and chunks at most, which wait in memory."""
RESIZERS = 4
"""Threads that bring super-resolved images to their size."""
NETWORK_PIXELS = 1 << 20
"""LR captures with more pixels are refused, as a network's memory grows with them."""


class BadImagesError(DrfmError):
    """Images that cannot be decoded, or that are not those of the manifest.

    Attributes:
        names: manifest names of all of them.
    """

    def __init__(self, reasons: Sequence[tuple[str, str]], total: int) -> None:
        self.names = tuple(name for name, _ in reasons)
        shown = "; ".join(reason for _, reason in reasons[:3])
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        super().__init__(
            f"{len(reasons)} of {total} images cannot be used: {shown}{more}; "
            "restore or remove them, or ask to skip them (skip_bad, --skip-bad)"
        )


@dataclass(frozen=True)
class Recipe:
    """Everything that a process needs to render chunks of one store.

    Attributes:
        layout: where the rows go.
        entries: the images, in row order.
        images: sizes, kernel and rates.
        seed: of random twin rates.
        resolver: back end for LR captures, or None to leave their HR images to the parent process.
    """

    layout: Layout
    entries: tuple[Entry, ...]
    images: ImagesConfig
    seed: int
    resolver: SuperResolver | None


@dataclass
class Rendered:
    """What became of a chunk: its checksums, or what is left to do before it can be written.

    Attributes:
        chunk: index of the chunk.
        sums: CRC-32 of its rows once both files hold them.
        bad: (name, reason) of its unusable images; with any, nothing is written.
        pending: row within the chunk and native image of LR captures that await a network.
        hr: ``(rows, H, W, 3)`` uint8, in which the pending rows are empty.
    """

    chunk: int
    sums: Sums | None = None
    bad: list[tuple[str, str]] = field(default_factory=list)
    pending: list[tuple[int, Image]] = field(default_factory=list)
    hr: Image | None = None
    lr_sum: int = 0


def load(entry: Entry) -> Image:
    """The capture of ``entry``, ``(H, W, 3)`` uint8 RGB, once its bytes agree with the manifest.

    Raises:
        DrfmError: the file is missing, cannot be decoded, or has another checksum than the manifest says.
    """
    data = read_image_bytes(entry.path)
    if entry.sha256 and hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DrfmError(f"{entry.path}: differs from the manifest (sha256); restore it or build again")
    return decode_image(data, entry.path)


def twins(entry: Entry, recipe: Recipe) -> tuple[Image | None, Image, Image]:
    """HR-space image, LR-space image and native capture; the first is None if it awaits a network."""
    capture = load(entry)
    if entry.resolution == "hr":
        rate = twin_rate(entry.name, recipe.seed, recipe.images)
    else:
        rate = entry.rate
        if recipe.resolver is None and capture.shape[0] * capture.shape[1] > NETWORK_PIXELS:
            raise DrfmError(
                f"{entry.path}: {capture.shape[0]}x{capture.shape[1]} pixels are too many to super-resolve "
                f"(limit {NETWORK_PIXELS}); crop it, or count it among the sharp images"
            )
    high, low = pair_images(capture, entry.resolution, rate, recipe.images, recipe.resolver)
    return high, low, capture


def pair_images(
    capture: Image, resolution: Resolution, rate: int, options: ImagesConfig, resolver: SuperResolver | None
) -> tuple[Image | None, Image]:
    """The two images of a pair, of the sizes that ``options`` names, from its native capture.

    Twins are made from the native capture (x^sl by down-sampling, x^sh by super-resolution,
    section 3.1 of the paper) and only then brought to the sizes of the encoders.

    Args:
        capture: ``(H, W, 3)`` uint8 RGB.
        resolution: which of the two the capture is.
        rate: of the down-sampled twin; of an LR capture the rate that made it, 1 where unknown.
        options: sizes, kernel and rates.
        resolver: back end for LR captures, or None to leave the HR-space image to the caller.

    Returns:
        HR-space image, None for an LR capture without a resolver; and LR-space image.
    """
    high: Image | None
    if resolution == "hr":
        high, low = resize(capture, options.hr_size, options.kernel), _twin(capture, rate, options)
    else:
        low = capture
        high = None if resolver is None else hr_space(resolver([capture])[0], capture, rate, options)
    return high, resize(low, options.lr_size, options.kernel)


def _twin(capture: Image, rate: int, options: ImagesConfig) -> Image:
    if options.twin_degradation == "benchmark":
        return downsample(capture, rate, options.kernel)
    # From the pixels, so that a capture has the same twin in every store and in a search later.
    seed = list(hashlib.blake2b(np.ascontiguousarray(capture).data, digest_size=16).digest())
    random = np.random.default_rng(seed)
    return degrade(capture, rate, kind=options.twin_degradation, kernel=options.kernel, random=random)


def hr_space(large: Image, capture: Image, known_rate: int, options: ImagesConfig) -> Image:
    """A super-resolved capture as HR-space image: reduced to its own rate if asked, and resized.

    Args:
        large: ``(r H, r W, 3)`` uint8 from the back end of rate r.
        capture: ``(H, W, 3)`` uint8.
        known_rate: that made the capture; 1 where unknown.
        options: sizes, kernel and rates.
    """
    rate = sr_rate(capture.shape[0], known_rate, options)
    if rate < options.sr_rate:
        large = resize(large, (capture.shape[0] * rate, capture.shape[1] * rate), options.kernel)
    return resize(large, options.hr_size, options.kernel)


def render(recipe: Recipe, chunk: int) -> Rendered:
    """Render one chunk, and write it unless images of it are unusable or await a network."""
    layout, result = recipe.layout, Rendered(chunk)
    rows = layout.rows(chunk)
    hr, lr = (np.zeros((len(rows), *layout.shape(space)[1:]), dtype=np.uint8) for space in SPACES)
    for row, entry in enumerate(recipe.entries[rows.start : rows.stop]):
        try:
            high, lr[row], capture = twins(entry, recipe)
        except DrfmError as error:
            result.bad.append((entry.name, str(error)))
            continue
        if high is None:
            result.pending.append((row, capture))
        else:
            hr[row] = high
    if result.bad:
        result.pending.clear()
        return result
    result.lr_sum = layout.write("lr", chunk, lr)
    if result.pending:
        result.hr = hr
    else:
        result.sums = (layout.write("hr", chunk, hr), result.lr_sum)
    return result


def finish(recipe: Recipe, results: Sequence[Rendered], network: SuperResolver, finished: Finished) -> None:
    """Super-resolve the pending captures of chunks in batches, and write their HR-space images."""
    options, images, places = recipe.images, [], []
    for result in results:
        first = recipe.layout.rows(result.chunk).start
        for row, capture in result.pending:
            rate = recipe.entries[first + row].rate
            # All that the finished image depends on besides the folder's facts.
            images.append((capture, rate, digest(capture, sr_rate(capture.shape[0], rate, options))))
            places.append((result, row))
    new = {key: (capture, rate) for capture, rate, key in images if finished.get(key) is None}
    todo = list(new.items())

    def reduced(result: tuple[int, Image]) -> tuple[bytes, Image]:
        key, (capture, rate) = todo[result[0]]
        return key, hr_space(result[1], capture, rate, options)

    with progress_bar("super-resolution", len(todo)) as bar:
        large = network.stream([capture for _, (capture, _) in todo])
        # Resized by threads, so that a fast network does not wait for it. One on this processor uses all its
        # cores: a thread beside it takes one of them, and the others wait for that one.
        threads = partial(ahead, workers=RESIZERS, depth=2 * RESIZERS)
        for key, image in (threads if network.apart else map)(reduced, large):
            finished.add(key, image)
            bar.advance()
    for (result, row), (_, _, key) in zip(places, images, strict=True):
        kept = finished.get(key)
        assert result.hr is not None
        assert kept is not None
        result.hr[row] = kept
    for result in results:
        assert result.hr is not None
        result.sums = (recipe.layout.write("hr", result.chunk, result.hr), result.lr_sum)
        recipe.layout.record(result.chunk, result.sums)


def fill(
    recipe: Recipe,
    chunks: Sequence[int],
    resolver: SuperResolver | None,
    workers: int,
    finished: Finished | None = None,
) -> None:
    """Render ``chunks`` into the store and note each in the journal.

    Args:
        recipe: the store; its resolver is None if ``resolver`` is a network.
        chunks: indices of chunks that are not finished.
        resolver: back end for LR captures; None if there are none.
        workers: processes; 0 means one for each core, 1 means this one.
        finished: what a network has done before, and receives what it does; None without a network.

    Raises:
        BadImagesError: images are unusable; chunks without any are finished all the same.
        DrfmError: the disk is full, or a worker process died.
    """
    bad: list[tuple[str, str]] = []
    waiting: list[Rendered] = []
    total = sum(len(recipe.layout.rows(chunk)) for chunk in chunks)

    def super_resolve() -> None:
        if waiting:
            assert resolver is not None
            assert finished is not None
            finish(recipe, waiting, resolver, finished)
            waiting.clear()

    with progress_bar("images", total) as bar:
        for result in _results(recipe, chunks, workers):
            bad += result.bad
            if result.pending:
                waiting.append(result)
            if result.sums is not None:
                recipe.layout.record(result.chunk, result.sums)
            # Many together, so that images of one size fill batches; few enough for memory.
            if sum(len(one.pending) for one in waiting) >= TOGETHER or len(waiting) >= CHUNKS_TOGETHER:
                super_resolve()
            bar.advance(len(recipe.layout.rows(result.chunk)))
        super_resolve()
    if bad:
        raise BadImagesError(sorted(bad), len(recipe.entries))


def _results(recipe: Recipe, chunks: Sequence[int], workers: int) -> Iterator[Rendered]:
    """Rendered chunks, in the order in which they are done."""
    processes = min(workers or len(os.sched_getaffinity(0)), len(chunks))
    if processes <= 1:
        yield from (render(recipe, chunk) for chunk in chunks)
        return
    # Forked processes need no importable main module; they touch nothing but Pillow and numpy.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _start_worker, (recipe, os.getpid()))
    try:
        waiting: set[Future[Rendered]] = set()
        todo = iter(chunks)
        while True:
            # Two chunks for each process: none idles, and few wait in memory for a network.
            while len(waiting) < 2 * processes and (chunk := next(todo, None)) is not None:
                waiting.add(pool.submit(_render_here, chunk))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise DrfmError(
            "a process that prepares images died, perhaps for want of memory; "
            "run the same command again with fewer workers (finished images are kept)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_recipe: Recipe | None = None


def _start_worker(recipe: Recipe, parent: int) -> None:
    """Keep the recipe; leave Ctrl-C to the parent; end when the parent does, however it ends.

    A worker that outlived its parent would hold the lock of the store, which it inherits.
    """
    global _recipe
    _recipe = recipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(0.3)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _render_here(chunk: int) -> Rendered:
    assert _recipe is not None
    return render(_recipe, chunk)

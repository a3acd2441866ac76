"""The image store: every pair decoded, twinned and resized once, then memory-mapped."""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL

from drfm.config.schema import ImagesConfig
from drfm.data.records import HR, LR, Entry
from drfm.errors import DrfmError
from drfm.files import fingerprint, folder_lock, read_json, write_error, write_json
from drfm.resolution.build import BadImagesError, Recipe, fill, load
from drfm.resolution.finished import Finished
from drfm.resolution.layout import SPACES, Layout, describe, read_layout
from drfm.resolution.pairs import PairSet
from drfm.resolution.superresolve import SuperResolver, make_resolver

CHUNK = 256
"""Pairs that are rendered, checksummed and, after a crash, repeated together."""
NETWORK_CHUNK = 128
"""The same where a network makes the twins: a crash costs less of its time."""


def open_pairs(
    entries: Sequence[Entry],
    images: ImagesConfig,
    cache: Path,
    *,
    seed: int = 0,
    workers: int = 0,
    skip_bad: bool = False,
    device: str = "auto",
    resolver: SuperResolver | None = None,
) -> PairSet:
    """Pairs of ``entries``, in order, from the store in ``cache``, which is built where it is not there.

    A store lies in ``cache/KEY``; its key changes with any file's checksum and any setting that
    changes an image. Building goes on where a killed process stopped, and rows whose
    checksum is wrong are made anew.

    Args:
        entries: images of a benchmark.
        images: sizes, kernel, rates and super-resolution back end.
        cache: folder of all stores.
        seed: of the twin rates, where they are random.
        workers: processes that decode images; 0 means one for each core.
        skip_bad: leave out images that cannot be used instead of failing. ``names`` of the
            result says which are in; ``facts["skipped"]`` how many are not.
        device: where a super-resolution network runs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        resolver: a back end to use instead of the one that ``images.sr`` names.

    Raises:
        DrfmError: images are unusable, the disk is full, another process builds the same
            store, or the super-resolution back end cannot be had.
    """
    rows = tuple(entries)
    _check(rows)
    if resolver is None and any(entry.resolution == "lr" for entry in rows):
        resolver = make_resolver(images, device)
    source = _Source(images, Path(cache), seed, workers, resolver)
    return source.open_without_bad(rows) if skip_bad else source.open(rows)


def _check(entries: Sequence[Entry]) -> None:
    if not entries:
        raise DrfmError("no images: the list of entries is empty; check the benchmark's folder and split")
    if len({entry.name for entry in entries}) != len(entries):
        raise DrfmError("an image is listed twice under one name; build the benchmark again")


@dataclass(frozen=True)
class _Source:
    """The settings of one call of :func:`open_pairs`."""

    images: ImagesConfig
    cache: Path
    seed: int
    workers: int
    resolver: SuperResolver | None

    def facts(self, entries: Sequence[Entry]) -> dict[str, object]:
        """The settings that shape these images, for the key and for the record of results."""
        options = self.images
        facts: dict[str, object] = {
            "kernel": options.kernel,
            "hr_size": list(options.hr_size),
            "lr_size": list(options.lr_size),
        }
        present = {entry.resolution for entry in entries}
        if "hr" in present:
            fixed = options.twin_rates != "random"
            facts["twin_rate"] = options.twin_rate if fixed else f"2, 3 or 4 by hash, seed {self.seed}"
            if options.twin_degradation != "benchmark":
                facts["twin_degradation"] = options.twin_degradation
        if "lr" in present and self.resolver is not None:
            facts |= self.resolver.facts()
            if options.sr_rates != "fixed":
                facts["sr_rates"] = options.sr_rates
        return facts

    def key(self, entries: Sequence[Entry]) -> str:
        """Sixteen hexadecimal digits that change with any input byte and any setting that matters."""
        random, native = self.images.twin_rates == "random", self.images.sr_rates == "native"
        files: list[list[object]] = [
            [entry.sha256 or entry.name, entry.resolution, entry.name if random else ""] for entry in entries
        ]
        if native:
            files = [[*known, entry.rate] for known, entry in zip(files, entries, strict=True)]
        return fingerprint({"format": 1, "facts": self.facts(entries), "files": files})

    def open(self, entries: tuple[Entry, ...]) -> PairSet:
        """Open the store of ``entries``; build what is missing of it."""
        key = self.key(entries)
        folder = self.cache / key
        sizes = (len(entries), self.images.hr_size, self.images.lr_size)
        found = read_layout(folder, *sizes)
        if found is None or found.unfinished():
            try:
                # Runs that need the same pictures may start side by side: one makes them, the others wait.
                with folder_lock(folder, wait=True):
                    found = self._build(entries, folder)
            except OSError as error:
                raise write_error(folder, error) from error
        hr, lr = found.arrays()
        return PairSet(
            hr=hr,
            lr=lr,
            origin=np.array([HR if entry.resolution == "hr" else LR for entry in entries], dtype=np.int8),
            camera=np.array([entry.camera for entry in entries], dtype=np.int64),
            height=np.array([entry.height for entry in entries], dtype=np.int32),
            names=tuple(entry.name for entry in entries),
            key=key,
            facts=self.facts(entries),
        )

    def _build(self, entries: tuple[Entry, ...], folder: Path) -> Layout:
        """Finish the store in ``folder``, which this process holds."""
        layout = read_layout(folder, len(entries), self.images.hr_size, self.images.lr_size)
        light = self.resolver is None or self.resolver.light
        if layout is None:
            chunk = CHUNK if light else NETWORK_CHUNK
            layout = Layout(folder, len(entries), self.images.hr_size, self.images.lr_size, chunk)
            layout.journal.unlink(missing_ok=True)
            describe(layout, {**self.facts(entries), "pillow": PIL.__version__})
        layout.create()
        chunks = layout.unfinished()
        _require_room(layout, chunks)
        recipe = Recipe(layout, entries, self.images, self.seed, self.resolver if light else None)
        if light or not chunks:
            fill(recipe, chunks, self.resolver, self.workers)
            return layout
        assert self.resolver is not None
        size = self.images.hr_size
        known = fingerprint([dict(self.resolver.facts()), size, self.images.kernel])
        own = self.cache / f"sr-{known}"
        # Other stores need some of the same images: two would make them twice, so one waits.
        with folder_lock(own, wait=True), contextlib.closing(Finished(own, size)) as finished:
            fill(recipe, chunks, self.resolver, self.workers, finished)
        return layout

    def open_without_bad(self, entries: tuple[Entry, ...]) -> PairSet:
        """Open the store of those entries that can be used.

        The names of the others are kept beside the store of all, so that they are
        looked for once, and tried again each time in case they were mended.
        """
        note = self.cache / self.key(entries) / "unusable.json"
        known = _still_unusable(note, entries)
        if not known:
            try:
                return self.open(entries)
            except BadImagesError as error:
                known = set(error.names)
            for space in SPACES:
                (note.parent / f"{space}.u8").unlink(missing_ok=True)
            write_json(note, sorted(known))
        usable = tuple(entry for entry in entries if entry.name not in known)
        if not usable:
            raise DrfmError(f"none of the {len(entries)} images can be used, the first is {entries[0].path}")
        pairs = self.open(usable)
        return replace(pairs, facts={**pairs.facts, "skipped": len(known)})


def _still_unusable(note: Path, entries: Sequence[Entry]) -> set[str]:
    """Names that ``note`` lists, unless one of their files can be used by now."""
    try:
        listed = set(read_json(note))
    except (DrfmError, TypeError):
        return set()
    for entry in entries:
        if entry.name in listed:
            with contextlib.suppress(DrfmError):
                load(entry)
                return set()
    return listed


def _require_room(layout: Layout, chunks: Sequence[int]) -> None:
    """Refuse to begin what the disk cannot hold."""
    rows = sum(len(layout.rows(chunk)) for chunk in chunks)
    needed = rows * sum(layout.row_bytes(space) for space in SPACES)
    free = shutil.disk_usage(layout.folder).free
    if needed > free:
        raise DrfmError(
            f"{layout.folder}: the images need {needed / 1e6:.1f} MB, the disk has {free / 1e6:.1f}; "
            "free some space, or choose another cache folder or smaller images"
        )

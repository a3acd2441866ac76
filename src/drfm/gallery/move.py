"""Moving a gallery from one place to another, verified before the first is deleted."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drfm.errors import DrfmError
from drfm.gallery.embedded import erase, moved_to
from drfm.gallery.opening import create_store, exists, is_milvus, open_store
from drfm.gallery.store import Store

PAGE = 512


@dataclass(frozen=True)
class Sum:
    """What a gallery holds, in one line.

    Attributes:
        count: images.
        last: the highest id, 0 where there is none.
        sha256: over ids, what is known of the images, and vectors, by id.
    """

    count: int
    last: int
    sha256: str


def checksum(store: Store, up_to: int | None = None) -> Sum:
    """Sum up a gallery, or its images up to an id; equal for equal contents, wherever they lie."""
    digest = hashlib.sha256(f"{store.size} {store.model}".encode())
    count = last = 0
    while True:
        ids, items, vectors = store.page(last, PAGE)
        for number, item, row in zip(ids, items, vectors, strict=True):
            if up_to is not None and number > up_to:
                return Sum(count, last, digest.hexdigest())
            known = (number, item.path, item.camera, item.time, item.person, item.track, item.fields_text())
            digest.update(repr(known).encode("utf-8", "surrogatepass"))
            digest.update(np.ascontiguousarray(row, "<f4").tobytes())
            count, last = count + 1, number
        if not ids:
            return Sum(count, last, digest.hexdigest())


def move(
    source: str, target: str, *, keep: bool = False, say: Callable[[str], None] = lambda text: None
) -> Sum:
    """Copy a gallery to ``target``, compare the two, and delete the first unless it is to be kept.

    A move that was cut goes on where it stopped: the target may hold the beginning of the source. Nothing
    is deleted before the target, opened anew, has shown the same count and checksum.

    Raises:
        DrfmError: there is no such gallery, the target holds something else, or the copy differs.
    """
    if _same(source, target):
        raise DrfmError(f"{target}: is the gallery itself; give another place")
    if not is_milvus(source) and (gone := moved_to(Path(source))):
        return _finish(source, target, gone)
    first = open_store(source)
    second = open_store(target) if exists(target) else create_store(target, first.size, first.model)
    if (first.size, first.model) != (second.size, second.model):
        raise DrfmError(f"{target}: holds vectors of another model or size; give a new place")
    held = checksum(second)
    if held != checksum(first, held.last):
        raise DrfmError(f"{target}: holds other images than the beginning of {source}; give a new place")
    last, copied = held.last, held.count
    while True:
        ids, items, vectors = first.page(last, PAGE)
        if not ids:
            break
        second.add(items, vectors, ids)
        last, copied = ids[-1], copied + len(ids)
        say(f"{copied} images copied")
    second.close()
    second = open_store(target)
    there, here = checksum(second), checksum(first)
    second.close()
    if there != here:
        raise DrfmError(
            f"{target}: {there.count} images, checksum {there.sha256[:16]}, but {source} has {here.count}, "
            f"{here.sha256[:16]}; was it changed meanwhile? It was kept: move it again, to a new place"
        )
    if keep:
        first.close()
    else:
        first.destroy(moved=target, holds=(here.count, here.last))
    return there


def _finish(source: str, target: str, gone: str) -> Sum:
    """Delete what a crash left of a gallery that was moved."""
    if gone != target:
        raise DrfmError(f"{source}: was moved to {gone} and not to {target}; give the former")
    store = open_store(target)
    found = checksum(store)
    store.close()
    erase(Path(source))
    return found


def _same(source: str, target: str) -> bool:
    if source == target:
        return True
    return "://" not in source + target and Path(source).resolve() == Path(target).resolve()

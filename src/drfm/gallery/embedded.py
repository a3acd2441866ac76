"""The default gallery: a folder with mapped vectors and an SQLite catalogue; no server."""

import threading
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drfm.errors import DrfmError
from drfm.files import write_error
from drfm.gallery import files
from drfm.gallery.catalogue import FORMAT, Catalogue
from drfm.gallery.codes import LONGEST, Rows
from drfm.gallery.exact import nearest, prepare
from drfm.gallery.items import Filter, Item
from drfm.gallery.store import EVERYTHING, Hit, checked, checked_k

CATALOGUE = "catalogue.sqlite"
LEAST = 4096
"""Removed images from which files are rewritten without being asked, once they are the greater part."""


@dataclass(frozen=True)
class _State:
    """What the catalogue said when it was last looked at."""

    version: int
    generation: int
    mapped: files.Mapped
    alive: npt.NDArray[np.int32]


class Embedded:
    """A :class:`drfm.gallery.store.Store` in a folder. Threads take turns; processes share it freely."""

    def __init__(self, folder: Path) -> None:
        """Open a gallery.

        Raises:
            DrfmError: there is none, it is damaged, or it was moved away.
        """
        if not (folder / CATALOGUE).is_file():
            raise DrfmError(f"{folder}: no such gallery; `drfm gallery create` makes one")
        self.folder, self.location = folder, str(folder)
        self._turn = threading.RLock()
        self._catalogue = Catalogue(folder / CATALOGUE)
        with self._catalogue.transaction("DEFERRED"):
            about = self._catalogue.about()
        if about.get("format") != FORMAT:
            raise DrfmError(f"{folder}: format {about.get('format')!r}; this version reads format {FORMAT}")
        _refuse_moved(folder, about["moved"])
        self.size, self.model = int(about["size"]), str(about["model"])
        self._state: _State | None = None

    @classmethod
    def create(cls, folder: Path, size: int, model: str = "") -> "Embedded":
        """Make an empty gallery for vectors of ``size`` dimensions.

        Raises:
            DrfmError: the folder is not empty or cannot be written, or the size is out of range.
        """
        if not 1 <= size <= LONGEST:
            raise DrfmError(f"size = {size}: give 1 to {LONGEST} dimensions")
        # What begins with `.new-` is what a crash left of making this gallery.
        for path in folder.glob(".new-*"):
            path.unlink()
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise DrfmError(f"{folder}: exists and is not empty; give a new folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A catalogue is there complete or not at all: it is made beside and renamed.
            fresh = folder / f".new-{uuid.uuid4().hex}"
            catalogue = Catalogue(fresh, new=True)
            about = {"format": FORMAT, "id": uuid.uuid4().hex, "size": size, "model": model}
            catalogue.make({**about, "generation": 1, "slots": 0, "version": 0, "moved": ""})
            catalogue.base.close()
            fresh.replace(folder / CATALOGUE)
            files.sync_folder(folder)
        except OSError as error:
            raise write_error(folder, error) from error
        return cls(folder)

    @contextmanager
    def _reading(self) -> Iterator[_State]:
        """One state of catalogue and files, whatever others write meanwhile."""
        with self._turn, ExitStack() as stack:
            yield self._enter(stack)

    def _enter(self, stack: ExitStack) -> _State:
        for _ in range(3):
            with ExitStack() as trial:
                trial.enter_context(self._catalogue.transaction("DEFERRED"))
                # Compaction may delete the files between the look at the catalogue and the look at them.
                with suppress(FileNotFoundError):
                    state = self._look()
                    stack.enter_context(trial.pop_all())
                    return state
        raise DrfmError(f"{self.folder}: files of its vectors are missing; restore them from a copy")

    @contextmanager
    def _writing(self) -> Iterator[_State]:
        """The same for a change; others who write wait."""
        with self._turn, self._catalogue.transaction("IMMEDIATE"):
            state = self._look()
            files.forget_others(self.folder, state.generation)
            yield state
            self._catalogue.tell(version=state.version + 1)

    def _look(self) -> _State:
        about = self._catalogue.about()
        _refuse_moved(self.folder, about["moved"])
        if self._state is None or self._state.version != about["version"]:
            slots, number = int(about["slots"]), int(about["generation"])
            mapped = files.map_files(files.generation(self.folder, number), self.size, slots)
            alive = np.delete(np.arange(slots, dtype=np.int32), self._catalogue.dead())
            self._state = _State(int(about["version"]), number, mapped, alive)
        return self._state

    def add(self, items: Sequence[Item], vectors: Rows, ids: Sequence[int] | None = None) -> list[int]:
        """Add images, all or none; see :class:`drfm.gallery.store.Store`."""
        rows = checked(vectors, self.size, len(items))
        with self._writing() as state:
            start = len(state.mapped.rows)
            files.append(files.generation(self.folder, state.generation), start, rows)
            numbers: Sequence[int | None] = ids if ids is not None else [None] * len(items)
            crcs = [zlib.crc32(row) for row in rows]
            self._catalogue.insert(zip(numbers, range(start, start + len(items)), crcs, items, strict=True))
            self._catalogue.tell(slots=start + len(items))
            return [row[0] for row in self._catalogue.since(start)]

    def remove(self, where: Filter) -> int:
        """Remove images; their vectors leave the disk once the files are rewritten."""
        with self._writing() as state:
            removed = self._catalogue.remove(where)
            left = len(state.alive) - removed
            dead = len(state.mapped.rows) - left
        if dead >= max(LEAST, left):
            self.compact()
        return removed

    def compact(self) -> None:
        """Rewrite the files without the rows of removed images."""
        with self._writing() as state:
            number = state.generation + 1
            files.copy_rows(state.mapped.rows, state.alive, files.generation(self.folder, number))
            self._catalogue.renumber(state.alive.tolist())
            self._catalogue.tell(generation=number, slots=len(state.alive))
        with self._turn, self._catalogue.transaction("IMMEDIATE"):
            files.forget_others(self.folder, int(self._catalogue.about()["generation"]))
        self._catalogue.flush()

    def count(self, where: Filter = EVERYTHING) -> int:
        """How many images fit."""
        with self._reading():
            return int(self._catalogue.select("COUNT(*)", where)[0][0])

    def known(self, paths: Sequence[str]) -> set[str]:
        """Those of the paths that are in the gallery."""
        with self._reading():
            return (
                {row[0] for row in self._catalogue.select("path", Filter(path=tuple(paths)))}
                if paths
                else set()
            )

    def names(self, column: str) -> list[str]:
        """All values of ``camera``, ``person`` or ``track``, sorted."""
        with self._reading():
            found = self._catalogue.select(f"DISTINCT {column}", EVERYTHING)
        return sorted(row[0] for row in found if row[0] is not None)

    def search(self, queries: Rows, k: int, where: Filter = EVERYTHING) -> list[list[Hit]]:
        """The most similar images; exact, see :mod:`drfm.gallery.exact`."""
        asked = checked(queries, self.size, what="query")
        with self._reading() as state:
            which = state.alive
            if where:
                found = self._catalogue.select("position", where, "ORDER BY position")
                which = np.fromiter((row[0] for row in found), np.int32, len(found))
            near = nearest(state.mapped.rows, state.mapped.codes, which, asked, checked_k(k))
            known = {position: self._catalogue.at(position) for position in set(near.index.ravel().tolist())}
        return [
            [Hit(known[at][0], value, known[at][1]) for at, value in zip(row, values, strict=True)]
            for row, values in zip(near.index.tolist(), near.similarity.tolist(), strict=True)
        ]

    def prepare(self) -> None:
        """Compile the search; see :mod:`drfm.gallery.exact`."""
        prepare()

    def vectors(self, ids: Sequence[int]) -> Rows:
        """``(N, D)`` vectors of images; a missing id is an error."""
        with self._reading() as state:
            return np.asarray(state.mapped.rows[self._catalogue.positions(ids)])

    def page(self, after: int, limit: int) -> tuple[list[int], list[Item], Rows]:
        """Up to ``limit`` images with ids above ``after``, by id."""
        with self._reading() as state:
            found = self._catalogue.page(after, limit)
            vectors = np.asarray(state.mapped.rows[[position for _, position, _ in found]])
        return [number for number, _, _ in found], [item for _, _, item in found], vectors

    def damaged(self) -> list[str]:
        """Paths of images whose vector is not what was added, by its CRC-32."""
        with self._reading() as state:
            found = self._catalogue.select("path, position, crc", EVERYTHING)
            return [path for path, at, crc in found if zlib.crc32(state.mapped.rows[at]) != crc]

    def close(self) -> None:
        """Release the catalogue."""
        self._state = None
        self._catalogue.base.close()

    def destroy(self, moved: str = "", holds: tuple[int, int] | None = None) -> None:
        """Delete the gallery; what a crash leaves says where the images are now.

        Args:
            moved: where they are.
            holds: number of images and highest id; with any other nothing is deleted.
        """
        with self._turn, self._catalogue.transaction("IMMEDIATE"):
            if holds not in (None, self._catalogue.extent()):
                raise DrfmError(
                    f"{self.folder}: was changed meanwhile and is kept; run the same command again"
                )
            self._catalogue.tell(moved=moved or "nowhere")
        self._catalogue.flush()  # the mark must outlive the log, which is deleted first
        self.close()
        erase(self.folder)


def _refuse_moved(folder: Path, moved: str) -> None:
    if moved:
        raise DrfmError(
            f"{folder}: was moved to {moved}; `drfm gallery move {folder} {moved}` deletes what is left of it"
        )


def moved_to(folder: Path) -> str:
    """Where a gallery that is half deleted was moved to; empty for any other folder."""
    if not (folder / CATALOGUE).is_file():
        return ""
    catalogue = Catalogue(folder / CATALOGUE)
    try:
        with catalogue.transaction("DEFERRED"):
            return str(catalogue.about().get("moved", ""))
    finally:
        catalogue.base.close()


def erase(folder: Path) -> None:
    """Delete a gallery's files, the catalogue last."""
    files.forget_others(folder, 0)
    for name in (f"{CATALOGUE}-shm", f"{CATALOGUE}-wal", CATALOGUE):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()

"""A gallery's catalogue: an SQLite file that says which rows of the vectors are images, and of what.

A change is made when its transaction is committed; the log is flushed to disk with every commit.
"""

# ruff: noqa: S608 - SQL is put together from names of this module; values are always parameters

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drfm.errors import DrfmError
from drfm.gallery.items import NAMES, Filter, Item

FORMAT = 1
WAIT = 60.0
"""Seconds that a writer waits for another one."""
_COLUMNS = "path, camera, time, person, track, fields"
_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, position INTEGER NOT NULL UNIQUE, crc INTEGER NOT NULL,
    path TEXT NOT NULL UNIQUE, camera TEXT, time REAL, person TEXT, track TEXT, fields TEXT NOT NULL
);
CREATE TABLE dead (position INTEGER PRIMARY KEY);
CREATE INDEX by_camera ON images (camera, time);
CREATE INDEX by_time ON images (time);
CREATE INDEX by_person ON images (person);
CREATE INDEX by_track ON images (track);
"""


def _reason(error: sqlite3.Error) -> str:
    """What went wrong, and the mend where there is one."""
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return f"another process has been writing to it for {WAIT:.0f} s; try again when that has ended"
    if "no such table" in str(error):
        return "is no gallery's catalogue, or damaged; restore it from a copy"
    return str(error)


class Catalogue:
    """One connection to a catalogue; not to be shared by threads at one time."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self.path = path
        mode = "rwc" if new else "rw"
        try:
            self.base = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=WAIT, isolation_level=None,
                check_same_thread=False,
            )  # fmt: skip
            self.base.execute("PRAGMA journal_mode = WAL")
            self.base.execute("PRAGMA synchronous = FULL")
            self.base.execute("PRAGMA secure_delete = ON")
        except sqlite3.Error as error:
            raise DrfmError(f"{path}: cannot be opened as a gallery's catalogue ({error})") from None

    def make(self, about: dict[str, Any]) -> None:
        """Make the tables in an empty catalogue."""
        with self.transaction("IMMEDIATE"):
            for statement in _TABLES.split(";\n"):
                self.base.execute(statement)
            self.base.executemany("INSERT INTO about VALUES (?, ?)", list(about.items()))

    @contextmanager
    def transaction(self, kind: str) -> Iterator[None]:
        """All or nothing: ``IMMEDIATE`` to write, waiting for other writers; ``DEFERRED`` to read one state.

        Raises:
            DrfmError: the disk is full, another writer does not end, or the file is damaged.
        """
        try:
            self.base.execute(f"BEGIN {kind}")
            try:
                yield
                self.base.execute("COMMIT")
            except BaseException:
                if self.base.in_transaction:
                    self.base.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError as error:
            if "images.path" in str(error):
                raise DrfmError(
                    f"{self.path.parent}: an image is in the gallery already; remove it first"
                ) from None
            raise
        except sqlite3.Error as error:
            raise DrfmError(f"{self.path}: {_reason(error)}; nothing was changed") from None

    def about(self) -> dict[str, Any]:
        """Everything that the gallery says of itself."""
        return dict(self.base.execute("SELECT key, value FROM about").fetchall())

    def tell(self, **values: Any) -> None:
        """Change what the gallery says of itself."""
        self.base.executemany("UPDATE about SET value = ? WHERE key = ?", [(v, k) for k, v in values.items()])

    def insert(self, rows: Iterable[tuple[int | None, int, int, Item]]) -> None:
        """Insert images as (id or ``None``, position, CRC-32 of the vector, item)."""
        self.base.executemany(
            f"INSERT INTO images (id, position, crc, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)",
            (
                (number, position, crc, item.path, item.camera, item.time, item.person, item.track,
                 item.fields_text())
                for number, position, crc, item in rows
            ),
        )  # fmt: skip

    def remove(self, where: Filter) -> int:
        """Take images out of the catalogue; their positions are dead from now on."""
        text, values = conditions(where)
        self.base.execute(f"INSERT INTO dead SELECT position FROM images WHERE {text}", values)
        return self.base.execute(f"DELETE FROM images WHERE {text}", values).rowcount

    def select(self, columns: str, where: Filter, rest: str = "") -> list[tuple[Any, ...]]:
        """Columns of the images that fit."""
        text, values = conditions(where)
        return self.base.execute(f"SELECT {columns} FROM images WHERE {text} {rest}", values).fetchall()

    def dead(self) -> list[int]:
        """Positions that hold no image, ascending."""
        return [row[0] for row in self.base.execute("SELECT position FROM dead ORDER BY position")]

    def at(self, position: int) -> tuple[int, Item]:
        """Id and item of the image at a position."""
        row = self.base.execute(
            f"SELECT id, {_COLUMNS} FROM images WHERE position = ?", (position,)
        ).fetchone()
        return int(row[0]), item_of(row[1:])

    def since(self, position: int) -> list[tuple[Any, ...]]:
        """Ids of the images from a position on, by position."""
        return self.base.execute(
            "SELECT id FROM images WHERE position >= ? ORDER BY position", (position,)
        ).fetchall()

    def positions(self, ids: Sequence[int]) -> list[int]:
        """Positions of images.

        Raises:
            DrfmError: one of them is not in the gallery.
        """
        found = dict(self.base.execute(
            "SELECT id, position FROM images WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        ))  # fmt: skip
        for number in ids:
            if number not in found:
                raise DrfmError(f"{self.path.parent}: image {number} is not in the gallery any more")
        return [found[number] for number in ids]

    def extent(self) -> tuple[int, int]:
        """Number of images, and the highest id."""
        count, last = self.base.execute("SELECT COUNT(*), COALESCE(MAX(id), 0) FROM images").fetchone()
        return int(count), int(last)

    def flush(self) -> None:
        """Move the log into the catalogue, so that what was removed is in neither."""
        self.base.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def page(self, after: int, limit: int) -> list[tuple[int, int, Item]]:
        """Id, position and item of images with ids above ``after``, by id."""
        found = self.base.execute(
            f"SELECT id, position, {_COLUMNS} FROM images WHERE id > ? ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [(row[0], row[1], item_of(row[2:])) for row in found]

    def renumber(self, positions: Sequence[int]) -> None:
        """Give the images at these positions, ascending, the positions 0, 1, ...; none is dead any more."""
        # Through negative numbers, so that no two images ever share a position on the way.
        self.base.executemany(
            "UPDATE images SET position = ? WHERE position = ?",
            [(-1 - new, old) for new, old in enumerate(positions)],
        )
        self.base.execute("UPDATE images SET position = -1 - position")
        self.base.execute("DELETE FROM dead")


def item_of(row: Sequence[Any]) -> Item:
    """An item from the columns of its row."""
    path, camera, time, person, track, fields = row
    return Item(path, camera, time, person, track, json.loads(fields))


def conditions(where: Filter) -> tuple[str, list[Any]]:
    """The filter as SQL with its values; true for every image where nothing is asked."""
    parts, values = ["1"], list[Any]()
    for name in (*NAMES, "path"):
        if wanted := getattr(where, name):
            # One parameter however many names, because SQLite limits their number.
            part = f"{name} IN (SELECT value FROM json_each(?))"
            parts.append(f"({part} OR {name} IS NULL)" if "" in wanted else part)
            values.append(json.dumps(list(wanted)))
    for sign, bound in ((">=", where.since), ("<", where.until)):
        if bound is not None:
            parts.append(f"time {sign} ?")
            values.append(bound)
    for key, value in where.fields.items():
        parts.append("EXISTS (SELECT 1 FROM json_each(fields) WHERE key = ? AND value = ?)")
        values += [key, value]
    return " AND ".join(parts), values

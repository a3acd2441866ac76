"""A gallery in Milvus: a server's collection, or a Milvus Lite file (extra ``milvus``).

The index is FLAT, which compares every vector, in float32. What comes back is compared again in the
project's own similarity, with more images asked for until none that is left out can belong to the answer,
so results are those of the embedded gallery to the bit.
"""

import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drfm.errors import DrfmError
from drfm.gallery.codes import LONGEST as LARGEST
from drfm.gallery.codes import Rows
from drfm.gallery.exact import EXTRA, best
from drfm.gallery.items import LONGEST, NAMES, Filter, Item
from drfm.gallery.store import EVERYTHING, Hit, checked, checked_k

COLLECTION = "gallery"
"""Name in a Milvus Lite file."""
MOST = 16384
"""Rows that Milvus hands out at once."""
TOKEN = "DRFM_MILVUS_TOKEN"  # noqa: S105 - the name of a variable, not a token
ABOUT = "_about"
"""Appended to a collection's name: where size and model are kept."""
UNIT = 2.0**-24


class Milvus:
    """A :class:`drfm.gallery.store.Store` in Milvus."""

    def __init__(self, location: str) -> None:
        """Open a gallery.

        Raises:
            DrfmError: there is none, the server does not answer, or the extra is missing.
        """
        self.location = location
        if not exists(location):
            raise DrfmError(f"{location}: no such gallery; `drfm gallery create` makes one")
        self.name = _split(location)[1]
        self._client = _connect(location)
        with _explained(location):
            for name in (self.name, self.name + ABOUT):
                self._client.load_collection(name)
            about = self._client.query(self.name + ABOUT, filter="id == 0", output_fields=["about"], limit=1)[
                0
            ]
        self.size, self.model = int(about["about"]["size"]), str(about["about"]["model"])
        self._last = 0

    @classmethod
    def create(cls, location: str, size: int, model: str = "") -> "Milvus":
        """Make an empty collection for vectors of ``size`` dimensions.

        Raises:
            DrfmError: it is there already, the size is out of range, or Milvus refuses.
        """
        if not 2 <= size <= LARGEST:
            raise DrfmError(f"size = {size}: Milvus takes 2 to {LARGEST} dimensions")
        name = _split(location)[1]
        client = _connect(location)
        with _explained(location):
            found = _found(client, name)
            if found == "whole":
                raise DrfmError(f"{location}: exists already; give another name")
            if found == "foreign":
                raise DrfmError(f"{location}: {name} is there and is no gallery; give another name")
            for part in (name, name + ABOUT):
                client.drop_collection(part)
            # The line about the gallery comes last: without it all that is there was begun and not ended.
            _make_about(client, name + ABOUT)
            _make_images(client, name, size)
            line = {"id": 0, "vector": [1.0, 0.0], "about": {"size": size, "model": model}}
            client.insert(name + ABOUT, [line])
            client.flush(name + ABOUT)
        client.close()
        return cls(location)

    def add(self, items: Sequence[Item], vectors: Rows, ids: Sequence[int] | None = None) -> list[int]:
        """Add images; see :class:`drfm.gallery.store.Store`. One request, so all or none on one shard."""
        rows = checked(vectors, self.size, len(items))
        paths = [item.path for item in items]
        if len(set(paths)) < len(paths) or self.known(paths):
            raise DrfmError(f"{self.location}: an image is in the gallery already; remove it first")
        if not items:
            return []
        numbers = list(ids) if ids is not None else self._fresh(len(items))
        entries = [
            {"id": number, "vector": row, "path": item.path, "time": item.time, "fields": dict(item.fields),
             **{name: getattr(item, name) for name in NAMES}}
            for number, row, item in zip(numbers, rows, items, strict=True)
        ]  # fmt: skip
        with _explained(self.location):
            self._client.insert(self.name, entries)
            self._client.flush(self.name)
        return numbers

    def _fresh(self, count: int) -> list[int]:
        """Ids that ascend over time: microseconds, which a browser's numbers still hold."""
        first = max(time.time_ns() // 1000, self._last + 1)
        self._last = first + count - 1
        return list(range(first, first + count))

    def remove(self, where: Filter) -> int:
        """Remove images; returns how many there were."""
        found = self.count(where)
        with _explained(self.location):
            if found:
                self._client.delete(self.name, filter=expression(where) or "id >= 0")
                self._client.flush(self.name)
        return found

    def count(self, where: Filter = EVERYTHING) -> int:
        """How many images fit."""
        with _explained(self.location):
            found = self._client.query(
                self.name, filter=expression(where), output_fields=["count(*)"], consistency_level="Strong"
            )
        return int(found[0]["count(*)"])

    def known(self, paths: Sequence[str]) -> set[str]:
        """Those of the paths that are in the gallery."""
        found: set[str] = set()
        for start in range(0, len(paths), 1024):
            part = tuple(paths[start : start + 1024])
            found |= {row["path"] for row in self._query(expression(Filter(path=part)), ["path"], len(part))}
        return found

    def names(self, column: str) -> list[str]:
        """All values of ``camera``, ``person`` or ``track``, sorted."""
        found: set[str] = set()
        last = -1
        while rows := self._query(f"id > {last}", ["id", column], MOST):
            found |= {row[column] for row in rows if row[column] is not None}
            last = max(row["id"] for row in rows)
        return sorted(found)

    def search(self, queries: Rows, k: int, where: Filter = EVERYTHING) -> list[list[Hit]]:
        """The most similar images; exact, by a second comparison of what Milvus finds."""
        asked = checked(queries, self.size, what="query")
        k = min(checked_k(k), self.count(where))
        return [self._nearest(row, k, where) if k else [] for row in asked]

    def _nearest(self, query: Any, k: int, where: Filter) -> list[Hit]:
        # Either side's sum of products in float32 is off by at most D units; see drfm.labels.neighbours.
        slack = 4 * (self.size + 2) * UNIT
        limit = k + EXTRA
        while True:
            limit = min(limit, MOST)
            with _explained(self.location):
                found = self._client.search(
                    self.name, data=[query], anns_field="vector", limit=limit, filter=expression(where),
                    output_fields=["vector", *_KEPT], search_params={"metric_type": "IP"},
                    consistency_level="Strong",
                )[0]  # fmt: skip
            rows = sorted(found, key=lambda hit: hit["id"])
            vectors = np.array([hit["entity"]["vector"] for hit in rows], np.float32)
            index, similarity = best(query, vectors, k)
            least = min(hit["distance"] for hit in found)
            if len(found) < limit or least + slack < similarity[-1]:
                return [
                    Hit(rows[at]["id"], value, _item(rows[at]["entity"]))
                    for at, value in zip(index.tolist(), similarity.tolist(), strict=True)
                ]
            if limit == MOST:
                raise DrfmError(
                    f"{self.location}: Milvus hands out {MOST} images at most; give a filter or a lower k"
                )
            limit *= 4

    def prepare(self) -> None:
        """Compile the second comparison."""
        best(np.ones(1, np.float32), np.ones((1, 1), np.float32), 1)

    def vectors(self, ids: Sequence[int]) -> Rows:
        """``(N, D)`` vectors of images; a missing id is an error."""
        found: dict[int, Any] = {}
        for start in range(0, len(ids), 1024):
            part = list(ids[start : start + 1024])
            found |= {
                row["id"]: row["vector"] for row in self._query(f"id in {part}", ["id", "vector"], len(part))
            }
        for number in ids:
            if number not in found:
                raise DrfmError(f"{self.location}: image {number} is not in the gallery any more")
        return np.array([found[number] for number in ids], np.float32).reshape(-1, self.size)

    def page(self, after: int, limit: int) -> tuple[list[int], list[Item], Rows]:
        """Up to ``limit`` images with ids above ``after``, by id."""
        rows = sorted(
            self._query(f"id > {after}", ["id", "vector", *_KEPT], limit), key=lambda row: row["id"]
        )
        vectors = np.array([row["vector"] for row in rows], np.float32).reshape(-1, self.size)
        return [row["id"] for row in rows], [_item(row) for row in rows], vectors

    def _query(self, filter: str, fields: list[str], limit: int) -> list[Any]:
        with _explained(self.location):
            return list(
                self._client.query(
                    self.name, filter=filter, output_fields=fields, limit=limit, consistency_level="Strong"
                )
            )

    def compact(self) -> None:
        """Ask Milvus to take what was removed off the disk; when it does is its own affair."""
        with _explained(self.location):
            self._client.flush(self.name)
            self._client.compact(self.name)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def destroy(self, moved: str = "", holds: tuple[int, int] | None = None) -> None:
        """Delete the collection. Milvus holds no lock, so nobody else may write meanwhile."""
        with _explained(self.location):
            self._client.drop_collection(self.name)
            self._client.drop_collection(self.name + ABOUT)
        self.close()


_KEPT = ["path", "time", "fields", *NAMES]


def _item(row: Any) -> Item:
    return Item(
        row["path"], row["camera"], row["time"], row["person"], row["track"], dict(row["fields"] or {})
    )


def expression(where: Filter) -> str:
    """The filter in Milvus's language; empty where nothing is asked."""
    parts = []
    for name in (*NAMES, "path"):
        if wanted := getattr(where, name):
            part = f"{name} in {_quoted(list(wanted))}"
            parts.append(f"({part} or {name} is null)" if "" in wanted else part)
    for sign, bound in ((">=", where.since), ("<", where.until)):
        if bound is not None:
            parts.append(f"time {sign} {float(bound)!r}")
    parts += [f"fields[{_quoted(key)}] == {_quoted(value)}" for key, value in where.fields.items()]
    return " and ".join(parts)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def exists(location: str) -> bool:
    """Whether there is a gallery at a location of Milvus."""
    address, name = _split(location)
    if "://" not in address and not Path(address).exists():
        return False
    client = _connect(location)
    with _explained(location):
        found = _found(client, name)
    client.close()
    return found == "whole"


def _found(client: Any, name: str) -> Literal["none", "begun", "whole", "foreign"]:
    """What is there under a gallery's name; what was begun was never acknowledged, or was being deleted."""
    about = name + ABOUT
    if not client.has_collection(about):
        return "foreign" if client.has_collection(name) else "none"
    if {field["name"] for field in client.describe_collection(about)["fields"]} != {"id", "vector", "about"}:
        return "foreign"
    if not client.has_collection(name) or not client.list_indexes(about):
        return "begun"
    client.load_collection(about)
    lines = client.query(about, filter="id == 0", output_fields=["about"], consistency_level="Strong")
    return "whole" if lines else "begun"


def _split(location: str) -> tuple[str, str]:
    """Address and collection."""
    if "://" not in location:
        return location, COLLECTION
    scheme, _, rest = location.partition("://")
    host, _, name = rest.partition("/")
    if not host or not name.isidentifier():
        raise DrfmError(f"{location}: give http(s)://HOST:PORT/COLLECTION, the name in letters, digits and _")
    return f"{scheme}://{host}", name


def _connect(location: str) -> Any:
    try:
        from pymilvus import MilvusClient
    except ImportError:
        raise DrfmError(f"{location}: needs the extra `milvus`: pip install 'drfm[milvus]'") from None
    with _told_by_lite() as reasons:
        try:
            with _explained(location):
                return MilvusClient(_split(location)[0], token=os.environ.get(TOKEN, ""))
        except DrfmError:
            if not reasons:
                raise
            raise DrfmError(
                f"{location}: Milvus Lite cannot open it ({reasons[0]}); only one process can have it open"
            ) from None


@contextmanager
def _told_by_lite() -> Iterator[list[str]]:
    """What Milvus Lite writes to its log where it fails, instead of on the terminal with a traceback."""
    reasons: list[str] = []
    log = logging.getLogger("milvus_lite.server_manager")
    told = _Told(reasons)
    log.addHandler(told)
    before, log.propagate = log.propagate, False
    try:
        yield reasons
    finally:
        log.propagate = before
        log.removeHandler(told)


class _Told(logging.Handler):
    """Keeps the errors that are logged."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.reasons = reasons

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.reasons.append(" ".join(str(error or record.getMessage()).split()))


@contextmanager
def _explained(location: str) -> Iterator[None]:
    """Milvus's own errors as one line."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        words = " ".join(str(error.message).split())
        raise DrfmError(f"{location}: Milvus says: {words}") from None


def _make_images(client: Any, name: str, size: int) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=size)
    # Milvus counts bytes, of which UTF-8 takes up to four a character.
    schema.add_field("path", DataType.VARCHAR, max_length=4 * LONGEST)
    for column in NAMES:
        schema.add_field(column, DataType.VARCHAR, max_length=4 * LONGEST, nullable=True)
    schema.add_field("time", DataType.DOUBLE, nullable=True)
    schema.add_field("fields", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


def _make_about(client: Any, name: str) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)  # a collection has to have one
    schema.add_field("about", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")

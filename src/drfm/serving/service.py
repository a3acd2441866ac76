"""The service itself, without the web: searches, images, explanations and marks."""

import hashlib
import threading
import time
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from drfm.data.imagefile import open_image
from drfm.errors import DrfmError
from drfm.gallery.encoder import Encoder
from drfm.gallery.items import Filter, Item
from drfm.gallery.search import Search, search
from drfm.gallery.store import Hit, Store
from drfm.serving.answers import Asked, Mark, Pixels
from drfm.serving.metrics import Metrics
from drfm.serving.records import Records

REMEMBERED = 64
"""Searches that are kept in memory, with their crops."""
LARGEST_K = 200
LARGEST_ID = (1 << 63) - 1
EARLIEST = -1e12
"""Seconds since 1970 that no image was taken before."""


class Unknown(DrfmError):
    """There is no such query or image."""


class Service:
    """A gallery, the encoder that made its vectors, and what was asked since the start.

    Any thread may call it; one search runs at a time, because one already uses all processors.

    Args:
        store: the gallery.
        encoder: of the bundle whose vectors it holds.
        records: where searches and marks are written down.

    Raises:
        DrfmError: the gallery holds vectors of another bundle.
    """

    def __init__(self, store: Store, encoder: Encoder, records: Records) -> None:
        if store.size != encoder.dimension or (store.model and store.model != encoder.id):
            raise DrfmError(
                f"{store.location}: holds vectors of bundle {store.model or 'unknown'} with {store.size} "
                f"numbers, not of {encoder.id} with {encoder.dimension}; give the bundle it was made with"
            )
        self.store, self.encoder, self.records = store, encoder, records
        self.metrics = Metrics()
        self._asked: OrderedDict[str, Asked] = OrderedDict()
        self._turn = threading.RLock()
        self._warming: threading.Thread | None = None

    def try_out(self) -> None:
        """Encode a grey crop and look into the gallery, so that what does not work is known at once.

        Raises:
            DrfmError: the gallery's files are missing or damaged.
        """
        with self._turn:
            self.encoder.encode(np.full((64, 32, 3), 127, np.uint8))
            self.store.page(0, 1)

    def warm_up(self) -> None:
        """Begin to compile the search. The first search waits for that, and nothing else does."""
        self._warming = threading.Thread(target=self.store.prepare, name="compile the search")
        self._warming.start()

    @property
    def explains(self) -> bool:
        """Whether :meth:`why` has an answer."""
        return hasattr(self.encoder, "model")

    def about(self) -> dict[str, Any]:
        """What is searched and by what, for the page and for programs."""
        record = self.encoder.record
        calibration = record["calibration"]
        with self._turn:
            names = {column: self.store.names(column) for column in ("camera", "person", "track")}
            images, timed = self.store.count(), self.store.count(Filter(since=EARLIEST))
        return {
            "gallery": self.store.location,
            "images": images,
            "cameras": names["camera"][:500],
            "persons": names["person"][:500],
            "tracks": len(names["track"]),
            "timed": timed,
            "bundle": self.encoder.id,
            "engine": "torch" if self.explains else "onnx",
            "explains": self.explains,
            "lr_below": self.encoder.preprocessing.lr_below,
            "super_resolution": "network" if "sr_checksum" in record["encoder"]["sr"] else "interpolation",
            "calibrated": calibration is not None,
            "labelled": calibration is not None and calibration["labelled"],
            "rates": None if calibration is None else dict(calibration["rates"]),
            "evidence_from": None if calibration is None else calibration["evidence_from"],
            "calibration_notes": [] if calibration is None else list(calibration["notes"]),
            "licence": list(record["licence"]),
            "largest_k": LARGEST_K,
            "keeps_queries": self.records.keep_queries,
        }

    def search(self, crop: Pixels, how: Search) -> Asked:
        """Search for a crop, write that down, and remember it.

        Raises:
            DrfmError: more than :data:`LARGEST_K` images are asked for, or it cannot be written down.
        """
        if how.k > LARGEST_K:
            raise DrfmError(f"k = {how.k}: give at most {LARGEST_K}")
        begin = time.perf_counter()
        if self._warming is not None:
            self._warming.join()  # before any lock, which the rest of the service needs meanwhile
        with self._turn:
            hits = search(self.store, self.encoder.encode(crop), how)[0]
        self.metrics.searched(time.perf_counter() - begin)
        asked = Asked(
            uuid.uuid4().hex,
            crop,
            hashlib.sha256(crop.tobytes()).hexdigest(),
            self.encoder.resolution_of(len(crop)),
            how,
            hits,
            self.encoder.record["calibration"],
        )
        self.records.searched({"bundle": self.encoder.id, **self.told(asked)}, crop)
        with self._turn:
            self._asked[asked.id] = asked
            while len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
        return asked

    def told(self, asked: Asked) -> dict[str, Any]:
        """A search as it is shown, with the marks of now."""
        return asked.to_dict(self.records.mark_of)

    def asked(self, query: str) -> Asked:
        """A search that is remembered.

        Raises:
            Unknown: it is not.
        """
        with self._turn:
            found = self._asked.get(query)
        if found is None:
            raise Unknown("this search is not in memory any more; search again")
        return found

    def twin(self, query: str) -> Pixels:
        """The other image of the query's pair, as the network sees it: made, not captured."""
        asked = self.asked(query)
        with self._turn:
            pairs = self.encoder.pairs([asked.crop], [asked.resolution])
        made: Pixels = pairs.hr[0] if asked.resolution == "lr" else pairs.lr[0]
        return made

    def image(self, number: int) -> Pixels:
        """An image of the gallery, from the path in its catalogue; no other file can be asked for.

        Raises:
            Unknown: the gallery has no such image.
            DrfmError: its file cannot be read.
        """
        ids, items = list[int](), list[Item]()
        if 0 < number <= LARGEST_ID:
            with self._turn:
                ids, items, _ = self.store.page(number - 1, 1)
        if ids != [number]:
            raise Unknown(f"image {number} is not in the gallery")
        return open_image(Path(items[0].path))

    def why(self, query: str, number: int) -> tuple[Any, Any]:
        """Maps over the query and over an image of its answer, as :func:`drfm.serving.why.maps` gives them.

        Raises:
            DrfmError: the engine has none.
            Unknown: no such search, or the image is not in its answer.
        """
        if not self.explains:
            raise DrfmError("engine onnx: has no explanations; start with --engine torch")
        from drfm.gallery.torch_engine import TorchEncoder
        from drfm.serving.why import maps

        asked = self.asked(query)
        hit = _hit(asked, number)
        match = open_image(Path(hit.item.path))
        assert isinstance(self.encoder, TorchEncoder)
        with self._turn:
            return maps(self.encoder, asked.crop, match)

    def mark(self, query: str, number: int, mark: Mark) -> None:
        """Write down that an answer is right or wrong, or take that back.

        Raises:
            Unknown: no such search, or the image is not in its answer.
        """
        hit = _hit(self.asked(query), number)
        with self._turn:
            self.records.mark(query, number, hit.item.path, mark)
        self.metrics.marked(mark)


def _hit(asked: Asked, number: int) -> Hit:
    for hit in asked.hits:
        if hit.id == number:
            return hit
    raise Unknown(f"image {number} is not in the answer to this search")

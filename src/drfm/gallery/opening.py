"""Where a gallery lies: a folder, a Milvus Lite file, or a collection of a Milvus server."""

from pathlib import Path

from drfm.errors import DrfmError
from drfm.gallery.embedded import Embedded
from drfm.gallery.store import Store

SERVER = ("http://", "https://")
LITE = ".db"


def is_milvus(location: str) -> bool:
    """Whether a location is of Milvus: ``http(s)://HOST:PORT/COLLECTION``, or a path ending in ``.db``."""
    return location.startswith(SERVER) or location.endswith(LITE)


def open_store(location: str) -> Store:
    """Open the gallery at a location.

    Raises:
        DrfmError: there is none, or the extra that reads it is missing.
    """
    if is_milvus(location):
        from drfm.gallery.milvus import Milvus

        return Milvus(location)
    _refuse_scheme(location)
    return Embedded(Path(location))


def create_store(location: str, size: int, model: str = "") -> Store:
    """Make an empty gallery for vectors of ``size`` dimensions made by ``model``.

    Raises:
        DrfmError: there is something at the location already, or it cannot be written.
    """
    if is_milvus(location):
        from drfm.gallery.milvus import Milvus

        return Milvus.create(location, size, model)
    _refuse_scheme(location)
    return Embedded.create(Path(location), size, model)


def exists(location: str) -> bool:
    """Whether there is a gallery at a location."""
    if is_milvus(location):
        from drfm.gallery.milvus import exists as there

        return there(location)
    return (Path(location) / "catalogue.sqlite").is_file()


def _refuse_scheme(location: str) -> None:
    if "://" in location:
        raise DrfmError(
            f"{location}: give a folder, a path ending in {LITE}, or http(s)://HOST:PORT/COLLECTION"
        )

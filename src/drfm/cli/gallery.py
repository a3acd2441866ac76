"""`drfm gallery`: images to be searched, with what is known of them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from drfm.cli.answers import show, verdicts
from drfm.cli.output import note, say
from drfm.errors import DrfmError

if TYPE_CHECKING:
    from drfm.gallery.items import Filter, Item
    from drfm.gallery.store import Store

app = App(name="gallery", help="Keep images and find persons in them.")
BATCH = 256
"""Images that are encoded, added and acknowledged together."""
_FILTER = Group("Filter", help="Which images; an option given twice offers alternatives.", sort_key=50)
_Words = Annotated[list[str], Parameter(negative=(), consume_multiple=False)]


@Parameter(name="*", group=_FILTER)
@dataclass(frozen=True)
class Where:
    """Which images of a gallery.

    Attributes:
        camera: Name of a camera; "" for images without one.
        person: Name of a person.
        track: Name of a track.
        path: Path of an image, as it was added.
        since: Images from this time on, in ISO 8601 (UTC where it names no zone) or seconds.
        until: Images before this time.
        field: A free field as NAME=VALUE; given twice, both must hold.
    """

    camera: _Words = field(default_factory=list)
    person: _Words = field(default_factory=list)
    track: _Words = field(default_factory=list)
    path: _Words = field(default_factory=list)
    since: str | None = None
    until: str | None = None
    field: _Words = field(default_factory=list)

    def filter(self) -> "Filter":
        """The same for a gallery."""
        from drfm.gallery.items import Filter, fields_of, parse_time

        since, until = (None if text is None else parse_time(text) for text in (self.since, self.until))
        return Filter(
            tuple(self.camera), tuple(self.person), tuple(self.track), tuple(self.path), since, until,
            fields_of(self.field),
        )  # fmt: skip


_ALL_IMAGES = Where()


@app.command
def create(gallery: str, /, *, bundle: Path | None = None, size: int | None = None) -> None:
    """Make an empty gallery.

    Args:
        gallery: A new folder; or, with the extra `milvus`, a path ending in .db (Milvus Lite) or
            http(s)://HOST:PORT/COLLECTION.
        bundle: Folder that `drfm bundle` made, or a file that `drfm export` wrote; only its vectors can be
            added then.
        size: Dimensions of a vector, instead of a bundle.
    """
    from drfm.gallery.opening import create_store

    if (bundle is None) == (size is None):
        raise DrfmError("create: give --bundle, or --size")
    model = ""
    if bundle is not None:
        encoder = _encoder(bundle)
        size, model = encoder.dimension, encoder.id
    store = create_store(gallery, int(size or 0), model)
    say(f"{store.location}: made for vectors of {store.size} numbers{_of(store)}")
    store.close()


@app.command
def add(
    gallery: str,
    paths: list[Path],
    /,
    *,
    bundle: Path | None = None,
    vectors: Path | None = None,
    camera: str | None = None,
    field: _Words | None = None,
    skip_bad: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Add images, folders of images, or lists; what is in the gallery already is left as it is.

    A list is a CSV file with a column path and, where known, camera, time, person and track; other columns
    are free fields. Every line of the output that counts images speaks of images that are on disk.

    Args:
        gallery: Where the gallery lies.
        paths: Images, folders, or CSV files.
        bundle: Folder that `drfm bundle` made, or a file that `drfm export` wrote; encodes the images.
        vectors: Instead of a bundle, a .npy file with one float32 row of unit length for each image in order.
        camera: Camera of images whose list names none.
        field: A free field for all of these images, as NAME=VALUE.
        skip_bad: Leave out images that cannot be read, and list them, instead of stopping.
    """
    from drfm.gallery.opening import open_store

    items = _listed(paths, camera, field or [])
    given = _given(vectors, len(items))
    encoder = _encoder(bundle) if bundle is not None else None
    if (encoder is None) == (given is None):
        raise DrfmError("add: give --bundle, or --vectors")
    store = open_store(gallery)
    _check_model(store, encoder)
    known = store.known([item.path for item in items])
    fresh = {item.path: at for at, item in reversed(list(enumerate(items))) if item.path not in known}
    rows = sorted(fresh.values())
    added = skipped = 0
    for start in range(0, len(rows), BATCH):
        part = [items[at] for at in rows[start : start + BATCH]]
        if encoder is None:
            made = given[rows[start : start + BATCH]]
        else:
            part, made = _encoded(encoder, part, skip_bad)
        skipped += len(rows[start : start + BATCH]) - len(part)
        added += len(store.add(part, made))
        say(f"{added} of {len(rows)} images added")
    left_out = f"{skipped} left out, " if skipped else ""
    there = f"{len(items) - len(rows)} there already"
    say(f"{store.location}: {added} added, {left_out}{there}, {store.count()} in all")
    store.close()


@app.command
def remove(gallery: str, /, *, where: Where = _ALL_IMAGES, all: bool = False, compact: bool = False) -> None:
    """Remove the images that a filter finds.

    Args:
        gallery: Where the gallery lies.
        where: Which images.
        all: Remove all images, instead of a filter.
        compact: Rewrite the files at once, so that removed vectors are gone from the disk.
    """
    from drfm.gallery.opening import open_store

    wanted = where.filter()
    if bool(wanted) == all and not (compact and not wanted):
        raise DrfmError("remove: give a filter, such as --path or --camera, or --all")
    store = open_store(gallery)
    removed = store.remove(wanted) if wanted or all else 0
    if compact:
        store.compact()
    say(f"{store.location}: {removed} removed, {store.count()} left")
    store.close()


@app.command
def info(gallery: str, /, *, verify: bool = False, format: Literal["text", "json"] = "text") -> None:
    """Say what a gallery holds.

    Args:
        gallery: Where the gallery lies.
        verify: Read all vectors, compare them with their checksums, and sum the gallery up.
        format: What is shown.
    """
    from drfm.gallery.embedded import Embedded
    from drfm.gallery.move import checksum
    from drfm.gallery.opening import open_store

    store = open_store(gallery)
    told: dict[str, Any] = {
        "location": store.location, "images": store.count(), "size": store.size, "model": store.model,
        "cameras": store.names("camera"), "persons": len(store.names("person")),
        "tracks": len(store.names("track")),
    }  # fmt: skip
    if verify:
        if isinstance(store, Embedded) and (bad := store.damaged()):
            raise DrfmError(
                f"{gallery}: {len(bad)} damaged vectors, the first of {bad[0]}; remove and add them"
            )
        told["sha256"] = checksum(store).sha256
    store.close()
    if format == "json":
        say(json.dumps(told, indent=1, sort_keys=True))
    else:
        told["cameras"] = ", ".join(told["cameras"]) or "none known"
        told["model"] = told["model"] or "not said"
        say("\n".join(f"{key:9} {value}" for key, value in told.items()))


@app.command
def search(
    gallery: str,
    queries: list[Path] | None = None,
    /,
    *,
    bundle: Path | None = None,
    vectors: Path | None = None,
    k: int = 10,
    where: Where = _ALL_IMAGES,
    expand: int = 0,
    rerank: int = 0,
    one_per_track: Annotated[bool, Parameter(negative=())] = False,
    by_camera: Annotated[bool, Parameter(negative=())] = False,
    format: Literal["table", "json", "csv"] = "table",
) -> None:
    """Find the images that are most similar to each query.

    With a calibrated bundle each image has a verdict, as on the search page.

    Args:
        gallery: Where the gallery lies.
        queries: Images of persons to look for.
        bundle: Folder that `drfm bundle` made, or a file that `drfm export` wrote; encodes the queries.
        vectors: Instead of images and bundle, a .npy file with a float32 row of unit length for each query.
        k: Images in an answer.
        where: Which images take part.
        expand: Query expansion: nearest images that are averaged into the query.
        rerank: k-reciprocal re-ranking of this many nearest images, at least k.
        one_per_track: Show the best image of each track alone.
        by_camera: Give an answer for each camera.
        format: What is shown.
    """
    from drfm.gallery.opening import open_store
    from drfm.gallery.search import Search
    from drfm.gallery.search import search as find

    how = Search(k, where.filter(), expand, rerank, one_per_track, by_camera)
    if (bundle is None) == (vectors is None) or (bundle is not None) != bool(queries):
        raise DrfmError("search: give images and --bundle, or --vectors")
    store = open_store(gallery)
    names = [str(path) for path in queries or []]
    encoder = _encoder(bundle) if bundle is not None else None
    if encoder is not None:
        _check_model(store, encoder)
        asked = encoder.encode(names)
    else:
        asked = _given(vectors, None)
        names = [f"row {number}" for number in range(len(asked))]
    answers = dict(zip(names, find(store, asked, how), strict=True))
    store.close()
    show(answers, {} if encoder is None else verdicts(answers, encoder.record["calibration"]), format)


@app.command
def move(gallery: str, target: str, /, *, keep: bool = False) -> None:
    """Move a gallery to another place or kind; a cut move goes on when it is given again.

    The first gallery is deleted once the second, opened anew, has the same count and checksum.

    Args:
        gallery: Where the gallery lies.
        target: Where it is to lie.
        keep: Keep the first gallery.
    """
    from drfm.gallery.move import move as carry

    found = carry(gallery, target, keep=keep, say=note)
    deleted = "" if keep else f"; {gallery} deleted"
    say(f"{target}: {found.count} images, sha256 {found.sha256}, verified{deleted}")


def _encoder(bundle: Path) -> Any:
    """With torch for the folder of a bundle, without it for an exported file."""
    from drfm.serving.start import open_encoder

    return open_encoder(bundle)


def _encoded(encoder: Any, part: "list[Item]", skip_bad: bool) -> "tuple[list[Item], Any]":
    """Images and their vectors; with ``skip_bad`` those that cannot be read are told and left out."""
    from drfm.data.imagefile import open_image

    try:
        return part, encoder.encode([item.path for item in part])
    except DrfmError:
        if not skip_bad:
            raise
    readable: list[Item] = []
    for item in part:
        try:
            open_image(Path(item.path))
            readable.append(item)
        except DrfmError as error:
            note(f"left out: {error}")
    return readable, encoder.encode([item.path for item in readable])


def _check_model(store: "Store", encoder: Any) -> None:
    if encoder is not None and store.model and encoder.id != store.model:
        raise DrfmError(
            f"{store.location}: holds vectors of bundle {store.model}, not of {encoder.id}; "
            "vectors of two models cannot be compared"
        )


def _of(store: "Store") -> str:
    return f" of bundle {store.model}" if store.model else ""


def _listed(paths: list[Path], camera: str | None, pairs: list[str]) -> "list[Item]":
    from dataclasses import replace

    from drfm.data.listing import list_images, require_images
    from drfm.gallery.items import Item, fields_of, read_list

    if not paths:
        raise DrfmError("add: give images, folders or CSV files")
    items: list[Item] = []
    for path in paths:
        if path.is_dir():
            names = require_images(list_images(path), path, "images in it or below")
            items += [Item(str(path / name)) for name in names]
        elif path.suffix.lower() == ".csv":
            items += read_list(path)
        else:
            items.append(Item(str(path)))
    fields = fields_of(pairs)
    return [
        replace(item, camera=item.camera or camera or None, fields={**fields, **item.fields})
        for item in items
    ]


def _given(vectors: Path | None, count: int | None) -> Any:
    """Rows of a .npy file; ``None`` where no file is given."""
    if vectors is None:
        return None
    import numpy as np

    try:
        rows = np.load(vectors, allow_pickle=False)
    except OSError as error:
        raise DrfmError(f"{vectors}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError):
        raise DrfmError(f"{vectors}: is no .npy file of numbers; `numpy.save` writes one") from None
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype != np.float32:
        raise DrfmError(f"{vectors}: give a .npy file with a float32 matrix, one row an image")
    if count is not None and len(rows) != count:
        raise DrfmError(f"{vectors}: {len(rows)} rows for {count} images; give one each")
    return rows

"""A gallery told in one page: what is in it, how it spreads, and what looks twice the same."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from drfm.errors import DrfmError
from drfm.evaluation.embedding import embedding_map, on_the_map, project
from drfm.evaluation.kernels import IntArray
from drfm.evaluation.page import page, section, table, tile, unordered
from drfm.evaluation.pictures import Pixels, data_uri
from drfm.evaluation.plots import Axis, Line, Panel, chart

SAMPLE, PAIRS = 500, 6
"""Images whose nearest neighbour is looked for; most alike pairs that are shown."""
_BINS = 15
Vectors = npt.NDArray[np.float32]


def gallery_page(
    title: str,
    vectors: Vectors,
    names: Sequence[str],
    *,
    fields: Mapping[str, Sequence[str]] | None = None,
    heights: npt.ArrayLike | None = None,
    blurry: npt.ArrayLike | None = None,
    picture: Callable[[int], Pixels] | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> str:
    """A self-contained HTML page on N images of a gallery; no request, no script.

    Large galleries are sampled, by ``seed``: 1,000 images for the map, 500 for the nearest neighbours.

    Args:
        title: name of the gallery.
        vectors: ``(N, D)`` float32 unit rows, N at least 1; may be a memory map.
        names: N names.
        fields: what is known of the images, such as ``camera`` or ``person``, to N words; ``""`` for unknown.
            Those with more than one value colour the map, four at most.
        heights: ``(N,)`` native heights in pixels, 0 for unknown.
        blurry: ``(N,)`` true for low-resolution captures.
        picture: gives the ``(H, W, 3)`` uint8 image of a row; without it no image is shown.
        notes: sentences for the top of the page.
        seed: of the samples.

    Raises:
        DrfmError: the gallery is empty, or an argument does not have one entry an image.
    """
    count = len(vectors)
    fields = dict(fields or {})
    low = np.zeros(count, bool) if blurry is None else np.asarray(blurry, bool)
    tall = None if heights is None else np.asarray(heights, np.int64)
    if count == 0:
        raise DrfmError(f"{title}: the gallery is empty; add images first")
    for name, values in {"names": names, "heights": tall, "blurry": low, **fields}.items():
        if values is not None and len(values) != count:
            raise DrfmError(f"{name}: {len(values)} entries for {count} images; give one each")
    if blurry is not None:
        fields["resolution"] = ["blurry" if value else "sharp" for value in low]
    if tall is not None:
        tall = tall[tall > 0] if (tall > 0).any() else None
    near, rows, similarity = _neighbours(vectors, seed)
    body = [
        f"<h1>{escape(title)}</h1>",
        _tiles(vectors, fields, tall),
        section("What to keep in mind", "", unordered([*notes, *_NOTES])),
        section(
            "Map of the images",
            _MAP if blurry is None else f"{_MAP} {_RINGS}",
            _map(vectors, names, fields, low, seed),
        ),
        section("Sizes", "", _histogram("Native heights", tall, "pixels") if tall is not None else ""),
        section(
            "Neighbours", _NEAR, _histogram("Similarity of the nearest other image", similarity, "cosine")
        ),
        section("Most alike", _ALIKE, *_alike(near, rows, similarity, names, picture)),
    ]
    return page(title, "\n".join(filter(None, body)))


_NOTES = (
    "Images are compared by appearance, mostly clothing: near does not mean the same person.",
    "What is shown here are images of people. Keep the page as you keep the images.",
)
_MAP = (
    "Each point is an image, and images that the model takes for alike lie together. Distances between "
    "islands, and their sizes, mean little: the map is made by t-SNE."
)
_RINGS = "A ring is a blurry capture, a full dot a sharp one."
_NEAR = "How similar the nearest other image of the gallery is. Values close to 1 are copies or bursts."
_ALIKE = (
    "The pairs of the highest similarity: copies, bursts, or two persons whom the model cannot tell apart."
)


def _tiles(
    vectors: Vectors, fields: Mapping[str, Sequence[str]], heights: npt.NDArray[np.int64] | None
) -> str:
    found = [tile(f"{len(vectors):,}", f"images, {vectors.shape[1]} numbers each")]
    for name, values in fields.items():
        known = [value for value in values if value]
        number = len(set(known))
        share = "" if len(known) == len(values) else f"; unknown for {len(values) - len(known):,} images"
        found.append(tile(f"{number:,}", f"value{'' if number == 1 else 's'} of {name}{share}"))
    if heights is not None:
        ends = f"native heights from {heights.min()} to {heights.max()} pixels"
        found.append(tile(f"{np.median(heights):.0f}", f"pixels high at the median; {ends}"))
    return f'<div class="tiles">{"".join(found)}</div>'


def _map(
    vectors: Vectors, names: Sequence[str], fields: Mapping[str, Sequence[str]], blurry: IntArray, seed: int
) -> str:
    shown = on_the_map(np.full(len(vectors), -1), seed=seed).tolist()
    several = [name for name, values in fields.items() if len(set(values)) > 1][:4]
    colourings = {name: [fields[name][row] or f"no {name}" for row in shown] for name in several}
    tips = [
        ", ".join([names[row], *(values[row] for values in fields.values() if values[row])]) for row in shown
    ]
    places = project(np.asarray(vectors[shown]), seed)
    return embedding_map(
        places, colourings or {"nothing": ["image"] * len(shown)}, blurry[shown].tolist(), tips
    )


def _neighbours(vectors: Vectors, seed: int) -> tuple[IntArray, IntArray, Vectors]:
    """For some rows: the nearest other row, the row itself, and their similarity."""
    count = len(vectors)
    rows = np.sort(np.random.default_rng(seed).permutation(count)[:SAMPLE]) if count > 1 else np.zeros(0, int)
    near, best = np.zeros(len(rows), np.int64), np.full(len(rows), -np.inf, np.float32)
    own = np.asarray(vectors[rows])
    for start in range(0, count, 8192):
        similarity = own @ np.asarray(vectors[start : start + 8192]).T
        inside = np.flatnonzero((rows >= start) & (rows < start + 8192))
        similarity[inside, rows[inside] - start] = -np.inf
        at = similarity.argmax(1)
        value = similarity[np.arange(len(rows)), at]
        near, best = np.where(value > best, at + start, near), np.maximum(value, best)
    return near, rows, best


def _histogram(title: str, values: npt.ArrayLike, unit: str) -> str:
    numbers = np.asarray(values, float)
    if numbers.size == 0:
        return ""
    counts, edges = np.histogram(numbers, bins=min(_BINS, len(np.unique(numbers))))
    middle = (edges[:-1] + edges[1:]) / 2
    line = Line("images", list(zip(middle.tolist(), counts.tolist(), strict=True)), filled=True)
    return f'<div class="charts">{chart(Panel(title, [line], Axis(unit), Axis("images", low=0.0)))}</div>'


def _alike(
    near: IntArray,
    rows: IntArray,
    similarity: Vectors,
    names: Sequence[str],
    picture: Callable[[int], Pixels] | None,
) -> list[str]:
    pairs: dict[tuple[int, int], float] = {}
    for place in np.argsort(-similarity, kind="stable").tolist():
        first, second = sorted((int(rows[place]), int(near[place])))
        pairs.setdefault((first, second), float(similarity[place]))
    shown = list(pairs.items())[:PAIRS]
    if not shown:
        return []
    if picture is None:
        lines = [("", [names[one], names[two], f"{value:.3f}"]) for (one, two), value in shown]
        return [table(["image", "image", "similarity"], lines, words=2)]
    found = []
    for pair, value in shown:
        shots = "".join(
            f'<div class="shot"><img src="{data_uri(picture(row))}" alt="{escape(names[row])}"></div>'
            for row in pair
        )
        words = f"{names[pair[0]]} and {names[pair[1]]}: {value:.3f}"
        found.append(f'<p class="soft">{escape(words)}</p><div class="list">{shots}</div>')
    return found

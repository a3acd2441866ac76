"""Images of a report: ranked lists, with every image inside the page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

from drfm.data.records import LR
from drfm.evaluation.examples import Example
from drfm.resolution.pairs import PairSet

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Card:
    """One ranked list to show.

    Attributes:
        query: ``(H, W, 3)`` uint8 RGB, the captured image.
        twin: its counterpart in the other space, such as the super-resolved image, or ``None``.
        gallery: the first gallery images, best first.
        right: whether each shows the query's person.
        similarity: cosine similarity of each.
        first: rank of the first match in the whole gallery, from 1.
        twin_name: what the twin is.
    """

    query: Pixels
    twin: Pixels | None
    gallery: Sequence[Pixels]
    right: Sequence[bool]
    similarity: Sequence[float]
    first: int
    twin_name: str = "super-resolved"


def cards(examples: Sequence[Example], query: PairSet, gallery: PairSet) -> list[Card]:
    """The images of ``examples``: captures as they are, and the twin that the query was given."""
    found = []
    for example in examples:
        low = query.origin[example.query] == LR
        shots = query.lr[example.query], query.hr[example.query]
        found.append(
            Card(
                query=np.asarray(shots[0 if low else 1]),
                twin=np.asarray(shots[1 if low else 0]),
                gallery=[_capture(gallery, row) for row in example.gallery],
                right=example.right,
                similarity=example.similarity,
                first=example.first,
                twin_name="super-resolved" if low else "down-sampled",
            )
        )
    return found


def ranked_list(card: Card) -> str:
    """One row: the query, its twin, and the gallery images marked right or wrong."""
    shots = [_shot(card.query, "query", "<b>query</b>", "the captured image")]
    if card.twin is not None:
        shots.append(_shot(card.twin, "query", f"<b>{escape(card.twin_name)}</b>", "made from the query"))
    shots.append('<div class="gap"></div>')
    for place, (image, right, similarity) in enumerate(
        zip(card.gallery, card.right, card.similarity, strict=True), start=1
    ):
        mark = "✓ right" if right else "✗ wrong"
        style = "right" if right else "wrong"
        shots.append(
            _shot(image, style, f"<b>{place}. {mark}</b><br>{similarity:.2f}", f"rank {place}, {mark}")
        )
    if card.first > len(card.gallery):
        shots.append(f'<div class="shot">first match<br>at rank {card.first}</div>')
    return f'<div class="list">{"".join(shots)}</div>'


def data_uri(image: Pixels) -> str:
    """A ``data:`` address that holds ``image`` as JPEG without colour sub-sampling."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _capture(pairs: PairSet, row: int) -> Pixels:
    return np.asarray((pairs.lr if pairs.origin[row] == LR else pairs.hr)[row])


def _shot(image: Pixels, style: str, caption: str, words: str) -> str:
    return f'<div class="shot {style}"><img src="{data_uri(image)}" alt="{escape(words)}">{caption}</div>'

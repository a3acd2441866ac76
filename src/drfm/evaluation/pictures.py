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
        right: whether each shows the query's person; empty where that is not known.
        similarity: cosine similarity of each.
        first: rank of the first match in the whole gallery, from 1; 0 where that is not known.
        twin_name: what the twin is.
        match: the first match, shown where it is not among ``gallery``.
        words: a line above the list.
    """

    query: Pixels
    twin: Pixels | None
    gallery: Sequence[Pixels]
    right: Sequence[bool]
    similarity: Sequence[float]
    first: int
    twin_name: str = "super-resolved"
    match: Pixels | None = None
    words: str = ""


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
                gallery=[capture(gallery, row) for row in example.gallery],
                right=example.right,
                similarity=example.similarity,
                first=example.first,
                twin_name="super-resolved" if low else "down-sampled",
                match=None if example.match < 0 else capture(gallery, example.match),
                words=_words(query, example),
            )
        )
    return found


def ranked_list(card: Card) -> str:
    """One row: the query, its twin, and the gallery images marked right or wrong."""
    shots = [_shot(card.query, "query", "<b>query</b>", "the captured image")]
    if card.twin is not None:
        shots.append(_shot(card.twin, "query", f"<b>{escape(card.twin_name)}</b>", "made from the query"))
    shots.append('<div class="gap"></div>')
    rights: Sequence[bool | None] = card.right or [None] * len(card.gallery)
    for place, (image, right, similarity) in enumerate(
        zip(card.gallery, rights, card.similarity, strict=True), start=1
    ):
        style, mark = _MARKS[right]
        shots.append(
            _shot(image, style, f"<b>{place}. {mark}</b><br>{similarity:.2f}", f"rank {place} {mark}".strip())
        )
    if card.first > len(card.gallery):
        late = f"first match<br>at rank {card.first:,}"
        words = f"first match, at rank {card.first}"
        shots.append(
            f'<div class="shot">{late}</div>'
            if card.match is None
            else _shot(card.match, "late", late, words)
        )
    above = f'<p class="soft">{escape(card.words)}</p>' if card.words else ""
    return f'{above}<div class="list">{"".join(shots)}</div>'


_MARKS = {True: ("right", "✓ right"), False: ("wrong", "✗ wrong"), None: ("", "")}


_TALL = 384


def data_uri(image: Pixels) -> str:
    """A ``data:`` address that holds ``image`` as JPEG, at most 384 pixels high."""
    picture = Image.fromarray(image)
    if picture.height > _TALL:
        picture = picture.resize(
            (max(1, picture.width * _TALL // picture.height), _TALL), Image.Resampling.BOX
        )
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def capture(pairs: PairSet, row: int) -> Pixels:
    """The captured image of a pair, ``(H, W, 3)`` uint8."""
    return np.asarray((pairs.lr if pairs.origin[row] == LR else pairs.hr)[row])


def _words(query: PairSet, example: Example) -> str:
    found = "" if not example.first else f", first match at rank {example.first:,}"
    return f"{query.names[example.query]}, {query.height[example.query]} pixels high{found}"


def _shot(image: Pixels, style: str, caption: str, words: str) -> str:
    return f'<div class="shot {style}"><img src="{data_uri(image)}" alt="{escape(words)}">{caption}</div>'

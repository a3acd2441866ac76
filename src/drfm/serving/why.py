"""Why two images are found similar: maps over the two images of each pair. Needs the torch engine."""

from collections.abc import Sequence

from drfm.data.records import HR
from drfm.evaluation.explain import Maps, explain_pair, overlay
from drfm.gallery.torch_engine import TorchEncoder
from drfm.models.inputs import to_input
from drfm.resolution.pairs import PairSet, Source
from drfm.serving.answers import Pixels

Side = dict[Source, tuple[Pixels, Pixels, bool]]
"""For each image that the model takes, ``hr`` and ``lr`` or the only one: the image, its map over it, and
whether it is a twin, which was made, and no capture."""


def maps(encoder: TorchEncoder, query: Pixels, match: Pixels) -> tuple[Side, Side]:
    """What makes the query similar to the match, and the match to the query.

    Args:
        encoder: of the bundle that made the gallery.
        query: ``(H, W, 3)`` uint8 RGB of any size.
        match: the same.
    """
    crops = [query, match]
    pairs = encoder.pairs(crops, [encoder.resolution_of(len(crop)) for crop in crops])
    views = encoder.model.views
    images = [[to_input(pairs.take(view, slice(row, row + 1)), "cpu") for view in views] for row in range(2)]
    of_query, of_match = explain_pair(
        encoder.model, images[0], images[1], features=encoder.preprocessing.features
    )
    return _side(pairs, 0, views, of_query[0]), _side(pairs, 1, views, of_match[0])


def _side(pairs: PairSet, row: int, views: Sequence[Source], heat: Maps) -> Side:
    shown = {view: pairs.take(view, slice(row, row + 1))[0] for view in views}
    captured = ("native", "hr" if pairs.origin[row] == HR else "lr")
    return {view: (image, overlay(image, heat[view]), view not in captured) for view, image in shown.items()}

"""What a report shows of a model: ranked lists, failures, explanation maps, a map of the feature space."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from drfm.config import Config
from drfm.data.records import HR, LR
from drfm.engine.checkpoint import load_checkpoint
from drfm.evaluation.embedding import embedding_map, on_the_map, project
from drfm.evaluation.evaluate import feature_of, headline_of
from drfm.evaluation.examples import Example, RankedLists, nearest
from drfm.evaluation.explain import Heat, explain_rows, overlay
from drfm.evaluation.heights import by_height
from drfm.evaluation.kernels import IntArray
from drfm.evaluation.pictures import Pixels, cards
from drfm.evaluation.report import Looks
from drfm.evaluation.sheet import Sheet
from drfm.labels.state import labels_from_state
from drfm.models.build import Model
from drfm.models.extract import extract
from drfm.recipes.data import Part, TestSet, choose_device
from drfm.recipes.testing import encode
from drfm.resolution.pairs import PairSet, Source

EXAMPLES, HARDEST, EXPLAINED = 8, 4, 6
"""Ranked lists, failures, and rows of explanation maps in a report."""


def ranked_lists(model: Model, test: TestSet, config: Config) -> RankedLists:
    """The gallery of a test ranked by a model that is on its device."""
    features = encode(model, test, config, choose_device(config.train.device))
    return RankedLists.of(
        *features, test.query.labels, test.gallery.labels, features=config.evaluation.features
    )


def look(model: Model, test: TestSet, config: Config) -> Looks:
    """What there is to look at in a test."""
    lists = ranked_lists(model, test, config)
    query, gallery = test.query.pairs, test.gallery.pairs
    typical = lists.typical(EXAMPLES)
    persons = np.concatenate([lists.query.persons, lists.gallery.persons])
    rows = torch.cat([lists.rows, lists.columns])
    return Looks(
        examples=cards(typical, query, gallery),
        hardest=cards(lists.hardest(HARDEST), query, gallery),
        sheet=explained(typical[:EXPLAINED], (lists.rows, lists.columns), model, (query, gallery), config),
        embedding=_map(rows, persons, {"person": persons}, [query, gallery]),
        heights=by_height(lists.ranking, query.height),
    )


def look_unlabelled(model: Model, train: Part, config: Config, run: Path) -> Looks:
    """What there is to look at without identities, in the training images."""
    pairs, device = train.pairs, choose_device(config.train.device)
    features = extract(
        model, pairs, device=device, batch_size=config.train.extract_batch, precision=config.train.precision
    )
    rows = feature_of(features, headline_of(features, config.evaluation.features))
    low, high = (np.flatnonzero(pairs.origin == origin) for origin in (LR, HR))
    shown = [
        Example(int(low[one.query]), tuple(high[list(one.gallery)].tolist()), (), one.similarity, 0)
        for one in nearest(rows[low.tolist()], rows[high.tolist()], count=EXAMPLES)
        if one.gallery
    ]
    clusters = _clusters(run, len(pairs))
    colours = {} if clusters is None else {"cluster": clusters}
    return Looks(
        examples=cards(shown, pairs, pairs),
        sheet=explained(shown[:EXPLAINED], (rows, rows), model, (pairs, pairs), config),
        embedding=_map(rows, np.full(len(pairs), -1) if clusters is None else clusters, colours, [pairs]),
    )


def explained(
    examples: Sequence[Example],
    features: tuple[Tensor, Tensor],
    model: Model,
    pairs: tuple[PairSet, PairSet],
    config: Config,
) -> Sheet:
    """Queries and the first images of their lists beside maps of what makes them alike (the paper's Fig. 1).

    Args:
        examples: ranked lists, each with a gallery image.
        features: rows of the test feature of queries and gallery.
        model: on its device.
        pairs: queries and gallery.
        config: of the run.
    """
    device, name = choose_device(config.train.device), config.evaluation.features
    heads = [example.gallery[0] for example in examples]
    queries = [example.query for example in examples]
    ahead = explain_rows(model, pairs[0], queries, features[1][heads], features=name, device=device)
    back = explain_rows(model, pairs[1], heads, features[0][queries], features=name, device=device)
    views: list[Source] = list(reversed(model.views))
    spaces = {"lr": " in\nLR space", "hr": " in\nHR space", "native": ""}
    titles = [title for view in views for title in (f"query{spaces[view]}", "its map")]
    rows, words = [], []
    for example, head, own, other in zip(examples, heads, ahead, back, strict=True):
        row = [picture for view in views for picture in _beside(pairs[0], example.query, view, own[view])]
        rows.append([*row, *_beside(pairs[1], head, views[-1], other[views[-1]])])
        mark = {(): "", (True,): ", ✓ right", (False,): ", ✗ wrong"}[example.right[:1]]
        words.append(f"{pairs[0].names[example.query]}: similarity {example.similarity[0]:.2f}{mark}")
    return Sheet([*titles, "first in\nits list", "its map"], rows, words)


def _beside(pairs: PairSet, row: int, view: Source, heat: Heat) -> tuple[Pixels, Pixels]:
    image = np.asarray(pairs.take(view, slice(row, row + 1))[0])
    return image, overlay(image, heat)


def _map(rows: Tensor, groups: IntArray, colours: Mapping[str, IntArray], parts: Sequence[PairSet]) -> str:
    """The map of some of the images, whole ``groups`` together."""
    shown = on_the_map(groups)
    origin, height = (
        np.concatenate([getattr(part, name) for part in parts])[shown] for name in ("origin", "height")
    )
    names = [name for part in parts for name in part.names]
    known = {**colours, "camera": np.concatenate([part.camera for part in parts])}
    colourings = {
        name: [f"{name} {value}" if value >= 0 else f"no {name}" for value in values[shown].tolist()]
        for name, values in known.items()
        if (values >= 0).any()
    }
    colourings["resolution"] = ["blurry" if value == LR else "sharp" for value in origin.tolist()]
    tips = [
        ", ".join([names[row], f"{tall} pixels high", *(values[place] for values in colourings.values())])
        for place, (row, tall) in enumerate(zip(shown.tolist(), height.tolist(), strict=True))
    ]
    places = project(rows[shown.tolist()].cpu().numpy())
    return embedding_map(places, colourings, (origin == LR).tolist(), tips)


def _clusters(run: Path, count: int) -> IntArray | None:
    """The last pseudo-labels of a run, if its checkpoint is still there."""
    if not (run / "checkpoint.pt").exists():
        return None
    labels = labels_from_state(load_checkpoint(run / "checkpoint.pt").get("labels", {}))
    return labels.labels if labels is not None and len(labels.labels) == count else None

"""One test: query and gallery through the model, ranked under the protocol."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drfm.config import Config
from drfm.data.records import HR, LR
from drfm.evaluation.distances import Distances, distance_distributions
from drfm.evaluation.evaluate import evaluate, feature_of, headline_of
from drfm.evaluation.ranking import Labels
from drfm.evaluation.result import Result
from drfm.files import read_json, write_atomic, write_json
from drfm.models.build import Model
from drfm.models.extract import extract
from drfm.models.features import Features
from drfm.recipes.data import TestSet
from drfm.resolution.pairs import PairSet

Encodings = tuple[Features, Features]
"""Features of query and gallery."""


def encode(model: Model, data: TestSet, config: Config, device: torch.device) -> Encodings:
    """Features of query and gallery as the test sees them."""

    def features(pairs: PairSet) -> Features:
        return extract(
            model,
            pairs,
            device=device,
            batch_size=config.train.extract_batch,
            precision=config.train.precision,
            flip=config.evaluation.flip,
        )

    return features(data.query.pairs), features(data.gallery.pairs)


def rank(features: Encodings, data: TestSet, config: Config, facts: Mapping[str, Any], stage: str) -> Result:
    """Rank under the run's protocol; ``stage`` is ``"untrained"``, ``"training"`` or ``"trained"``."""
    known = {**facts, "stage": stage}
    return evaluate(
        features[0], features[1], data.query.labels, data.gallery.labels, config.evaluation, known
    )


def distances(features: Encodings, data: TestSet, space: str) -> Distances:
    """Distances of same- and cross-resolution pairs over query and gallery together.

    Where each resolution has one camera, pairs of one person from one camera count too: there are no others
    within a resolution. ``numbers["one_camera"]`` says so.
    """
    name = headline_of(features[0], space)
    labels = Labels(
        persons=np.concatenate([data.query.labels.persons, data.gallery.labels.persons]),
        cameras=np.concatenate([data.query.labels.cameras, data.gallery.labels.cameras]),
    )
    origin = np.concatenate([data.query.pairs.origin, data.gallery.pairs.origin])
    one_camera = all(len(np.unique(labels.cameras[origin == value])) <= 1 for value in (HR, LR))
    if one_camera:
        labels = Labels(labels.persons, np.full(len(labels), -1))
    found = distance_distributions(torch.cat([feature_of(side, name) for side in features]), labels, origin)
    return replace(found, numbers=found.numbers | {"one_camera": float(one_camera)})


def save_stage(run: Path, stage: str, result: Result, spread: Distances) -> None:
    """Write a stage's result (JSON and Markdown) and distances into the run folder."""
    write_json(run / f"{stage}.json", result.to_dict())
    write_atomic(run / f"{stage}.md", result.to_markdown())
    write_json(run / f"{stage}-distances.json", spread.to_dict())


def read_distances(run: Path, stage: str) -> Distances | None:
    """The distances of a stage, if the run has them."""
    path = run / f"{stage}-distances.json"
    if not path.exists():
        return None
    found = read_json(path)
    counts = {kind: np.array(count, dtype=np.int64) for kind, count in found["counts"].items()}
    return Distances(counts=counts, numbers=found["numbers"])

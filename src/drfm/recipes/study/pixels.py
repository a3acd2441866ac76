"""The floor below every network: images compared by their pixels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from drfm.config import Config
from drfm.files import read_json, write_atomic, write_json
from drfm.models.features import Features
from drfm.recipes.data import TestSet, prepare
from drfm.recipes.study.plan import Data
from drfm.recipes.testing import rank
from drfm.resolution.pairs import PairSet

SIZE = (32, 16)
"""Height and width in pixels to which captures are reduced before they are compared."""


def pixel_features(pairs: PairSet) -> Features:
    """Each capture's colours at 32x16, less their mean, as unit rows ``(N, 1536)`` float32.

    The reduction brings captures of every resolution to what they all hold; taking the mean off lets
    the brightness of a camera count less. A uniform image gives a row of zeros.
    """
    rows = torch.empty(len(pairs), 3 * SIZE[0] * SIZE[1])
    for row in range(len(pairs)):
        capture = Image.fromarray(pairs.take("native", slice(row, row + 1))[0])
        small = np.asarray(capture.resize(SIZE[::-1], Image.Resampling.BOX), dtype=np.float32)
        rows[row] = torch.from_numpy((small - small.mean(axis=(0, 1))).reshape(-1))
    return {"image": functional.normalize(rows)}


def rank_pixels(data: Data, run: Path, config: Config, cache: Path, skip_bad: bool = False) -> None:
    """Write ``run/trained.json`` and ``.md`` for raw pixels, under the protocol of ``config``.

    Files that are there are kept, unless they are of another benchmark or split.

    Raises:
        DrfmError: the benchmark cannot be opened, or has no test set.
    """
    kept = run / "trained.json"
    if kept.exists() and data.made(read_json(kept)["facts"]["benchmark"]):
        return
    prepared = prepare(data.folder, config, cache, split=data.split, skip_bad=skip_bad)
    test: TestSet | None = prepared.test
    if test is None:
        return
    benchmark = prepared.benchmark
    facts: Mapping[str, Any] = {
        "method": "raw pixels",
        "benchmark": {"id": benchmark.id, "name": benchmark.name, "split": benchmark.split},
        "seed": config.seed,
    }
    features = pixel_features(test.query.pairs), pixel_features(test.gallery.pairs)
    result = rank(features, test, config, facts, "trained")
    write_json(kept, result.to_dict())
    write_atomic(run / "trained.md", result.to_markdown())

"""Thresholds for a bundle, from images of known persons or from what can be guessed without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from drfm.config.load import from_dict
from drfm.data.assign import stable_hash
from drfm.data.imagefile import open_image
from drfm.data.manifest import load_benchmark
from drfm.data.records import HR, LR, Benchmark, Entry, persons
from drfm.errors import DrfmError
from drfm.gallery.bundle import Bundle, read_bundle, write_calibration
from drfm.gallery.calibration import Evidence, calibrate
from drfm.gallery.encoder import Encoder
from drfm.gallery.torch_engine import TorchEncoder
from drfm.labels.clustering import cluster
from drfm.labels.cpg import generate
from drfm.methods.clusters import cluster_or_adjust
from drfm.resolution.downsample import downsample

LIMIT = 4000
"""Images that are compared at most; whole groups are left out by a hash."""
TWIN_RATES = (2, 3, 4, 8)
"""Sharp captures are made this much smaller to stand for blurry queries, where there are no labels."""


def calibrate_bundle(
    folder: Path,
    benchmark: Path,
    *,
    split: int = 0,
    labels: Literal["auto", "persons", "pseudo"] = "auto",
    likely: float = 0.001,
    possible: float = 0.01,
    device: str = "auto",
) -> Bundle:
    """Measure thresholds on a benchmark and write them into the bundle.

    Args:
        folder: the bundle.
        benchmark: folder of a built benchmark.
        split: split of it.
        labels: ``persons`` takes the identities of its query and gallery images, ``pseudo`` clusters its
            training images and makes twins of them, ``auto`` takes persons where they are known.
        likely: false-match rate of that verdict.
        possible: false-match rate of that verdict.
        device: where the model runs.

    Raises:
        DrfmError: no persons are known though they are asked for, no clusters are found, or too few images.
    """
    bundle = read_bundle(folder)
    data = load_benchmark(benchmark, split)
    tested = data.query + data.gallery
    known = len(tested) > 0 and bool((persons(tested) >= 0).any())
    if labels == "persons" and not known:
        raise DrfmError(f"--labels persons: {benchmark} has no test images of known persons; give pseudo")
    encoder = TorchEncoder(bundle, device)
    if known and labels != "pseudo":
        evidence, notes = _labelled(encoder, tested), [_PERSONS.format(data=_name(data))]
        if data.id == bundle.record["training"]["benchmark"]["id"]:
            notes.append(_SAME_TEST)
    else:
        evidence, notes = _unlabelled(encoder, data.train, bundle), [_PSEUDO.format(data=_name(data))]
    labelled = known and labels != "pseudo"
    found = {**calibrate(evidence, {"likely": likely, "possible": possible}), "labelled": labelled}
    source = "persons" if labelled else "pseudo-labels and twins"
    facts: dict[str, Any] = {
        "source": source,
        "benchmark": {"id": data.id, "name": data.name, "split": split},
    }
    return write_calibration(bundle, {**found, **facts, "notes": [*notes, *_ends(found)]})


_PERSONS = (
    "From identities of the query and gallery images of {data}. Half of the persons gave the thresholds, the "
    "other half checked them."
)
_SAME_TEST = (
    "These are the test persons of the model's own results. Do not report the accuracy of these thresholds "
    "on them, save on the half that checked them."
)
_PSEUDO = (
    "Without labels, from clusters of the training images of {data} and from smaller twins of its sharp "
    "captures; so no verdict is more than possible. Clusters are alike by construction: these figures look "
    "good for any model, also for one that tells nobody apart. Check them with labels before relying on them."
)


_END = "Evidence ends at {rows} rows; smaller queries get no verdict."


def _ends(found: dict[str, Any]) -> list[str]:
    if found["evidence_from"] is None:
        return [
            "At no height did the model find clearly more pairs of one person than false ones: no verdicts."
        ]
    if not found["labelled"]:
        return [_END.format(rows=found["evidence_from"])]
    checks = [band["likely"]["check_false"] for band in found["bands"]]
    worst = max((share for share in checks if share is not None), default=None)
    seen = (
        []
        if worst is None
        else [f"False matches called likely in the half that checked: at most {worst:.2%}."]
    )
    return [_END.format(rows=found["evidence_from"]), *seen]


def _name(data: Benchmark) -> str:
    return f"{data.name} (id {data.id}, split {data.split})"


def _labelled(encoder: Encoder, entries: Sequence[Entry]) -> Evidence:
    group = persons(entries)
    rows = _some(group)
    used = [entries[row] for row in rows]
    vectors = encoder.encode([entry.path for entry in used], [entry.resolution for entry in used])
    return Evidence(
        vectors,
        group[rows],
        np.arange(len(used)),
        np.array([entry.camera for entry in used], np.int64),
        np.array([entry.height for entry in used], np.int64),
        np.array([entry.resolution == "hr" for entry in used]),
    )


def _unlabelled(encoder: Encoder, entries: Sequence[Entry], bundle: Bundle) -> Evidence:
    vectors = encoder.encode([entry.path for entry in entries], [entry.resolution for entry in entries])
    group = _pseudo_labels(vectors, entries, bundle)
    rows = _some(group)
    images, groups, heights = [vectors[rows]], [group[rows]], [np.array([entries[r].height for r in rows])]
    source = [rows]
    sharp = np.array([row for row in rows if entries[row].resolution == "hr"], np.int64)
    for rate in TWIN_RATES:
        small = [downsample(open_image(entries[row].path), rate) for row in sharp]
        images.append(encoder.encode(small, "lr"))
        groups.append(group[sharp])
        heights.append(np.array([len(image) for image in small]))
        source.append(sharp)
    image = np.concatenate(source)
    gallery = np.zeros(len(image), bool)
    gallery[: len(rows)] = [entries[row].resolution == "hr" for row in rows]
    # Clusters often lie within one camera, so its pairs count here.
    camera = np.full(len(image), -1, np.int64)
    return Evidence(
        np.concatenate(images), np.concatenate(groups), image, camera, np.concatenate(heights), gallery
    )


def _pseudo_labels(vectors: np.ndarray, entries: Sequence[Entry], bundle: Bundle) -> np.ndarray:
    """Clusters as training makes them, of the vectors of the bundle; -1 for images without one."""
    config = from_dict(bundle.record["training"]["config"]).labels
    origin = np.array([HR if entry.resolution == "hr" else LR for entry in entries], np.int8)
    rows = torch.from_numpy(vectors)
    clusters, why = cluster_or_adjust(rows[torch.from_numpy(origin == HR)], config, cluster)
    if clusters is None:
        raise DrfmError(f"{why}: no pseudo-labels to calibrate with; give a benchmark with persons")
    return generate({"hr": rows, "lr": rows}, origin, clusters, config).labels


def _some(group: np.ndarray) -> np.ndarray:
    """Rows of at most ``LIMIT`` images, in whole groups; those without a group (below 0) are left out."""
    names, counts = np.unique(group[group >= 0], return_counts=True)
    order = sorted(range(len(names)), key=lambda number: stable_hash("calibrate", int(names[number])))
    taken = np.array(order, np.int64)[np.cumsum(counts[order]) <= LIMIT]
    return np.flatnonzero(np.isin(group, names[taken]))

"""From a finished run to a bundle that can be handed on."""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from drfm.config import Config
from drfm.config.load import from_dict
from drfm.data.manifest import load_benchmark, read_manifest
from drfm.errors import DrfmError
from drfm.evaluation.evaluate import feature_of, headline_of
from drfm.files import read_json, sha256_file
from drfm.gallery.bundle import SR, WEIGHTS, Bundle, Preprocessing, read_bundle, write_bundle
from drfm.gallery.modelcard import licence_notes
from drfm.gallery.onnx_export import export_onnx
from drfm.models.build import Model
from drfm.models.extract import encode_batch
from drfm.models.folding import folded
from drfm.models.inputs import MEAN, STD
from drfm.models.storage import load_model
from drfm.recipes.facts import read_local, read_record
from drfm.resolution.superresolve import make_resolver
from drfm.resolution.swin2sr import Swin2SR

ROWS = ("rank1", "rank5", "rank10", "map")
"""Scores on the card."""
_FACTS = (
    "method", "supervised", "seed", "benchmark", "images", "pairs", "model", "weights", "software", "machine",
    "started", "config", "identity",
)  # fmt: skip


def bundle(run: Path, out: Path, *, lr_below: int | None = None) -> Bundle:
    """Write the model of a finished run, and all that belongs to it, into the folder ``out``.

    Args:
        run: folder of a finished run.
        out: the bundle's folder; must not be there yet.
        lr_below: crops of fewer rows count as blurry. By default the height that best parts the sharp
            from the blurry captures of the training images.

    Raises:
        DrfmError: the run is not finished, was changed, or its benchmark is gone and ``lr_below`` not given.
    """
    folder = run / "model"
    if not (folder / "model.json").exists():
        raise DrfmError(f"{run}: holds no finished run; `drfm train` finishes it")
    facts, model = read_record(run), load_model(folder)
    if facts["model"].get("sha256") != sha256_file(folder / WEIGHTS):
        raise DrfmError(
            f"{folder / WEIGHTS}: is not the model of {run / 'record.json'}; train again, or restore it"
        )
    config = from_dict(facts["config"])
    kind, rule = _origin(run, facts, lr_below)
    feature, dimension = _vector(model, config)
    resolver = make_resolver(config.images, "cpu")
    sr = dict(resolver.facts())
    # Where the checkpoint lay on this machine is no part of the preparation.
    images = replace(config.images, sr_model=str(sr.get("sr_model", "none")))
    prepared = Preprocessing(images, rule["lr_below"], feature, config.evaluation.flip, MEAN, STD)
    files = {WEIGHTS: folder / WEIGHTS}
    if isinstance(resolver, Swin2SR):
        _same_sr(sr, facts, run)
        files |= {f"{SR}/{path.name}": path for path in resolver.files()}
    record = {
        "encoder": {
            "model": asdict(model.config),
            "weights": facts["model"]["sha256"],
            "dimension": dimension,
            "preprocessing": prepared.to_dict(),
            "sr": sr,
        },
        "rule": rule,
        "training": {name: facts[name] for name in _FACTS} | {"result": _result(run)},
        "licence": licence_notes(kind, facts["weights"], sr, bool(facts.get("drawn"))),
        "calibration": None,
    }
    return write_bundle(out, record, files)


def export(folder: Path, file: Path, *, half: bool = False) -> None:
    """Write the bundle in ``folder`` as one ONNX file, with ``half`` in float16.

    Raises:
        DrfmError: as :func:`drfm.gallery.onnx_export.export_onnx`.
    """
    export_onnx(read_bundle(folder), file, "float16" if half else "float32")


def height_rule(height: npt.ArrayLike, low: npt.ArrayLike) -> tuple[int, float]:
    """The height that best parts blurry from sharp captures.

    Args:
        height: ``(N,)`` native heights in pixels.
        low: ``(N,)`` bool, the blurry ones.

    Returns:
        Threshold in pixels, a capture with fewer rows being blurry, 0 where there are none; and the balanced
        accuracy, the mean of the share of blurry and of sharp captures on the right side of it, 0.5 to 1. Of
        several heights that part them equally well it is the one in the widest gap.
    """
    heights, blurry = np.asarray(height, np.int64), np.asarray(low, bool)
    if not blurry.any():
        return 0, 1.0
    if blurry.all():
        return int(heights.max()) + 1, 1.0
    values = np.unique(heights)
    ends = np.append(values, values[-1] + 1)
    below = np.searchsorted(np.sort(heights[blurry]), ends) / blurry.sum()
    above = 1 - np.searchsorted(np.sort(heights[~blurry]), ends) / (~blurry).sum()
    accuracy = (below + above) / 2
    gap = np.diff(np.log(ends), prepend=np.log(ends[0]))
    best = np.lexsort((gap, accuracy))[-1]
    if best == 0:
        return int(ends[0]), float(accuracy[0])
    return math.ceil(math.sqrt(float(ends[best - 1]) * float(ends[best]))), float(accuracy[best])


def _origin(run: Path, facts: Mapping[str, Any], given: int | None) -> tuple[str, dict[str, Any]]:
    """Reader of the run's data, empty where they are gone; and the rule that tells blurry from sharp."""
    if given is not None and given < 0:
        raise DrfmError(f"--lr-below = {given}: give 0 or more rows")
    try:
        local = read_local(run)
        data = load_benchmark(Path(local.benchmark), local.split, verify=False)
        kind = str(read_manifest(data.root)["kind"])
    except DrfmError as error:
        if given is None:
            raise DrfmError(f"{error}; or give --lr-below ROWS, and none of it is needed") from None
        return "", {"lr_below": given, "from": "given"}
    if data.id != facts["benchmark"]["id"]:
        raise DrfmError(
            f"{data.root}: is benchmark {data.id}, the run was made on {facts['benchmark']['id']}"
        )
    if given is not None:
        return kind, {"lr_below": given, "from": "given"}
    rows, accuracy = height_rule([e.height for e in data.train], [e.resolution == "lr" for e in data.train])
    return kind, {
        "lr_below": rows,
        "from": "heights of the training images",
        "balanced_accuracy": round(accuracy, 4),
    }


def _vector(model: Model, config: Config) -> tuple[str, int]:
    """Name of the test feature that the model has, and the length of its rows."""
    sizes = {"hr": config.images.hr_size, "lr": config.images.lr_size, "native": config.images.hr_size}
    network = folded(model)
    spaces = encode_batch(
        network, [torch.zeros(1, 3, *sizes[view]) for view in model.views], "float32", False
    )
    name = headline_of(spaces, config.evaluation.features)
    return name, int(feature_of(spaces, name).shape[1])


def _same_sr(sr: Mapping[str, object], facts: Mapping[str, Any], run: Path) -> None:
    trained = facts["images"].get("sr_checksum")
    if trained not in (None, sr["sr_checksum"]):
        raise DrfmError(
            f"{run}: was trained with another {sr['sr_model']} (sha256 {trained[:16]}..., here "
            f"{str(sr['sr_checksum'])[:16]}...); restore that checkpoint"
        )


def _result(run: Path) -> dict[str, Any] | None:
    """The headline rows of both tests, for the card."""
    found = {stage: run / f"{stage}.json" for stage in ("untrained", "trained")}
    results = {stage: read_json(path) for stage, path in found.items() if path.exists()}
    if "trained" not in results:
        return None
    last = results["trained"]
    return {
        "features": last["features"],
        "protocol": last["protocol"]["text"],
        "queries": last["counts"]["queries"],
        "persons": last["counts"]["persons"],
        "rows": {
            stage: {name: result["rows"][0]["exact"][name] for name in ROWS}
            for stage, result in results.items()
        },
    }

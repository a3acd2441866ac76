"""What a super-resolution back end is worth: PSNR, SSIM, time, and Rank-1 of a fixed encoder."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drfm.config import Config
from drfm.data.imagefile import open_image
from drfm.data.manifest import load_benchmark
from drfm.data.records import Benchmark
from drfm.errors import DrfmError
from drfm.files import read_json
from drfm.models.build import Model, build_model
from drfm.models.storage import load_model
from drfm.recipes.data import TestSet, choose_device, open_part
from drfm.recipes.sr.captures import Captures, find_captures
from drfm.recipes.sr.measure import Resolve, line, measure
from drfm.recipes.testing import encode, rank
from drfm.resolution.choices import SRChoices
from drfm.resolution.degradation import Degradation, degrade
from drfm.resolution.network import DESCRIPTION
from drfm.resolution.superresolve import make_resolver

Say = Callable[[str], None]
BICUBIC = "bicubic"
_TIMED = 256
_SAME = ("hold_out", "held", "patch", "rates", "kernel", "rate")
"""Choices that decide which captures are held out, and how they are made small."""


def evaluate_sr(
    folder: Path,
    models: Sequence[str],
    config: Config,
    *,
    cache: Path,
    degradation: Degradation | None = None,
    encoder: Path | None = None,
    split: int = 0,
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Compare back ends on one benchmark: bicubic interpolation, and each of ``models``.

    The captures that are measured are those that the models of ``drfm sr train`` were not trained on. The
    encoder is the same for all back ends, and is not trained here.

    Args:
        folder: a built benchmark.
        models: folders or hub names of Swin2SR networks.
        config: image sizes, encoder and protocol.
        cache: folder of the image store.
        degradation: of the measured captures; None takes that of the training.
        encoder: a model folder, such as ``RUN/model``; None takes the one of ``config``, untrained.
        split: split of the benchmark.
        skip_bad: leave out unreadable images.
        say: receives plain lines.

    Returns:
        ``backends``: for each its facts, scores, seconds an image, and Rank-1 and mAP by feature space.

    Raises:
        DrfmError: bad input, or models that were trained with different captures held out.
    """
    choices = training_choices(models)
    choices = replace(choices, degradation=degradation) if degradation else choices
    device = choose_device(config.train.device)
    network = load_model(encoder) if encoder else build_model(config.model, seed=config.seed)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    captures = find_captures(folder, choices, split)
    for _, reason in captures.skipped:
        say(f"skipped: {reason}")
    benchmark = load_benchmark(folder, split, verify=not skip_bad)
    found = []
    for name in (BICUBIC, *models):
        images = replace(config.images, sr="bicubic")
        if name != BICUBIC:
            images = replace(config.images, sr="swin2sr", sr_model=name)
        resolver = make_resolver(images, config.train.device)
        found.append(
            {
                "backend": name,
                "facts": dict(resolver.facts()),
                "scores": [measure(captures, rate, choices.degradation, resolver) for rate in captures.rates],
                "seconds_per_image": seconds_per_image(captures, resolver),
                "retrieval": retrieval(
                    benchmark, replace(config, images=images), network, device, cache, skip_bad
                ),
            }
        )
        say(text(found[-1]))
    source = (
        str(encoder) if encoder else f"{config.model.backbone}, {config.model.weights} weights, untrained"
    )
    return {**captures.facts(), "encoder": source, "seed": config.seed, "backends": found}


def training_choices(models: Sequence[str]) -> SRChoices:
    """The choices of the models that this project trained; the defaults if there is none.

    Raises:
        DrfmError: two of them held out different captures.
    """
    found: list[tuple[str, SRChoices]] = []
    for name in models:
        path = Path(name) / DESCRIPTION
        if path.exists():
            try:
                raw = read_json(path)["facts"]["choices"]
                choices = SRChoices(**{**raw, "patch": tuple(raw["patch"]), "rates": tuple(raw["rates"])})
            except (KeyError, TypeError):
                raise DrfmError(f"{path}: is not of this version of drfm; train the model again") from None
            found.append((name, choices))
    for name, choices in found[1:]:
        for option in _SAME:
            if getattr(choices, option) != getattr(found[0][1], option):
                raise DrfmError(
                    f"{name}: was trained with another {option} than {found[0][0]}, so that no captures are "
                    "held out of both; evaluate them one by one"
                )
    return found[0][1] if found else SRChoices()


def seconds_per_image(captures: Captures, resolve: Resolve) -> float:
    """Seconds for a held-out capture made small by the largest rate, in batches, after a warm-up."""
    random = np.random.default_rng(0)  # the benchmark's degradation draws nothing
    images = [
        degrade(open_image(entry.path), max(captures.rates), kernel=captures.kernels[0], random=random)
        for entry in captures.held[:_TIMED]
    ]
    resolve(images[:1])
    start = time.perf_counter()
    resolve(images)
    return (time.perf_counter() - start) / len(images)


def retrieval(
    benchmark: Benchmark, config: Config, network: Model, device: torch.device, cache: Path, skip_bad: bool
) -> dict[str, dict[str, float]]:
    """Exact single-shot scores of query against gallery by feature space; empty where there is no test."""
    if not benchmark.query or not benchmark.gallery:
        return {}
    query, gallery = (
        open_part(entries, config, cache, skip_bad=skip_bad)
        for entries in (benchmark.query, benchmark.gallery)
    )
    data = TestSet(query, gallery)
    result = rank(encode(network, data, config, device), data, config, {}, "trained")
    return {row.name: dict(row.exact) for row in result.rows if row.exact}


def text(backend: dict[str, Any]) -> str:
    """One back end in plain lines."""
    lines = [f"{backend['backend']}: {1e3 * backend['seconds_per_image']:.2f} ms an image"]
    lines += [f"  {line(scores)}" for scores in backend["scores"]]
    lines += [
        f"  {name}: Rank-1 {scores['rank1']:.1%}, mAP {scores['map']:.1%}"
        for name, scores in backend["retrieval"].items()
    ]
    return "\n".join(lines)

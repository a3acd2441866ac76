"""What a run says of itself, and whether a folder holds the run that is asked for."""

import platform
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drfm import __version__
from drfm.config import Config, EvaluationConfig
from drfm.config.load import differences, from_dict, to_dict
from drfm.errors import DrfmError
from drfm.files import fingerprint, read_json
from drfm.models.dual import DualEncoder
from drfm.recipes.data import Prepared

FREE = frozenset(
    [
        "train.epochs",
        "train.evaluate_every",
        "train.device",
        "train.workers",
        "train.extract_batch",
        "train.tensorboard",
    ]
    + [f"evaluation.{option.name}" for option in fields(EvaluationConfig)]
)
"""Options that may differ between two parts of one run."""


def run_facts(config: Config, data: Prepared, model: DualEncoder) -> dict[str, Any]:
    """Data, weights, seed, software and machine: what every result quotes."""
    bound = {
        section: {k: v for k, v in value.items() if f"{section}.{k}" not in FREE}
        if isinstance(value, dict)
        else value
        for section, value in to_dict(config).items()
    }
    benchmark, pairs = data.benchmark, data.train.pairs
    weights = model.facts["weights"]
    return {
        "method": config.method,
        "seed": config.seed,
        "benchmark": {"id": benchmark.id, "name": benchmark.name, "split": benchmark.split},
        "images": dict(pairs.facts),
        "pairs": {
            "train": len(pairs),
            "train_hr": int((pairs.origin == 0).sum()),
            "query": len(data.test.query.pairs) if data.test else 0,
            "gallery": len(data.test.gallery.pairs) if data.test else 0,
        },
        "model": {k: v for k, v in model.facts.items() if k != "weights"},
        "weights": weights,
        "software": {"drfm": __version__, "torch": torch.__version__, "numpy": np.__version__,
                     "python": platform.python_version()},
        "machine": {"system": platform.system(), "processor": platform.machine(),
                    "threads": torch.get_num_threads()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "config": to_dict(config),
        "identity": fingerprint([bound, benchmark.id, pairs.key, weights]),
    }  # fmt: skip


def header(facts: Mapping[str, Any]) -> str:
    """One line that says what is about to be trained."""
    pairs, benchmark = facts["pairs"], facts["benchmark"]
    return (
        f"{facts['method']} on {benchmark['name']} (id {benchmark['id']}, split {benchmark['split']}): "
        f"{pairs['train']} training pairs, {pairs['train_hr']} of them HR; "
        f"{pairs['query']} queries, {pairs['gallery']} gallery images; seed {facts['seed']}"
    )


def check_run(run: Path, config: Config, facts: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of another configuration, data or weights.

    Raises:
        DrfmError: names the first option that differs, or says that data or weights do.
    """
    record = run / "record.json"
    if not record.exists():
        return
    before = read_json(record)
    if before.get("identity") == facts["identity"]:
        return
    for option, (old, new) in differences(from_dict(before["config"]), config).items():
        if option not in FREE:
            raise DrfmError(
                f"{run}: was begun with {option} = {old}, not {new}; "
                "give the same value to go on, or another --run folder"
            )
    raise DrfmError(
        f"{run}: was begun with other data or weights (benchmark {before['benchmark']['id']}, "
        f"now {facts['benchmark']['id']}); choose another --run folder"
    )

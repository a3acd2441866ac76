"""What a run says of itself, and whether a folder holds the run that is asked for."""

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drfm import __version__
from drfm.config import Config, EvaluationConfig
from drfm.config.describe import show
from drfm.config.load import differences, from_dict, to_dict
from drfm.errors import DrfmError
from drfm.files import fingerprint, read_json, write_json
from drfm.methods import needs_epochs
from drfm.models.build import Model
from drfm.recipes.data import Prepared

RECORD, LOCAL = "record.json", "local.json"

FREE = frozenset(
    [
        "train.epochs",
        "train.evaluate_every",
        "train.device",
        "train.checkpointing",
        "train.graphs",
        "train.deterministic",
        "train.tf32",
        "train.workers",
        "train.extract_batch",
        "train.tensorboard",
    ]
    + [f"evaluation.{option.name}" for option in fields(EvaluationConfig)]
)
"""Options that may differ between two parts of one run; not the epochs where a method needs their number."""


def free_options(config: Config) -> frozenset[str]:
    """Options that may differ between two parts of this run."""
    return FREE - {"train.epochs"} if needs_epochs(config) else FREE


def run_facts(config: Config, data: Prepared, model: Model) -> dict[str, Any]:
    """Data, weights, seed, software and machine: what every result quotes."""
    free = free_options(config)
    bound = {
        section: {k: v for k, v in value.items() if f"{section}.{k}" not in free}
        if isinstance(value, dict)
        else value
        for section, value in to_dict(config).items()
    }
    benchmark, pairs = data.benchmark, data.train.pairs
    weights = model.facts["weights"]
    return {
        "method": config.method,
        "supervised": config.labels.source == "ground_truth",
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
    ceiling = " with TRUE IDENTITIES, a supervised ceiling," if facts["supervised"] else ""
    return (
        f"{facts['method']}{ceiling} on {benchmark['name']} "
        f"(id {benchmark['id']}, split {benchmark['split']}): "
        f"{pairs['train']} training pairs, {pairs['train_hr']} of them HR; "
        f"{pairs['query']} queries, {pairs['gallery']} gallery images; seed {facts['seed']}"
    )


def continued(run: Path, config: Config, facts: dict[str, Any]) -> dict[str, Any]:
    """``facts`` with the start of the run in ``run``, if that folder holds one and it is this one.

    Raises:
        DrfmError: the folder holds a run of another configuration, data or weights; the line
            names the first option that differs.
    """
    if not (run / RECORD).exists():
        return facts
    before = read_record(run)
    if before["identity"] == facts["identity"]:
        return facts | {name: before[name] for name in ("started", "precision") if name in before}
    for option, (old, new) in differences(from_dict(before["config"]), config).items():
        if option not in free_options(config):
            raise DrfmError(
                f"{run}: was begun with {option} = {show(old)}, not {show(new)}; "
                "give the same value to go on, or another --run folder"
            )
    raise DrfmError(
        f"{run}: was begun with other data or weights (benchmark {before['benchmark']['id']}, "
        f"now {facts['benchmark']['id']}); choose another --run folder"
    )


def read_record(run: Path) -> dict[str, Any]:
    """The facts of a run.

    Raises:
        DrfmError: ``record.json`` is missing or damaged.
    """
    record = read_json(run / RECORD)
    needed = {"identity", "config", "benchmark", "started"}
    if not isinstance(record, dict) or not needed <= record.keys():
        raise DrfmError(f"{run / RECORD}: is damaged; restore it, or train in another --run folder")
    return record


@dataclass(frozen=True)
class Local:
    """What is true of a run on this machine only, as ``local.json`` has it."""

    benchmark: str
    cache: str
    split: int
    skip_bad: bool = False


def write_local(run: Path, folder: Path, cache: Path, split: int, skip_bad: bool) -> None:
    """Write ``local.json``: where benchmark and image store lie, and how they were opened."""
    write_json(run / LOCAL, asdict(Local(str(folder.resolve()), str(cache.resolve()), split, skip_bad)))


def read_local(run: Path) -> Local:
    """What :func:`write_local` wrote.

    Raises:
        DrfmError: it is missing or damaged, or the benchmark is no longer where it was.
    """
    mend = f"`drfm train BENCHMARK --run {run}` with the benchmark's folder writes it anew"
    try:
        local = Local(**read_json(run / LOCAL))
    except (DrfmError, TypeError):
        raise DrfmError(f"{run / LOCAL}: missing or damaged; {mend}") from None
    if not Path(local.benchmark).is_dir():
        raise DrfmError(f"{run / LOCAL}: benchmark = {local.benchmark}: no such folder; {mend}")
    return local

"""The only place that knows all rooms: from a configuration to a trained, evaluated, reported run."""

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drfm import __version__
from drfm.config import Config
from drfm.config.load import Resolved, from_dict, to_dict, to_yaml, with_overrides
from drfm.data.manifest import load_benchmark
from drfm.data.records import Benchmark, Entry, persons
from drfm.engine.journal import Journal
from drfm.engine.trainer import Trainer
from drfm.errors import DrfmError
from drfm.evaluation.evaluate import evaluate as evaluate_features
from drfm.evaluation.ranking import Labels
from drfm.evaluation.result import Result
from drfm.files import fingerprint, folder_lock, read_json, sha256_file, write_atomic, write_json
from drfm.labels.pseudo import PseudoLabels
from drfm.labels.quality import label_quality
from drfm.learning.batchnorm import group_batchnorm
from drfm.methods import build_method
from drfm.models.dual import DualEncoder, build_model
from drfm.models.extract import extract
from drfm.models.features import Features
from drfm.models.storage import load_model, save_model
from drfm.resolution.pairs import PairSet
from drfm.resolution.store import open_pairs

Say = Callable[[str], None]

FREE = {
    "train": ("epochs", "evaluate_every", "device", "workers", "extract_batch"),
    "evaluation": tuple(asdict(Config().evaluation)),
}
"""Options that may differ between two parts of one run."""


@dataclass(frozen=True)
class Part:
    """Query, gallery or training images: pairs for the model, identities for reporting only."""

    pairs: PairSet
    labels: Labels


@dataclass(frozen=True)
class Prepared:
    """A benchmark whose pairs are in the store."""

    benchmark: Benchmark
    train: Part
    query: Part | None
    gallery: Part | None


def prepare(folder: Path, config: Config, cache: Path, *, split: int = 0, skip_bad: bool = False) -> Prepared:
    """Open a benchmark and put its pairs into the image store under ``cache``."""
    benchmark = load_benchmark(folder, split)

    def part(entries: tuple[Entry, ...]) -> Part:
        pairs = open_pairs(
            entries, config.images, cache, seed=config.seed, workers=config.train.workers, skip_bad=skip_bad
        )
        known = dict(zip((e.name for e in entries), persons(entries).tolist(), strict=True))
        identity = np.array([known[name] for name in pairs.names], dtype=np.int64)
        return Part(pairs, Labels(persons=identity, cameras=pairs.camera))

    query = part(benchmark.query) if benchmark.query else None
    gallery = part(benchmark.gallery) if benchmark.gallery else None
    return Prepared(benchmark, part(benchmark.train), query, gallery)


def train(
    folder: Path,
    run: Path,
    resolved: Resolved,
    *,
    split: int = 0,
    cache: Path = Path("cache"),
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Train on a benchmark, or go on with a run that was cut, then evaluate its last epoch.

    Returns:
        The run's record: what it was trained on and with, and its headline figures.

    Raises:
        DrfmError: bad input, a run folder of another configuration or in use.
        drfm.engine.trainer.Interrupted: after Ctrl-C, when the state is saved.
    """
    with folder_lock(run):
        config = resolved.config
        device = choose_device(config.train.device)
        data = prepare(folder, config, cache, split=split, skip_bad=skip_bad)
        model = build_model(config.model, seed=config.seed)
        facts = run_facts(config, data, model)
        _check_run(run, facts)
        group_batchnorm(model, config.train.bn_groups)
        model.to(device=device, memory_format=torch.channels_last)
        method = build_method(config, model, data.train.pairs)
        write_atomic(run / "config.yaml", to_yaml(config))
        write_json(run / "record.json", facts)
        write_json(run / "local.json", {"benchmark": str(folder), "cache": str(cache), "split": split})
        say(header(facts, data))
        if not (run / "checkpoint.pt").exists():
            _untrained(run, model, data, config, device, facts)

        def observe(labels: PseudoLabels) -> dict[str, float]:
            pairs = data.train.pairs
            identity = data.train.labels.persons
            return label_quality(labels.labels, identity, pairs.origin, config.evaluation.quality_pairs)

        def validate() -> dict[str, float]:
            return headline(test(model, data, config, device, facts))

        trainer = Trainer(
            method,
            data.train.pairs,
            config,
            run,
            device,
            str(facts["identity"]),
            observe=observe if (data.train.labels.persons >= 0).any() else None,
            validate=validate if data.query is not None and data.gallery is not None else None,
            say=say,
        )
        trainer.fit()
        save_model(model, run / "model")
        facts["model_sha256"] = sha256_file(run / "model" / "model.safetensors")
        if data.query is not None and data.gallery is not None:
            result = test(model, data, config, device, facts)
            save_result(run / "results", result)
            facts["headline"] = headline(result)
        write_json(run / "record.json", facts)
        return facts


def evaluate(run: Path, overrides: Mapping[str, object], *, say: Say = lambda line: None) -> Result:
    """Evaluate a run's last epoch, or its untrained start, with other evaluation options."""
    config = with_overrides(read_config(run), overrides)
    local, facts = read_json(run / "local.json"), read_json(run / "record.json")
    device = choose_device(config.train.device)
    data = prepare(Path(local["benchmark"]), config, Path(local["cache"]), split=local["split"])
    if data.query is None or data.gallery is None:
        raise DrfmError(f"{local['benchmark']}: has no query and gallery images; nothing can be evaluated")
    model = load_model(run / "model")
    model.to(device=device, memory_format=torch.channels_last)
    return test(model, data, config, device, facts)


def test(
    model: DualEncoder, data: Prepared, config: Config, device: torch.device, facts: Mapping[str, Any]
) -> Result:
    """Extract query and gallery and rank them under the run's protocol."""
    assert data.query is not None and data.gallery is not None  # noqa: PT018 - callers check
    features = [encode(model, part.pairs, config, device) for part in (data.query, data.gallery)]
    return evaluate_features(
        features[0], features[1], data.query.labels, data.gallery.labels, config.evaluation, dict(facts)
    )


def encode(model: DualEncoder, pairs: PairSet, config: Config, device: torch.device) -> Features:
    """Features of all pairs, as a test sees them."""
    return extract(
        model,
        pairs,
        device=device,
        batch_size=config.train.extract_batch,
        precision=config.train.precision,
        flip=config.evaluation.flip,
    )


def headline(result: Result) -> dict[str, float]:
    """The figures of the headline row, for a journal line."""
    return result.headline()


def save_result(stem: Path, result: Result) -> None:
    """Write a result as JSON and as Markdown beside it."""
    write_json(stem.with_suffix(".json"), result.to_dict())
    write_atomic(stem.with_suffix(".md"), result.to_markdown() + "\n")


def choose_device(name: str) -> torch.device:
    """The device that ``train.device`` names; ``auto`` takes a GPU if there is one.

    Raises:
        DrfmError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DrfmError(f"train.device = {name}: give auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DrfmError(f"train.device = {name}: this machine has no usable GPU; give cpu or auto")
    return device


def run_facts(config: Config, data: Prepared, model: DualEncoder) -> dict[str, Any]:
    """What a result must say of itself: data, weights, seed, software."""
    bound = to_dict(config)
    for section, names in FREE.items():
        for name in names:
            bound[section].pop(name, None)
    weights = dict(model.facts)
    facts: dict[str, Any] = {
        "method": config.method,
        "seed": config.seed,
        "benchmark": {"id": data.benchmark.id, "name": data.benchmark.name, "split": data.benchmark.split},
        "images": dict(data.train.pairs.facts),
        "pairs": {
            "train": len(data.train.pairs),
            "train_hr": int((data.train.pairs.origin == 0).sum()),
            "query": 0 if data.query is None else len(data.query.pairs),
            "gallery": 0 if data.gallery is None else len(data.gallery.pairs),
        },
        "weights": weights,
        "software": {"drfm": __version__, "torch": torch.__version__, "numpy": np.__version__},
        "machine": {"system": platform.system(), "processor": platform.machine(),
                    "threads": torch.get_num_threads()},
        "config": to_dict(config),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip
    facts["identity"] = fingerprint([bound, data.benchmark.id, data.train.pairs.key, weights])
    return facts


def read_config(run: Path) -> Config:
    """The configuration that a run folder holds."""
    return from_dict(read_json(run / "record.json")["config"])


def _check_run(run: Path, facts: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of another configuration, data or weights, naming the difference."""
    record = run / "record.json"
    if not record.exists():
        return
    before = read_json(record)
    if before["identity"] == facts["identity"]:
        return
    for section, values in facts["config"].items():
        old = before["config"].get(section)
        for name, value in values.items() if isinstance(values, dict) else [("", values)]:
            past = old.get(name) if isinstance(old, dict) else old
            key = f"{section}.{name}" if name else section
            same = json.dumps(past) == json.dumps(value)
            if not same and name not in FREE.get(section, ()):
                raise DrfmError(
                    f"{run}: was begun with {key} = {past}, not {value}; "
                    "give the same value to go on, or another --run folder"
                )
    raise DrfmError(
        f"{run}: was begun with other data or weights (benchmark {before['benchmark']['id']}, "
        f"now {facts['benchmark']['id']}); choose another --run folder"
    )


def _untrained(
    run: Path, model: DualEncoder, data: Prepared, config: Config, device: torch.device, facts: dict[str, Any]
) -> None:
    """The floor: the same test with the features before training."""
    if data.query is not None and data.gallery is not None:
        save_result(run / "untrained", test(model, data, config, device, facts))


def header(facts: Mapping[str, Any], data: Prepared) -> str:
    """One line that says what is about to be trained."""
    pairs = facts["pairs"]
    return (
        f"{facts['method']} on {facts['benchmark']['name']} (id {facts['benchmark']['id']}, "
        f"split {facts['benchmark']['split']}): {pairs['train']} training pairs, {pairs['train_hr']} of them HR; "
        f"{pairs['query']} queries, {pairs['gallery']} gallery images; seed {facts['seed']}"
    )


def journal(run: Path) -> list[dict[str, Any]]:
    """The run's epoch records."""
    return Journal(run / "journal.jsonl").read()

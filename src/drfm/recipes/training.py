"""Train a run, or go on with one that was cut."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from drfm.config import Config
from drfm.config.load import Resolved, to_yaml
from drfm.engine.allocator import keep_freed_memory
from drfm.engine.arithmetic import set_arithmetic
from drfm.engine.precision import settle_precision
from drfm.engine.processes import Processes, joined, share_out
from drfm.engine.trainer import Trainer
from drfm.files import folder_lock, sha256_file, write_atomic, write_json
from drfm.labels.pseudo import Persons, PseudoLabels
from drfm.labels.quality import label_quality
from drfm.methods import Method, build_method
from drfm.models.build import Model, build_model
from drfm.models.checkpointing import checkpoint_blocks
from drfm.models.storage import save_model
from drfm.recipes.data import Part, Prepared, TestSet, choose_device, prepare
from drfm.recipes.facts import RECORD, continued, header, read_record, run_facts, write_local
from drfm.recipes.testing import distances, encode, rank, save_stage

Say = Callable[[str], None]


def _quiet(line: str) -> None:
    """What a process says that is not the first."""


def train(
    folder: Path,
    run: Path,
    resolved: Resolved,
    *,
    split: int = 0,
    cache: Path = Path("cache"),
    skip_bad: bool = False,
    say: Say = lambda line: None,
    extra: Mapping[str, Any] | None = None,
    profile: bool = False,
) -> dict[str, Any]:
    """Train on the benchmark in ``folder`` and test the last epoch; an existing run is resumed.

    The run folder receives ``config.yaml``, ``record.json`` (what the run was made from and its headline),
    ``journal.jsonl``, ``checkpoint.pt``, ``model/``, and where there is a test set ``untrained.json`` and
    ``trained.json`` with their Markdown. ``local.json`` holds what is true on this machine only.

    Args:
        folder: a built benchmark.
        run: the run's folder.
        resolved: the configuration.
        split: split of the benchmark.
        cache: folder of the image store.
        skip_bad: leave out unreadable images.
        say: receives plain lines.
        extra: further facts for the record, such as ``{"drawn": True}``.
        profile: say after every epoch where its time went, and keep it in ``profile.json``.

    Raises:
        DrfmError: bad input, a run folder of another configuration, or one in use.
        Interrupted: after Ctrl-C, when the state is saved.
    """
    config = resolved.config
    keep_freed_memory()
    with (
        joined(config.train.device) as (processes, own),
        folder_lock(run) if processes.first else nullcontext(),
    ):
        say = say if processes.first else _quiet
        device = choose_device(own)
        set_arithmetic(config.train)
        # First what fails early: an image store may take hours.
        model = build_model(config.model, seed=config.seed)
        with processes.first_goes_ahead():
            data = prepare(folder, config, cache, split=split, skip_bad=skip_bad)
        for name in data.skipped:
            say(f"skipped: {name}")
        config, chosen = _settled(config, model, device, run, processes, say)
        facts = continued(run, config, run_facts(config, data, model) | chosen | dict(extra or {}))
        share_out(model, config, processes)
        if config.train.checkpointing:
            checkpoint_blocks(model)
        model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        method = build_method(config, model, data.train.pairs, _truth(data.train, config))
        trainer = _trainer(run, method, data, config, device, facts, say, processes, profile)
        trainer.read_checkpoint()
        processes.wait()
        if processes.first:
            write_atomic(run / "config.yaml", to_yaml(config))
            write_json(run / "record.json", facts)
            write_local(run, folder, cache, split, skip_bad)
            say(header(facts))
            if data.test is not None and not (run / "untrained.json").exists():
                _test(run, "untrained", method.result, data.test, config, device, facts)
        trainer.fit()
        if not processes.first:
            return facts
        save_model(method.result, run / "model")
        facts["model"]["sha256"] = sha256_file(run / "model" / "model.safetensors")
        if data.test is not None:
            facts["headline"] = _test(run, "trained", method.result, data.test, config, device, facts)
            say(f"Rank-1 {facts['headline']['rank1']:.1%} ({run / 'trained.md'})")
        else:
            say(
                f"the model is finished and was not tested, because no test images are labelled; "
                f"`drfm report {run}` shows how it trained, `drfm bundle {run} --out FOLDER` makes it usable"
            )
        write_json(run / "record.json", facts)
        return facts


def _settled(
    config: Config, model: Model, device: torch.device, run: Path, processes: Processes, say: Say
) -> tuple[Config, dict[str, Any]]:
    """The configuration without ``auto``, the same in every process, and what was measured for it."""
    if config.train.precision != "auto":
        return config, {}
    known = read_record(run)["config"]["train"]["precision"] if (run / RECORD).exists() else None
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    settled, facts = processes.first_says(settle_precision(config, model, device, known))
    if facts:
        took = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in facts["seconds"].items())
        say(f"precision: {facts['chosen']} ({took} for eight images)")
    return settled, {"precision": facts} if facts else {}


def _trainer(
    run: Path,
    method: Method,
    data: Prepared,
    config: Config,
    device: torch.device,
    facts: dict[str, Any],
    say: Say,
    processes: Processes,
    profile: bool,
) -> Trainer:
    test = data.test

    def validate() -> dict[str, float]:
        assert test is not None
        return rank(encode(method.result, test, config, device), test, config, facts, "training").headline()

    return Trainer(
        method,
        data.train.pairs,
        config,
        run,
        device,
        str(facts["identity"]),
        observe=_observer(data.train, config),
        validate=None if test is None else validate,
        say=say,
        processes=processes,
        profile=profile,
    )


def _truth(part: Part, config: Config) -> Persons | None:
    """Identities for a supervised ceiling, if that is what the configuration asks for in so many words."""
    known = (part.labels.persons >= 0).any()
    return part.labels.persons if config.labels.source == "ground_truth" and known else None


def _observer(part: Part, config: Config) -> Callable[[PseudoLabels], dict[str, float]] | None:
    """Pseudo-label quality against identities, for the journal; none where no identity is known."""
    if not (part.labels.persons >= 0).any():
        return None

    def observe(labels: PseudoLabels) -> dict[str, float]:
        pairs = config.evaluation.quality_pairs
        return label_quality(labels.labels, part.labels.persons, part.pairs.origin, pairs)

    return observe


def _test(
    run: Path,
    stage: str,
    model: Model,
    data: TestSet,
    config: Config,
    device: torch.device,
    facts: dict[str, Any],
) -> dict[str, float]:
    """Test a stage of the run, keep its files, and return its headline."""
    features = encode(model, data, config, device)
    result = rank(features, data, config, facts, stage)
    save_stage(run, stage, result, distances(features, data, config.evaluation.features))
    return result.headline()

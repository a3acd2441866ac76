"""Test a finished run again, and tell it in one page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from drfm.config import Config
from drfm.config.load import from_dict, to_dict, with_overrides
from drfm.engine.journal import Journal
from drfm.errors import DrfmError
from drfm.evaluation.report import write_report
from drfm.evaluation.result import Result
from drfm.evaluation.sheet import Sheet
from drfm.files import read_json
from drfm.models.build import Model
from drfm.models.storage import load_model
from drfm.recipes.data import Prepared, TestSet, choose_device, prepare
from drfm.recipes.facts import read_local, read_record
from drfm.recipes.looking import explained, look, look_unlabelled, ranked_lists
from drfm.recipes.testing import encode, rank, read_distances


def evaluate(
    run: Path,
    overrides: Mapping[str, object] | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Test a run's last epoch, with other options of the evaluation where ``overrides`` gives some.

    Raises:
        DrfmError: the run is not finished, its benchmark is gone or changed, or has no test images.
    """
    facts, config, data, model = _open(run, overrides or {})
    facts = {**facts, "config": to_dict(config)}
    test, device = _test_set(data, run), choose_device(config.train.device)
    say(f"testing {run} on {facts['benchmark']['name']}")
    return rank(encode(model.to(device), test, config, device), test, config, facts, "trained")


def report(run: Path) -> Path:
    """Write ``report.html`` into a finished run's folder and return its path.

    Without identities there is no test: what needs one is left out, and the page says so.

    Raises:
        DrfmError: as :func:`evaluate`, but for missing test images.
    """
    facts, config, data, model = _open(run, {})
    stages = [stage for stage in ("untrained", "trained") if (run / f"{stage}.json").exists()]
    distances = {stage: found for stage in stages if (found := read_distances(run, stage)) is not None}
    model = model.to(choose_device(config.train.device))
    path = run / "report.html"
    if data.test is None:
        looks = look_unlabelled(model, data.train, config, run)
    else:
        looks = look(model, data.test, config)
    write_report(
        path,
        journal=Journal(run / "journal.jsonl").read(),
        results=[read_json(run / f"{stage}.json") for stage in stages],
        facts=facts,
        distances=distances,
        looks=looks,
    )
    return path


def explanations(run: Path, count: int = 4) -> Sheet:
    """The paper's Fig. 1 for some queries of a run: blurry, super-resolved and sharp beside their maps.

    Raises:
        DrfmError: as :func:`evaluate`.
    """
    _, config, data, model = _open(run, {})
    test = _test_set(data, run)
    lists = ranked_lists(model.to(choose_device(config.train.device)), test, config)
    pairs = test.query.pairs, test.gallery.pairs
    return explained(lists.typical(count), (lists.rows, lists.columns), model, pairs, config)


def _open(run: Path, overrides: Mapping[str, object]) -> tuple[dict[str, Any], Config, Prepared, Model]:
    if not (run / "model" / "model.json").exists():
        raise DrfmError(f"{run}: holds no finished run; `drfm train` finishes it")
    facts, local = read_record(run), read_local(run)
    config = with_overrides(from_dict(facts["config"]), overrides)
    folder, cache = Path(local.benchmark), Path(local.cache)
    data = prepare(folder, config, cache, split=local.split, skip_bad=local.skip_bad)
    if data.benchmark.id != facts["benchmark"]["id"]:
        raise DrfmError(
            f"{folder}: is benchmark {data.benchmark.id}, the run was made on "
            f"{facts['benchmark']['id']}; restore that benchmark"
        )
    model = load_model(run / "model")
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return facts, config, data, model


def _test_set(data: Prepared, run: Path) -> TestSet:
    if data.test is None:
        raise DrfmError(
            f"{run}: its benchmark has no query and gallery images, so there is nothing to test; "
            "build it from data with persons and two resolutions"
        )
    return data.test

"""`drfm train`: train a method on a benchmark, or go on with a run."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from drfm.cli.options import RunOptions
from drfm.cli.output import say
from drfm.config.load import Resolved, load_config
from drfm.errors import DrfmError


def train(
    benchmark: Path,
    /,
    *,
    run: Path,
    preset: str | None = None,
    config: Path | None = None,
    split: int = 0,
    cache: Path | None = None,
    skip_bad: Annotated[bool, Parameter(negative=())] = False,
    profile: Annotated[bool, Parameter(negative=())] = False,
    options: Annotated[RunOptions, Parameter(name="*")] = RunOptions(),  # noqa: B008 - frozen
) -> None:
    """Train on a benchmark; an existing run is resumed.

    Without --preset and --config a resumed run keeps its own configuration.

    Args:
        benchmark: Folder that `drfm data build` made.
        run: Folder of this run: checkpoint, journal, record, results.
        preset: Named difference to the defaults; `drfm config presets` lists them.
        config: YAML file of options, over the preset.
        split: Which split of the benchmark, counted from 0.
        cache: Folder of the image store, shared by all runs; beside the run folder if not given.
        skip_bad: Leave out images that cannot be read, and list them, instead of stopping.
        profile: Say after every epoch where its time went, beside the bare network; kept in profile.json.
        options: Single options, over the file.
    """
    resolved = resolve(run, preset, config, options.overrides())
    if split < 0:
        raise DrfmError(f"--split = {split}: give 0 or more")
    from drfm import recipes
    from drfm.engine.trainer import Interrupted

    store = cache if cache is not None else run.parent / "cache"
    try:
        recipes.train(
            benchmark, run, resolved, split=split, cache=store, skip_bad=skip_bad, say=say, profile=profile
        )
    except Interrupted:
        command = _resuming(benchmark, run, split, cache, skip_bad)
        raise KeyboardInterrupt(f"stopped, and {run} saved; go on with: {command}") from None


def _resuming(benchmark: Path, run: Path, split: int, cache: Path | None, skip_bad: bool) -> str:
    """The command that goes on with a run, which keeps its own configuration."""
    words = ["drfm", "train", str(benchmark), "--run", str(run)]
    words += ["--split", str(split)] if split else []
    words += ["--cache", str(cache)] if cache is not None else []
    return shlex.join(words + ["--skip-bad"] * skip_bad)


def resolve(run: Path, preset: str | None, config: Path | None, overrides: dict[str, object]) -> Resolved:
    """The configuration of a run: that of the run folder, unless a preset or a file is named."""
    own = run / "config.yaml"
    if preset is None and config is None and own.exists():
        return load_config(file=own, overrides=overrides)
    return load_config(preset or "paper", config, overrides)

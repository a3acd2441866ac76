"""`drfm sr`: super-resolution trained on one's own sharp captures, and what it is worth."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from drfm.cli.options import RunOptions, SROptions
from drfm.cli.output import say
from drfm.config.describe import describe
from drfm.config.load import load_config
from drfm.config.values import convert
from drfm.errors import DrfmError
from drfm.resolution.choices import SRChoices

app = App(name="sr", help="Train super-resolution on one's own sharp captures, and measure it.")


@app.command
def train(
    benchmark: Path,
    /,
    *,
    out: Path,
    split: int = 0,
    choices: Annotated[SROptions, Parameter(name="*")] = SROptions(),  # noqa: B008 - frozen
) -> None:
    """Train a Swin2SR on the sharp captures of a benchmark's training part; the same command goes on.

    The result is a folder for `--images.sr swin2sr --images.sr-model FOLDER`. Query and gallery are never
    opened. Captures that cannot be read are listed and left out.

    Args:
        benchmark: Folder that `drfm data build` made.
        out: Folder for the model, its checkpoint, scores and a sheet of examples.
        split: Which split of the benchmark, counted from 0.
        choices: Single choices, over the defaults.
    """
    if split < 0:
        raise DrfmError(f"--split = {split}: give 0 or more")
    known = describe(SRChoices)
    changes = {name: convert(known[name], text, "command line") for name, text in choices.overrides().items()}
    settled = SRChoices(**changes)  # type: ignore[arg-type]
    from drfm.recipes.sr import train_sr

    train_sr(benchmark, out, settled, split=split, say=say)


@app.command
def evaluate(
    benchmark: Path,
    /,
    *models: str,
    preset: str = "cpu",
    config: Path | None = None,
    encoder: Path | None = None,
    degradation: Literal["benchmark", "realistic"] | None = None,
    split: int = 0,
    cache: Path = Path("cache"),
    skip_bad: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
    options: Annotated[RunOptions, Parameter(name="*")] = RunOptions(),  # noqa: B008 - frozen
) -> None:
    """Compare bicubic interpolation and Swin2SR networks: PSNR, SSIM, time, and Rank-1 of one encoder.

    Args:
        benchmark: Folder that `drfm data build` made.
        models: Folders that `drfm sr train` made, or hub names.
        preset: Named difference to the defaults, for image sizes, encoder and protocol.
        config: YAML file of options, over the preset.
        encoder: Model folder of a finished run, such as `RUN/model`; else the preset's network, untrained.
        degradation: Of the captures that are measured; by default that of the training.
        split: Which split of the benchmark, counted from 0.
        cache: Folder of the image store, shared by all runs.
        skip_bad: Leave out images that cannot be read, and list them, instead of stopping.
        out: File for the result as JSON.
        options: Single options, over the file.
    """
    if split < 0:
        raise DrfmError(f"--split = {split}: give 0 or more")
    resolved = load_config(preset, config, options.overrides())
    from drfm.files import write_json
    from drfm.recipes.sr import evaluate_sr

    result = evaluate_sr(
        benchmark,
        models,
        resolved.config,
        cache=cache,
        degradation=degradation,
        encoder=encoder,
        split=split,
        skip_bad=skip_bad,
        say=say,
    )
    if out is not None:
        write_json(out, result)

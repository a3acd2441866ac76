"""`drfm sr`: super-resolution trained on one's own sharp captures, and what it is worth."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from drfm.cli.options import SROptions
from drfm.cli.output import say
from drfm.config.describe import describe
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

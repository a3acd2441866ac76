"""`drfm evaluate`: rank the gallery for every query with a trained run."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from drfm.cli.options import EvaluationOptions
from drfm.cli.output import note, say
from drfm.errors import DrfmError


def evaluate(
    run: Path,
    /,
    *,
    out: Path | None = None,
    format: Literal["table", "json", "markdown"] = "table",
    options: Annotated[EvaluationOptions, Parameter(name="*")] = EvaluationOptions(),  # noqa: B008 - frozen
) -> None:
    """Evaluate a run's last epoch under the test protocol.

    Options that are not given are those of the run.

    Args:
        run: Folder that `drfm train` made.
        out: File for the result as JSON, whatever is shown.
        format: What is shown.
        options: Options of the test, over those of the run.
    """
    if not run.is_dir():
        raise DrfmError(f"{run}: no such run folder; `drfm train` makes one")
    from drfm import recipes
    from drfm.files import write_json

    result = recipes.evaluate(run, options.overrides(), say=note)
    if out is not None:
        write_json(out, result.to_dict())
    if format == "table":
        from rich.console import Console

        Console().print(result.table())
    elif format == "json":
        say(json.dumps(result.to_dict(), indent=1, sort_keys=True))
    else:
        say(result.to_markdown())

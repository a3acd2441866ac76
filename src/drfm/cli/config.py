"""`drfm config`: show a configuration, list the presets, write the reference."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from drfm.cli.options import RunOptions
from drfm.cli.output import say
from drfm.config.describe import reference
from drfm.config.load import load_config, preset_names, to_yaml
from drfm.config.sources import preset_text
from drfm.files import write_atomic

app = App(name="config", help="Show a configuration, list the presets, write the reference.")


@app.command
def show(
    *,
    preset: str = "paper",
    config: Path | None = None,
    options: Annotated[RunOptions, Parameter(name="*")] = RunOptions(),  # noqa: B008 - frozen
) -> None:
    """Print the complete configuration as YAML, each value with its source.

    Args:
        preset: Named difference to the defaults.
        config: YAML file of options, over the preset.
        options: Single options, over the file.
    """
    resolved = load_config(preset, config, options.overrides())
    say(to_yaml(resolved.config, resolved.sources))


@app.command
def presets() -> None:
    """Print every preset: what it changes, and why."""
    for name in preset_names():
        say(f"# preset {name}\n{preset_text(name)}")


@app.command
def docs(*, out: Path | None = None) -> None:
    """Print the configuration reference as Markdown.

    Args:
        out: File to write instead.
    """
    from drfm.methods import METHODS

    own = {name: kind.Options for name, kind in METHODS.items() if hasattr(kind, "Options")}
    if out is None:
        say(reference(own))
    else:
        write_atomic(out, reference(own))

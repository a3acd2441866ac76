"""`drfm bundle`: the model of a run and all that belongs to it, in one folder to be handed on."""

from pathlib import Path

from drfm.cli.output import say
from drfm.errors import DrfmError


def bundle(run: Path, /, *, out: Path, lr_below: int | None = None) -> None:
    """Write weights, image preparation, training record and model card into one folder.

    Args:
        run: Folder that `drfm train` made.
        out: Folder of the bundle; must not be there yet.
        lr_below: Crops with fewer rows than this count as blurry; by default measured on
            the training images.
    """
    if not run.is_dir():
        raise DrfmError(f"{run}: no such run folder; `drfm train` makes one")
    from drfm import recipes

    made = recipes.bundle(run, out, lr_below=lr_below)
    rule = made.record["rule"]
    right = f", which tells {rule['balanced_accuracy']:.0%} right" if "balanced_accuracy" in rule else ""
    say(f"bundle {made.id}: {made.folder}; crops below {rule['lr_below']} rows count as blurry{right}")

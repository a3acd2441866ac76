"""`drfm calibrate`: which similarity means the same person, by native height of the query."""

from pathlib import Path
from typing import Any, Literal

from drfm.cli.output import say
from drfm.errors import DrfmError


def calibrate(
    bundle: Path,
    benchmark: Path,
    /,
    *,
    split: int = 0,
    labels: Literal["auto", "persons", "pseudo"] = "auto",
    likely: float = 0.001,
    possible: float = 0.01,
    device: str = "auto",
) -> None:
    """Find the similarities at chosen false-match rates, and write them into a bundle.

    Args:
        bundle: Folder that `drfm bundle` wrote.
        benchmark: Folder that `drfm data build` made.
        split: Which split of the benchmark, counted from 0.
        labels: `persons` takes identities of query and gallery images, `pseudo` clusters training images and
            makes twins of them, `auto` takes persons where they are known.
        likely: False-match rate of the verdict `likely`, for one comparison.
        possible: False-match rate of the verdict `possible`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
    """
    if not bundle.is_dir():
        raise DrfmError(f"{bundle}: no such bundle; `drfm bundle` makes one")
    from drfm import recipes

    made = recipes.calibrate_bundle(
        bundle, benchmark, split=split, labels=labels, likely=likely, possible=possible, device=device
    )
    found = made.record["calibration"]
    say(f"calibrated {made.folder} with {found['source']}")
    for band in found["bands"]:
        say(_line(band, found["labelled"]))
    for text in found["notes"]:
        say(f"note: {text}")


def _line(band: dict[str, Any], labelled: bool) -> str:
    levels = ", ".join(
        f"{name} from {band[name]['high']:.3f} (finds {band[name]['found']:.0%})"
        for name in (("possible", "likely") if labelled else ("possible",))  # without labels no other is said
    )
    return f"{band['low']} to {band['high']} rows: {levels}"

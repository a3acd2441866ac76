"""`drfm export`: a bundle as one file for machines without PyTorch."""

from pathlib import Path

from drfm.cli.output import say
from drfm.errors import DrfmError


def export(bundle: Path, /, *, onnx: Path, half: bool = False) -> None:
    """Write a bundle as one ONNX file: bytes of crops in, unit vectors out.

    Args:
        bundle: Folder that `drfm bundle` wrote.
        onnx: The file.
        half: Store and compute the backbones in float16.
    """
    if not bundle.is_dir():
        raise DrfmError(f"{bundle}: no such bundle; `drfm bundle` makes one")
    from drfm import recipes

    recipes.export(bundle, onnx, half=half)
    say(f"exported {onnx}: {onnx.stat().st_size / 1e6:.1f} MB, {'float16' if half else 'float32'}")

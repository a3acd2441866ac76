"""DRFM: unsupervised cross-resolution person re-identification.

The rooms, in the order in which data walks through them, are described in
``docs/architecture.md``. Importing :mod:`drfm` imports none of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from drfm.gallery.torch_engine import TorchEncoder

__version__ = "0.1.0"


def load(bundle: "str | Path", *, device: str = "auto") -> "TorchEncoder":
    """The encoder of a bundle: ``drfm.load("FOLDER").encode(files)`` gives ``(N, D)`` float32 unit rows.

    Args:
        bundle: folder that `drfm bundle` wrote.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DrfmError: the bundle is incomplete, damaged or changed, or there is no such device.
    """
    from drfm.gallery.torch_engine import load_encoder

    return load_encoder(bundle, device)

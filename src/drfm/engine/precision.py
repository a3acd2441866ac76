"""``train.precision = auto``: the faster arithmetic of this machine, measured once and kept for the run."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from drfm.config import Config
from drfm.engine.profile import Call, bare_seconds
from drfm.models.backbone import Backbone

_IMAGES = 8
_WORTH = 0.9
"""bfloat16 has to save a tenth of the time, or float32 stays: it changes results, though little."""


def settle_precision(
    config: Config, model: nn.Module, device: torch.device, known: str | None = None
) -> tuple[Config, dict[str, Any]]:
    """``config`` with ``float32`` or ``bfloat16`` in the place of ``auto``.

    Forward and backward of one backbone on eight images, in either arithmetic, decide. A choice
    changes the weights that training gives, so a run that goes on keeps its first one.

    Args:
        config: with ``train.precision = auto``.
        model: in the run's memory format, on ``device``; not changed.
        device: where the run trains.
        known: the precision that the run began with.

    Returns:
        The configuration, and the seconds of each precision for the record; nothing if it was known.
    """
    if known is not None:
        return _with(config, known), {}
    backbone = next(child for child in model.modules() if isinstance(child, Backbone))
    shape = (_IMAGES, 3, *config.images.hr_size)
    seconds = {
        name: bare_seconds([Call(backbone, shape, True, name == "bfloat16")], device)
        for name in ("float32", "bfloat16")
    }
    faster = "bfloat16" if seconds["bfloat16"] < _WORTH * seconds["float32"] else "float32"
    return _with(config, faster), {"chosen": faster, "seconds": seconds}


def _with(config: Config, precision: str) -> Config:
    return replace(config, train=replace(config.train, precision=precision))  # type: ignore[arg-type]

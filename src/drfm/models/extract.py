"""Features of all pairs, without gradient."""

from typing import Literal

import torch

from drfm.models.dual import DualEncoder
from drfm.models.features import Features
from drfm.models.inputs import to_input
from drfm.progress import progress_bar
from drfm.resolution.pairs import PairSet


def extract(
    model: DualEncoder,
    pairs: PairSet,
    *,
    device: torch.device | str,
    batch_size: int = 128,
    precision: Literal["float32", "bfloat16"] = "float32",
    flip: bool = False,
) -> Features:
    """Features of every pair, in eval mode and without augmentation.

    Every module keeps the mode that it was in. The model has to be on ``device`` already.

    Args:
        model: whose features.
        pairs: N pairs.
        device: where the model is.
        batch_size: pairs in a forward pass.
        precision: arithmetic of the encoders.
        flip: average each feature with that of the mirrored pair, and normalise again (G7).

    Returns:
        ``(N, D)`` float32 rows of unit length on the CPU, for each space that the model has.
    """
    device = torch.device(device)
    names = ["hr", "lr"] + (["fused"] if model.fusion is not None else [])
    features = {name: torch.empty(len(pairs), model.dimension) for name in names}
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(), progress_bar("extract", len(pairs)) as bar:
            for start in range(0, len(pairs), batch_size):
                rows = slice(start, start + batch_size)
                hr, lr = to_input(pairs.hr[rows], device), to_input(pairs.lr[rows], device)
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                    spaces = model(hr, lr).spaces()
                    if flip:
                        mirrored = model(hr.flip(-1), lr.flip(-1)).spaces()
                        spaces = {n: torch.nn.functional.normalize(spaces[n] + mirrored[n]) for n in spaces}
                for name in names:
                    features[name][rows] = spaces[name].cpu()
                bar.advance(len(hr))
    finally:
        for module, training in modes:
            module.training = training
    return features

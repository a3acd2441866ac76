"""Features of all pairs, without gradient."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from drfm.models.features import Features
from drfm.models.folding import folded
from drfm.models.inputs import to_input
from drfm.progress import progress_bar
from drfm.resolution.pairs import PairSet, Source


def extract(
    model: nn.Module,
    pairs: PairSet,
    *,
    device: torch.device | str,
    batch_size: int = 128,
    precision: str = "float32",
    flip: bool = False,
    rows: slice = slice(None),
) -> Features:
    """Features of every pair, in eval mode and without augmentation.

    Works on a copy with BatchNorm folded into the convolutions, so ``model`` itself keeps its mode and
    its statistics. The model has to be on ``device`` already.

    Args:
        model: a model of :func:`~drfm.models.build.build_model`, or any module that says which images of a
            pair it takes (``views``; by default ``hr`` and ``lr``) and returns something with ``spaces()``.
        pairs: N pairs.
        device: where the model is.
        batch_size: pairs in a forward pass.
        precision: arithmetic of the encoders, ``float32`` or ``bfloat16``.
        flip: average each feature with that of the mirrored pair, and normalise again (G7).
        rows: consecutive pairs to which to keep, all by default.

    Returns:
        ``(N, D)`` float32 rows of unit length on the CPU, for each space that the model has.
    """
    device = torch.device(device)
    features: Features = {}
    first, last, _ = rows.indices(len(pairs))
    network = folded(model)
    views: tuple[Source, ...] = getattr(model, "views", ("hr", "lr"))
    with progress_bar("extract", last - first) as bar:
        # No pairs make one empty batch, which knows the spaces and D.
        for start in range(first, max(first + 1, last), batch_size):
            some = slice(start, min(start + batch_size, last))
            images = [to_input(pairs.take(source, some), device) for source in views]
            for name, value in encode_batch(network, images, precision, flip).items():
                if start == first:
                    features[name] = torch.empty(last - first, value.shape[1])
                features[name][start - first : some.stop - first] = value.cpu()
            bar.advance(len(images[0]))
    return features


@torch.inference_mode()
def encode_batch(model: nn.Module, images: list[Tensor], precision: str, flip: bool) -> Features:
    """Features of one batch, as in :func:`extract`, from a model in eval mode.

    Args:
        model: see :func:`extract`.
        images: ``(B, 3, H, W)`` ImageNet-normalised, one for each of the model's views.
        precision: ``float32`` or ``bfloat16``.
        flip: see :func:`extract`.
    """
    with torch.autocast(images[0].device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return merged_spaces(model, images, flip)


def merged_spaces(model: nn.Module, images: list[Tensor], flip: bool) -> Features:
    """As :func:`encode_batch`, in whatever arithmetic and grad mode is on."""
    spaces: Features = model(*images).spaces()
    if not flip:
        return spaces
    mirrored: Features = model(*(image.flip(-1) for image in images)).spaces()
    return {name: functional.normalize(value + mirrored[name]) for name, value in spaces.items()}

"""Where in an image a similarity comes from: Grad-CAM on embeddings.

Grad-CAM (Selvaraju et al., ICCV 2017) weighs the channels of an encoder's last map by the gradient of a
number. Here the number is no class score but the cosine similarity of the image's feature with another
feature, the target: that of another image, or a centroid. The similarity of an image with itself has no
gradient, because a unit vector cannot come nearer to itself; without a target the number is therefore the
length of the feature before it is normalised, which tells what the encoder reacts to at all.

A map shows where a small change would raise the number. It is no proof that the model looks at a person as
a person would, and on a super-resolved image it may point at detail that was invented.
"""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from drfm.errors import DrfmError
from drfm.evaluation.evaluate import feature_of, headline_of
from drfm.models.build import Model
from drfm.models.encoder import Encoder, Head
from drfm.models.inputs import to_input
from drfm.models.single import SingleEncoder
from drfm.resolution.pairs import PairSet, Source

Heat = npt.NDArray[np.float32]
"""``(H, W)`` float32 in 0..1, the largest value 1 wherever anything speaks for the target."""
Maps = dict[Source, Heat]
"""One map for each image of a pair that the model takes: ``hr`` and ``lr``, or the only one."""


def explain(
    model: Model, images: Sequence[Tensor], target: Tensor | None = None, *, features: str = "fused"
) -> list[Maps]:
    """Maps of what makes B pairs similar to their targets, for each of the model's encoders.

    The model is used in eval mode and left as it was; no parameter receives a gradient. An image that the
    test feature does not look at, such as the LR-space image for ``features="hr"``, has a map of zeros.

    Args:
        model: any model of :func:`~drfm.models.build.build_model`.
        images: ``(B, 3, H, W)`` ImageNet-normalised RGB for each of ``model.views``, on the model's device.
        target: ``(B, D)`` or ``(1, D)`` rows of the same test feature; ``None`` for the length of each
            encoder's own feature.
        features: test feature, a key of ``drfm.evaluation.protocol.FEATURES``, or what stands in for it.

    Raises:
        DrfmError: ``target`` does not fit the feature.
    """
    encoders = _encoders(model)
    with _eval_mode(model), torch.no_grad():
        maps = [encoder.backbone(image).float() for encoder, image in zip(encoders, images, strict=True)]
        for one in maps:
            one.requires_grad_()
        with torch.enable_grad():
            heads = [Head.forward(encoder, one) for encoder, one in zip(encoders, maps, strict=True)]
            if target is None:
                lengths = [
                    encoder.neck(pooled).norm(dim=1)
                    for encoder, (_, pooled) in zip(encoders, heads, strict=True)
                ]
                number = torch.stack(lengths).sum()
            else:
                rows = _test_feature(model, [feature for feature, _ in heads], features)
                number = _similarity(rows, target).sum()
            gradients = torch.autograd.grad(number, maps, allow_unused=True)
    heats = [
        _heat(one.detach(), gradient, image.shape[-2:])
        for one, gradient, image in zip(maps, gradients, images, strict=True)
    ]
    return [dict(zip(model.views, heat, strict=True)) for heat in zip(*heats, strict=True)]


def explain_pair(
    model: Model, query: Sequence[Tensor], match: Sequence[Tensor], *, features: str = "fused"
) -> tuple[list[Maps], list[Maps]]:
    """Maps of B queries against their matches, and of matches against queries, by :func:`explain`."""
    rows = [describe(model, images, features) for images in (query, match)]
    return (
        explain(model, query, rows[1], features=features),
        explain(model, match, rows[0], features=features),
    )


def explain_rows(
    model: Model,
    pairs: PairSet,
    rows: Sequence[int],
    targets: Tensor | None = None,
    *,
    features: str = "fused",
    device: torch.device | str = "cpu",
) -> list[Maps]:
    """Maps of some ``rows`` of ``pairs``; ``targets`` as in :func:`explain`, a row for each."""
    found = []
    for place, row in enumerate(rows):
        images = [to_input(pairs.take(view, slice(row, row + 1)), device) for view in model.views]
        target = None if targets is None else targets[place : place + 1].to(device)
        found += explain(model, images, target, features=features)
    return found


@torch.no_grad()
def describe(model: Model, images: Sequence[Tensor], features: str = "fused") -> Tensor:
    """``(B, D)`` float32 rows of the test feature, as a test would compare them."""
    with _eval_mode(model):
        encoders = _encoders(model)
        found = [encoder(image)[0] for encoder, image in zip(encoders, images, strict=True)]
        return _test_feature(model, found, features)


def overlay(image: npt.NDArray[np.uint8], heat: Heat) -> npt.NDArray[np.uint8]:
    """``(H, W, 3)`` uint8: the image, greyed and lit up by its map, from violet over orange to yellow.

    Raises:
        DrfmError: image and map differ in size.
    """
    if image.shape[:2] != heat.shape:
        raise DrfmError(f"a map of {heat.shape} for an image of {image.shape[:2]}: give one of the same size")
    grey = np.repeat(image.astype(np.float32).mean(2, keepdims=True), 3, axis=2)
    colour = np.stack([np.interp(heat, _AT, channel) for channel in zip(*_COLOURS, strict=True)], axis=2)
    share = (0.8 * np.sqrt(heat))[..., None]
    mixed: npt.NDArray[np.uint8] = np.round((1 - share) * grey + share * colour).clip(0, 255).astype(np.uint8)
    return mixed


_AT = (0.0, 0.35, 0.7, 1.0)
_COLOURS = ((40, 10, 90), (150, 35, 110), (240, 120, 30), (255, 240, 110))


def _encoders(model: Model) -> list[Encoder]:
    if isinstance(model, SingleEncoder):
        return [model.encoder]
    return [model.hr_encoder, model.lr_encoder]


def _test_feature(model: Model, found: Sequence[Tensor], features: str) -> Tensor:
    if isinstance(model, SingleEncoder):
        spaces = {"image": found[0]}
    else:
        # Not model.fuse, which may keep the gradient from the encoders.
        fused = {} if model.fusion is None else {"fused": model.fusion(*found)}
        spaces = {"hr": found[0], "lr": found[1]} | fused
    return feature_of(spaces, headline_of(spaces, features))


def _similarity(rows: Tensor, target: Tensor) -> Tensor:
    if target.ndim != 2 or target.shape[1] != rows.shape[1] or len(target) not in (1, len(rows)):
        raise DrfmError(
            f"target = {tuple(target.shape)}: give one feature, or {len(rows)}, of {rows.shape[1]} numbers"
        )
    return functional.cosine_similarity(rows, target.detach().float(), dim=1)


def _heat(map_: Tensor, gradient: Tensor | None, size: torch.Size) -> npt.NDArray[np.float32]:
    """``(B, H, W)`` maps: channels weighed by their mean gradient, the positive part, the largest value 1."""
    if gradient is None:
        return np.zeros((len(map_), *size), np.float32)
    weighed = (gradient.mean((-2, -1), keepdim=True) * map_).sum(1, keepdim=True).clamp(min=0)
    large = functional.interpolate(weighed, size=tuple(size), mode="bilinear", align_corners=False)[:, 0]
    top = large.amax((-2, -1), keepdim=True)
    return (large / top.clamp(min=torch.finfo(torch.float32).tiny)).cpu().numpy()


@contextlib.contextmanager
def _eval_mode(model: Model) -> Iterator[None]:
    """``model`` in eval mode, and every part in the mode it had before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

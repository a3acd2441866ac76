"""Backbones by name."""

from collections.abc import Callable

from drfm.errors import DrfmError
from drfm.models.backbone import Backbone
from drfm.models.efficientnet_lite import efficientnet_lite0, efficientnet_lite1, efficientnet_lite2
from drfm.models.mobilenetv2 import MobileNetV2
from drfm.models.resnet import resnet18, resnet34, resnet50, resnet101

BACKBONES: dict[str, Callable[[int], Backbone]] = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "mobilenetv2": MobileNetV2,
    "efficientnet_lite0": efficientnet_lite0,
    "efficientnet_lite1": efficientnet_lite1,
    "efficientnet_lite2": efficientnet_lite2,
}
"""Name to a function from the last stride to a backbone with random weights."""

_TRANSFORMERS = "transformers:"


def build_backbone(name: str, last_stride: int = 1) -> Backbone:
    """A backbone with random weights.

    Args:
        name: a key of :data:`BACKBONES`, or ``transformers:NAME`` with a hub name or a local folder.
        last_stride: stride of the last stage that halves the resolution; 1 or 2.
            Backbones of transformers keep the strides of their own configuration.

    Raises:
        DrfmError: the name is unknown.
    """
    if name.startswith(_TRANSFORMERS):
        from drfm.models.transformers_backbone import TransformersBackbone

        return TransformersBackbone(name.removeprefix(_TRANSFORMERS))
    if name not in BACKBONES:
        raise DrfmError(
            f"model.backbone = {name}: unknown; choose {', '.join(BACKBONES)} or {_TRANSFORMERS}NAME"
        )
    return BACKBONES[name](last_stride)

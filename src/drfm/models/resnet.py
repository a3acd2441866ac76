"""Residual networks (He et al., CVPR 2016), with the entry names of torchvision's checkpoints.

As in torchvision, a bottleneck has its stride in the 3x3 convolution.
"""

from collections.abc import Callable

from torch import Tensor, nn

from drfm.models.backbone import Backbone, initialise


class _Basic(nn.Module):
    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Two 3x3 convolutions and the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y.add_(shortcut))  # type: ignore[no-any-return]


class _Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """1x1, 3x3 and 1x1 convolutions and the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y.add_(shortcut))  # type: ignore[no-any-return]


class ResNet(Backbone):
    """A residual network without its classifier.

    Args:
        block: basic (two 3x3) or bottleneck (1x1, 3x3, 1x1) block.
        depths: blocks of the four stages.
        last_stride: stride of the fourth stage; 1 doubles the height and width of the map (B2).
    """

    stem = ("conv1", "bn1")
    head_keys = ("fc.",)

    def __init__(self, block: type[_Basic | _Bottleneck], depths: tuple[int, ...], last_stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(block, 64, 64, depths[0], 1)
        self.layer2 = _stage(block, 64 * block.expansion, 128, depths[1], 2)
        self.layer3 = _stage(block, 128 * block.expansion, 256, depths[2], 2)
        self.layer4 = _stage(block, 256 * block.expansion, 512, depths[3], last_stride)
        self.out_channels = 512 * block.expansion
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the map of the fourth stage; ``(B, 2048, 16, 8)`` for ResNet-50 at 256x128, stride 1."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))  # type: ignore[no-any-return]


def _stage(
    block: type[_Basic | _Bottleneck], channels: int, width: int, depth: int, stride: int
) -> nn.Sequential:
    out = width * block.expansion
    downsample = None
    # A first block changes the width except in stage 1 of the basic nets; stride alone decides nothing there.
    if stride != 1 or channels != out:
        downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    blocks = [block(channels, width, stride, downsample)]
    blocks += [block(out, width, 1, None) for _ in range(1, depth)]
    return nn.Sequential(*blocks)


def _resnet(block: type[_Basic | _Bottleneck], depths: tuple[int, ...]) -> Callable[[int], Backbone]:
    return lambda last_stride: ResNet(block, depths, last_stride)


resnet18 = _resnet(_Basic, (2, 2, 2, 2))
resnet34 = _resnet(_Basic, (3, 4, 6, 3))
resnet50 = _resnet(_Bottleneck, (3, 4, 6, 3))
resnet101 = _resnet(_Bottleneck, (3, 4, 23, 3))

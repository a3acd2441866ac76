import copy
import sys

import pytest
import torch
from torch import nn

from drfm.learning import batchnorm
from drfm.learning.batchnorm import group_batchnorm


def naive(norm, x, groups):
    """A loop over the parts with torch's own BatchNorm; each part starts from the same running statistics."""
    outputs, means, variances = [], [], []
    for part in x.tensor_split(groups):
        device = copy.deepcopy(norm)
        device.weight, device.bias = norm.weight, norm.bias
        outputs.append(device(part))
        means.append(device.running_mean)
        variances.append(device.running_var)
    return torch.cat(outputs), means, variances


def make(kind, channels=5, **options):
    norm = kind(channels, **options)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    return norm


CASES = [(nn.BatchNorm1d, (8, 5)), (nn.BatchNorm1d, (6, 5, 3)), (nn.BatchNorm2d, (9, 5, 4, 3))]


@pytest.mark.parametrize(("kind", "shape"), CASES)
@pytest.mark.parametrize("groups", [1, 2, 3, 4])
@pytest.mark.parametrize("running", ["first", "mean"])
def test_equals_torch_on_each_part(kind, shape, groups, running):
    torch.manual_seed(0)
    groups = min(groups, shape[0] // 2)
    norm = make(kind)
    x = torch.randn(shape, requires_grad=True)
    weights = torch.randn(shape)
    expected, means, variances = naive(norm, x, groups)
    want = torch.autograd.grad((expected * weights).sum(), [x, norm.weight, norm.bias])

    grouped = copy.deepcopy(norm)
    group_batchnorm(grouped, groups, running)
    y = grouped(x)
    got = torch.autograd.grad((y * weights).sum(), [x, grouped.weight, grouped.bias])
    torch.testing.assert_close(y, expected)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    mean = means[0] if running == "first" else torch.stack(means).mean(0)
    var = variances[0] if running == "first" else torch.stack(variances).mean(0)
    torch.testing.assert_close(grouped.running_mean, mean)
    torch.testing.assert_close(grouped.running_var, var)
    assert grouped.num_batches_tracked == 1


def test_gradients_by_finite_differences():
    norm = make(nn.BatchNorm2d, 2).double()
    group_batchnorm(norm, 2)
    x = torch.randn(5, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))


def test_channels_last_keeps_its_layout():
    norm = make(nn.BatchNorm2d)
    group_batchnorm(norm, 2)
    x = torch.randn(8, 5, 4, 3)
    plain = copy.deepcopy(norm)(x)
    last = norm(x.contiguous(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, plain)


def test_frozen_bias_and_input_get_no_gradient():
    norm = make(nn.BatchNorm1d)
    norm.bias.requires_grad_(False)
    group_batchnorm(norm, 2)
    norm(torch.randn(8, 5)).square().sum().backward()
    assert norm.bias.grad is None
    assert norm.weight.grad is not None


def test_eval_mode_is_untouched():
    norm = make(nn.BatchNorm2d).eval()
    x = torch.randn(4, 5, 3, 3)
    expected = norm(x)
    group_batchnorm(norm, 2)
    assert torch.equal(norm(x), expected)
    assert norm.num_batches_tracked == 0


def test_names_and_shared_modules_survive():
    inner = nn.BatchNorm1d(4)
    model = nn.ModuleDict({"a": nn.Sequential(nn.Linear(4, 4), inner), "b": inner})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    group_batchnorm(model, 2)
    group_batchnorm(model, 4)
    assert model["a"][1] is model["b"]
    assert model["b"].groups == 4
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_parts_of_one_sample_are_avoided():
    norm, plain = make(nn.BatchNorm1d), None
    plain = copy.deepcopy(norm)
    group_batchnorm(norm, 2)
    x = torch.randn(3, 5)
    torch.testing.assert_close(norm(x), plain(x))


def test_a_single_sample_is_normalised_with_running_statistics():
    norm = make(nn.BatchNorm1d)
    expected = copy.deepcopy(norm).eval()
    group_batchnorm(norm, 2)
    x = torch.randn(1, 5)
    torch.testing.assert_close(norm(x), expected(x))
    assert norm.num_batches_tracked == 0


def test_cumulative_average_and_no_statistics():
    x = torch.randn(8, 5)
    norm = make(nn.BatchNorm1d, momentum=None)
    expected = naive(norm, x, 2)
    group_batchnorm(norm, 2)
    torch.testing.assert_close(norm(x), expected[0])
    torch.testing.assert_close(norm.running_mean, expected[1][0])
    bare = nn.BatchNorm1d(5, affine=False, track_running_stats=False)
    group_batchnorm(bare, 2)
    torch.testing.assert_close(bare(x)[4:], nn.BatchNorm1d(5, affine=False)(x[4:]))


def test_bfloat16_input():
    norm = make(nn.BatchNorm2d)
    group_batchnorm(norm, 2)
    x = torch.randn(8, 5, 4, 4)
    half = x.bfloat16().requires_grad_()
    y = norm(half)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), norm(x), atol=0.05, rtol=0.05)
    y.float().square().sum().backward()
    assert half.grad.dtype == torch.bfloat16


def test_wrong_shape_and_number_are_refused():
    with pytest.raises(ValueError, match="groups = 0"):
        group_batchnorm(nn.BatchNorm1d(2), 0)
    norm = nn.BatchNorm2d(2)
    group_batchnorm(norm, 2)
    with pytest.raises(ValueError, match="4D"):
        norm(torch.randn(4, 2))


def test_a_frozen_bias_leaves_the_gradient_of_the_weight_whole():
    torch.manual_seed(0)
    norm, x = nn.BatchNorm1d(3), torch.randn(8, 3)
    norm.bias.requires_grad_(False)
    group_batchnorm(norm, 2)
    norm(x).square().mul(torch.arange(8.0)[:, None]).sum().backward()
    plain = nn.BatchNorm1d(3)
    weights = torch.arange(8.0)[:, None]
    sum((plain(x[part]).square() * weights[part]).sum() for part in (slice(4), slice(4, 8))).backward()
    torch.testing.assert_close(norm.weight.grad, plain.weight.grad)


def test_without_kernels_the_loop_goes_on_and_says_why(monkeypatch):
    torch.manual_seed(0)
    norm = make(nn.BatchNorm2d)
    group_batchnorm(norm, 2)
    x = torch.randn(8, 5, 4, 3).contiguous(memory_format=torch.channels_last)
    expected = copy.deepcopy(norm)(x)
    assert not batchnorm.kernels_refused()
    monkeypatch.setattr(batchnorm, "_DEVICE", "cpu")
    monkeypatch.setattr(batchnorm, "_WHY_NOT", {})
    monkeypatch.setitem(sys.modules, "drfm.learning.batchnorm_triton", None)
    monkeypatch.delattr("drfm.learning.batchnorm_triton", raising=False)
    assert torch.equal(norm(x), expected)
    assert norm.num_batches_tracked == 1
    assert "batchnorm_triton" in batchnorm.kernels_refused()

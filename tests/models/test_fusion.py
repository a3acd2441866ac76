import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drfm.models.fusion import CRFF, FullyConnectedFusion, concatenate_project, crff, enhance, gate_weights


def naive_crff(u, v, layers, activation, gate, temperature):
    """Eq. 10-13 for one pair, number by number."""
    (w1, b1), (w2, b2), (w3, b3) = layers
    size = len(u)

    def layer(x, w, b):
        return [sum(w[o][i] * x[i] for i in range(len(x))) + b[o] for o in range(len(b))]

    a, b = layer(u, w1, b1), layer(v, w2, b2)
    if activation == "relu":
        a, b = [max(x, 0) for x in a], [max(x, 0) for x in b]
    product = [a[i] * b[i] / temperature for i in range(size)]
    if gate == "sigmoid":
        g = [1 / (1 + math.exp(-x)) for x in product]
    else:
        total = sum(math.exp(x) for x in product)
        g = [math.exp(x) / total * (size if gate == "softmax_scaled" else 1) for x in product]
    joined = [u[i] + u[i] * g[i] for i in range(size)] + [v[i] + v[i] * g[i] for i in range(size)]
    return layer(joined, w3, b3)


def random_layers(size, seed=0):
    random = np.random.default_rng(seed)
    shapes = ((size, size), (size, size), (size, 2 * size))
    return [(random.standard_normal(s), random.standard_normal(size)) for s in shapes]


@pytest.mark.parametrize("activation", ["none", "relu"])
@pytest.mark.parametrize("gate", ["softmax", "softmax_scaled", "sigmoid"])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_crff_equals_loops(activation, gate, temperature):
    size = 4
    layers = random_layers(size)
    u, v = np.random.default_rng(1).standard_normal((2, 3, size))
    tensors = [(torch.tensor(w), torch.tensor(b)) for w, b in layers]
    options = {"activation": activation, "gate": gate, "temperature": temperature}
    got = crff(torch.tensor(u), torch.tensor(v), *tensors, **options)
    for row in range(3):
        np.testing.assert_allclose(got[row], naive_crff(u[row], v[row], layers, **options))


@given(st.integers(1, 6), st.floats(0.1, 10))
def test_gates(size, temperature):
    a, b = torch.randn(2, 3, size)
    softmax = gate_weights(a, b, temperature=temperature)
    torch.testing.assert_close(softmax.sum(1), torch.ones(3))
    torch.testing.assert_close(
        gate_weights(a, b, gate="softmax_scaled", temperature=temperature), softmax * size
    )
    sigmoid = gate_weights(a, b, gate="sigmoid", temperature=temperature)
    assert ((sigmoid >= 0) & (sigmoid <= 1)).all()


def test_gate_of_large_products_is_finite():
    a = torch.tensor([[1e4, -1e4, 0.0]])
    torch.testing.assert_close(gate_weights(a, a.abs()), torch.tensor([[1.0, 0, 0]]))


def test_enhance_and_projection_by_hand():
    f, g = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.25]])
    assert enhance(f, g).tolist() == [[1.5, 2.5]]
    weight = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])
    assert concatenate_project(f, g, weight, None).tolist() == [[1 + 20 + 50 + 250]]


def test_module_is_the_function_normalised():
    module = CRFF(6, activation="relu", gate="sigmoid", temperature=2.0)
    u, v = torch.randn(2, 4, 6)
    layers = [(f.weight, f.bias) for f in (module.f1, module.f2, module.f3)]
    raw = crff(u, v, *layers, activation="relu", gate="sigmoid", temperature=2.0)
    torch.testing.assert_close(module(u, v), raw / raw.norm(dim=1, keepdim=True))


def test_sides_are_not_interchangeable():
    module = CRFF(6)
    u, v = torch.randn(2, 4, 6)
    assert not torch.allclose(module(u, v), module(v, u), atol=1e-3)


@pytest.mark.parametrize("kind", [CRFF, FullyConnectedFusion])
def test_options_of_the_modules(kind):
    plain = kind(8)
    assert not plain.f3.bias.any()
    assert abs(plain.f3.weight.std().item() - math.sqrt(2 / 8)) < 0.15
    default = kind(8, init="torch")
    assert default.f3.weight.abs().max().item() <= 1 / math.sqrt(16)
    normed = kind(8, norm="bn_l2")
    assert not normed.norm.bias.requires_grad
    u, v = torch.randn(2, 16, 8)
    for module in (plain, default, normed):
        torch.testing.assert_close(module(u, v).norm(dim=1), torch.ones(16))
    torch.testing.assert_close(normed.norm.num_batches_tracked, torch.tensor(1))


def test_single_layer_by_hand():
    module = FullyConnectedFusion(3)
    u, v = torch.randn(2, 2, 3)
    raw = torch.cat([u, v], 1) @ module.f3.weight.T + module.f3.bias
    torch.testing.assert_close(module(u, v), raw / raw.norm(dim=1, keepdim=True))


def test_literal_gate_is_almost_inert_on_unit_features():
    torch.manual_seed(0)
    size = 512
    module = CRFF(size)
    u, v = torch.nn.functional.normalize(torch.randn(2, 4, size), dim=-1)
    weights = gate_weights(module.f1(u), module.f2(v))
    assert (weights * size - 1).abs().max().item() < 0.1

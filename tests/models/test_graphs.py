import copy

import pytest
import torch
from torch import nn

from drfm.config import ModelConfig
from drfm.learning.batchnorm import group_batchnorm
from drfm.models import graphs
from drfm.models.backbone import Backbone
from drfm.models.build import build_model
from drfm.models.encoder import add_graphs
from drfm.models.graphs import SEEN, SHAPES, Graphs


class Small(Backbone):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images):
        return self.norm(self.conv(images))


class Recorder:
    """Stands in for a GPU: a recording adds 1000 times its number, and its warm-up runs the network."""

    def __init__(self):
        self.shapes = []

    def __call__(self, network, images):
        for _ in range(3):
            network(images)
        self.shapes.append(tuple(images.shape))
        number = len(self.shapes)
        return lambda some: network(some) + 1000 * number


@pytest.fixture
def recorder(monkeypatch):
    made = Recorder()
    monkeypatch.setattr(graphs, "record", made)
    monkeypatch.setattr(Graphs, "_fits", lambda self, images: self._backbone.training)
    return made


def replayed(value):
    return round(value.detach().mean().item() / 1000)


def test_a_shape_is_recorded_when_it_has_come_often_enough(recorder):
    network = Small()
    each, images = Graphs(network), torch.randn(2, 3, 8, 8)
    found = []
    for _ in range(SEEN + 2):
        each.begin()
        found.append(replayed(each(images)))
    assert found == [0] * SEEN + [1, 1]
    assert recorder.shapes == [(2, 3, 8, 8)]


def test_two_passes_of_one_step_have_two_recordings(recorder):
    each, images = Graphs(Small()), torch.randn(2, 3, 8, 8)
    for _ in range(3 * SEEN):
        each.begin()
        numbers = [replayed(each(images)) for _ in range(2)]
    assert numbers == [1, 2]
    each.begin()
    assert [replayed(each(images)) for _ in range(3)][:2] == [1, 2]  # a third pass is not there in every step


def test_batchnorm_does_not_count_what_runs_before_a_recording(recorder):
    network, plain = Small(), Small()
    plain.load_state_dict(network.state_dict())
    each, images = Graphs(network), torch.randn(4, 3, 8, 8)
    for _ in range(SEEN + 1):
        each.begin()
        each(images)
        plain(images)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value)


def test_there_are_no_more_than_so_many_recordings(recorder):
    each = Graphs(Small())
    for size in range(1, SHAPES + 4):
        for _ in range(SEEN + 1):
            each.begin()
            each(torch.randn(size, 3, 8, 8))
    assert len(recorder.shapes) == SHAPES


def test_what_cannot_be_recorded_is_run_and_the_reason_kept(monkeypatch, recorder):
    def fails(network, images):
        network(images)
        raise RuntimeError("operation not permitted\nmore")

    monkeypatch.setattr(graphs, "record", fails)
    network = Small()
    each = Graphs(network)
    for _ in range(SEEN + 3):
        each.begin()
        assert replayed(each(torch.randn(2, 3, 8, 8))) == 0
    assert each.refused == "operation not permitted"
    assert int(network.norm.num_batches_tracked) == SEEN + 3


def test_on_a_cpu_and_in_eval_mode_nothing_is_recorded(monkeypatch):
    monkeypatch.setattr(graphs, "record", lambda network, images: pytest.fail("recorded"))
    each = Graphs(Small())
    for _ in range(SEEN + 2):
        each(torch.randn(2, 3, 8, 8))


def test_encoders_get_graphs_and_copies_of_them_have_none():
    config = ModelConfig(backbone="resnet18", weights="random")
    model = build_model(config, seed=1)
    assert len(add_graphs(model)) == 2
    assert model.hr_encoder.graphs._backbone is model.hr_encoder.backbone
    assert copy.deepcopy(model).hr_encoder.graphs is None
    assert model.state_dict().keys() == build_model(config, seed=1).state_dict().keys()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_recording_gives_the_gradients_of_the_network():
    torch.manual_seed(0)
    one = Small().cuda()
    two = copy.deepcopy(one)
    each = Graphs(one)
    for _ in range(SEEN + 3):
        images = torch.randn(4, 3, 8, 8, device="cuda")
        each.begin()
        for network, run in ((one, each), (two, two)):
            network.zero_grad(set_to_none=True)
            run(images).square().sum().backward()
        for a, b in zip(one.parameters(), two.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4)
    assert not each.refused
    for name, value in two.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("low", [False, True])
def test_two_encoders_side_by_side_train_as_one_after_the_other(low):
    config = ModelConfig(backbone="resnet18", weights="random")
    one, two = (build_model(config, seed=1).cuda().train() for _ in range(2))
    group_batchnorm(one, 2)
    group_batchnorm(two, 2)
    each = add_graphs(one)
    torch.manual_seed(0)
    images = torch.randn(2, 12, 3, 64, 32, device="cuda")
    for _ in range(SEEN + 3):
        found = []
        for network in (one, two):
            for graphs_ in each:
                graphs_.begin()
            network.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16, enabled=low):
                encoded = [
                    network(hr, lr) for hr, lr in ((images[0], images[1]), (images[1, :4], images[0, :4]))
                ]
            sum((e.hr * e.lr).sum() + e.fused[:, 0].sum() for e in encoded).backward()
            found.append([p.grad for p in network.parameters() if p.grad is not None])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=2e-2, atol=(3e-2 if low else 1e-3) * float(b.abs().max()))
    assert not any(graphs_.refused for graphs_ in each)
    for name, value in two.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], value, rtol=1e-2, atol=1e-2)

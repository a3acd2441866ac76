import torch
from torch import nn

from drfm.learning.averages import Average


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_parameters_follow_and_buffers_do_not():
    source = network()
    average = Average(source)
    old = [p.clone() for p in average.module.parameters()]
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1.0)
    source(torch.randn(5, 3))
    average.update(source, 0.75)
    for mine, before, theirs in zip(average.module.parameters(), old, source.parameters(), strict=True):
        torch.testing.assert_close(mine, 0.75 * before + 0.25 * theirs)
    assert torch.equal(average.module[1].running_mean, torch.zeros(4))
    assert not torch.equal(source[1].running_mean, torch.zeros(4))
    average.module(torch.ones(5, 3))
    assert not torch.equal(average.module[1].running_mean, torch.zeros(4))


def test_decay_of_nothing_copies():
    source = network()
    average = Average(source)
    with torch.no_grad():
        source[0].weight.mul_(3)
    average.update(source, 0.0)
    assert torch.equal(average.module[0].weight, source[0].weight)


def test_the_copy_is_another_and_has_no_gradient():
    source = network()
    average = Average(source)
    assert all(p.requires_grad for p in source.parameters())
    assert not any(p.requires_grad for p in average.module.parameters())
    assert average.module.training == source.training


def test_state_goes_there_and_back():
    one, other = Average(network()), Average(network())
    one.module(torch.randn(6, 3))
    one.update(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), 0.5)
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    assert all(torch.equal(other.state_dict()[name], value) for name, value in one.state_dict().items())

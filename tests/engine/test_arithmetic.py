import os

import pytest
import torch

from drfm.config import TrainConfig
from drfm.engine.arithmetic import set_arithmetic


@pytest.fixture(autouse=True)
def put_back(monkeypatch):
    monkeypatch.setitem(os.environ, "CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    yield
    set_arithmetic(TrainConfig())


@pytest.mark.parametrize("chosen", [False, True])
def test_switches_are_set_both_ways(chosen):
    set_arithmetic(TrainConfig(deterministic=chosen, tf32=not chosen))
    assert torch.are_deterministic_algorithms_enabled() is chosen
    assert not torch.backends.cudnn.benchmark  # which may choose another algorithm in the next run
    assert torch.backends.cuda.matmul.allow_tf32 is not chosen
    assert torch.backends.cudnn.allow_tf32 is not chosen
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is chosen


def test_a_whole_epoch_is_made_of_operations_that_can_be_deterministic(tiny, tmp_path):
    set_arithmetic(TrainConfig(deterministic=True))
    tiny.tiny_trainer(tmp_path, 1).fit()

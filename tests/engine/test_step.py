"""What a step may not do: ask the device for a number, which makes a GPU's host wait."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

ASKING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive",
          "equal", "is_nonzero", "item"}  # fmt: skip


class Questions(TorchDispatchMode):
    """Notes every operation whose result has to come back from the device before the next can be sent."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().partition("::")[2].partition(".")[0]
        mask = name in ("index", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in ASKING or mask:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def test_questions_are_noticed():
    with Questions() as asked:
        x = torch.arange(3)
        bool((x > 1).any()), x[x > 1], x.unique(), float(x.sum())
    assert {"_local_scalar_dense", "index"} <= set(asked.found)


@pytest.mark.parametrize("negatives", ["all", "each_origin"])
def test_a_step_of_drfm_asks_the_device_nothing(tiny, tmp_path, negatives):
    trainer = tiny.tiny_trainer(tmp_path, 1, **{"loss.negatives_from": negatives})
    trainer._begin(1)
    trainer.method.model.train()
    stream = trainer.method.selections(trainer.labels, 1, np.random.default_rng(0))
    for selection in itertools.islice(stream, 2):
        with Questions() as asked:
            losses = trainer._step(selection, 1)
        assert asked.found == []
    assert {"total", "ic", "ps"} <= losses.keys()

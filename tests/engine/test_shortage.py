import pytest
import torch

from drfm.config.load import load_config
from drfm.engine.shortage import memory_said
from drfm.errors import DrfmError


@pytest.mark.parametrize(
    ("error", "device"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "the GPU"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 5 bytes"), "this machine"),
        (MemoryError(), "this machine"),
    ],
)
def test_what_to_lower_is_said_in_one_line(error, device):
    config = load_config("paper", None, {"images.hr_size": "128x64", "sampler.batch": 32}).config
    with pytest.raises(DrfmError) as caught, memory_said(config):
        raise error
    assert str(caught.value) == (
        f"out of memory on {device}: set train.checkpointing = true, lower sampler.batch (now 32), "
        "train.extract_batch (128), or images.hr_size and images.lr_size (128x64)"
    )


def test_a_switch_that_is_on_already_is_not_proposed():
    config = load_config("paper", None, {"train.checkpointing": True}).config
    with pytest.raises(DrfmError, match="out of memory on this machine: lower"), memory_said(config):
        raise MemoryError


def test_a_request_that_no_machine_can_meet_is_told_from_other_errors():
    config = load_config("paper", None, {}).config
    with pytest.raises(DrfmError, match="out of memory on this machine"), memory_said(config):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="another"), memory_said(config):
        raise RuntimeError("another")


def test_a_training_that_runs_out_of_memory_says_so(tiny, tmp_path):
    trainer = tiny.tiny_trainer(tmp_path, 1)

    def fails(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    trainer._step = fails
    with pytest.raises(DrfmError, match="out of memory on the GPU: set train"):
        trainer.fit()

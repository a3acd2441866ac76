"""A device without enough memory, said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from drfm.config import Config
from drfm.errors import DrfmError


@contextmanager
def memory_said(config: Config) -> Iterator[None]:
    """Turn an allocation that failed within the block into a line that says what to lower.

    Raises:
        DrfmError: the device, or the machine, had too little memory.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _short(error):
            raise
        train, images = config.train, config.images
        size = "x".join(str(pixels) for pixels in images.hr_size)
        mends = [] if train.checkpointing else ["set train.checkpointing = true"]
        mends += [
            f"lower sampler.batch (now {config.sampler.batch}), train.extract_batch ({train.extract_batch})",
            f"or images.hr_size and images.lr_size ({size})",
        ]
        raise DrfmError(f"out of memory on {_device(error)}: {', '.join(mends)}") from None


def _short(error: BaseException) -> bool:
    # PyTorch has no class of its own for the memory of a CPU.
    words = ("can't allocate memory", "not enough memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(w in str(error) for w in words)


def _device(error: BaseException) -> str:
    return "the GPU" if isinstance(error, torch.OutOfMemoryError) else "this machine"

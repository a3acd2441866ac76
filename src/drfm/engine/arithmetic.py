"""How a GPU computes: the same bits every time, or the fastest way; exact float32, or TF32."""

import os

import torch

from drfm.config import TrainConfig


def set_arithmetic(config: TrainConfig) -> None:
    """Set what ``train.deterministic`` and ``train.tf32`` say, for the whole process.

    Nothing here changes what a CPU computes. With ``train.deterministic`` an operation that a GPU
    cannot do to the same bits twice is an error rather than a difference.
    """
    torch.backends.cuda.matmul.allow_tf32 = config.tf32
    torch.backends.cudnn.allow_tf32 = config.tf32
    torch.backends.cudnn.deterministic = config.deterministic
    torch.use_deterministic_algorithms(config.deterministic)
    if config.deterministic:  # read when cuBLAS starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

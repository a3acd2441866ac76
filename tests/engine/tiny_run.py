"""A run small enough to be trained many times: `tiny_run.py RUN EPOCHS [OPTION=VALUE ...] [KILL_STEP]`.

Under `torchrun`, or with its environment, the processes train together.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from drfm.config.load import load_config
from drfm.engine.processes import Processes, joined, share_out
from drfm.engine.trainer import Trainer
from drfm.methods import build_method
from drfm.models.backbone import Backbone
from drfm.models.backbones import BACKBONES
from drfm.models.build import build_model
from drfm.resolution.pairs import PairSet, pairs_from_arrays

OPTIONS = {
    "images.sr": "bicubic",
    "images.hr_size": (32, 16),
    "images.lr_size": (32, 16),
    "model.backbone": "tiny",
    "model.weights": "random",
    "labels.k1": 4,
    "labels.k2": 2,
    "labels.eps": 0.8,
    "labels.min_samples": 2,
    "loss.ps_start": 1,
    "loss.ps_batch": 4,
    "sampler.batch": 8,
    "sampler.instances": 2,
    "train.iterations": 3,
    "augment.erase": 0.5,
}


class TinyBackbone(Backbone):
    """Two convolutions, so that a checkpoint is small."""

    out_channels = 32
    stem = ("conv1", "bn1")

    def __init__(self, last_stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 4, 1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 32, 3, last_stride, 1, bias=False), nn.BatchNorm2d(32)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(images))))))


BACKBONES["tiny"] = TinyBackbone


def tiny_pairs(persons: int = 5, shots: int = 4) -> PairSet:
    """Persons are random colour patterns; half of their images are HR. There are three cameras."""
    random = np.random.default_rng(0)
    looks = random.integers(0, 256, (persons, 8, 4, 3))
    images, origin = [], []
    for look in looks:
        for shot in range(2 * shots):
            noise = random.normal(0, 20, (32, 16, 3))
            images.append(np.clip(np.kron(look, np.ones((4, 4, 1))) + noise, 0, 255).astype(np.uint8))
            origin.append(shot % 2)
    stacked = np.stack(images)
    names = tuple(f"{i:03d}.png" for i in range(len(stacked)))
    camera = np.arange(len(stacked)) % 3
    return pairs_from_arrays(stacked, stacked, np.array(origin, dtype=np.int8), camera=camera, names=names)


def tiny_trainer(
    run: Path,
    epochs: int,
    preset: str = "paper",
    pairs: PairSet | None = None,
    processes: Processes = Processes(),  # noqa: B008
    profile: bool = False,
    truth: np.ndarray | None = None,
    **changes: object,
) -> Trainer:
    config = load_config(preset, None, {**OPTIONS, "train.epochs": epochs, **changes}).config
    pairs = tiny_pairs() if pairs is None else pairs
    model = build_model(config.model, seed=config.seed)
    share_out(model, config, processes)
    method = build_method(config, model, pairs, truth)
    cpu = torch.device("cpu")
    return Trainer(method, pairs, config, run, cpu, "tiny", processes=processes, profile=profile)


def main() -> None:
    run, epochs = Path(sys.argv[1]), int(sys.argv[2])
    changes = dict(word.split("=") for word in sys.argv[3:] if "=" in word)
    with joined("cpu") as (processes, _):
        fit(tiny_trainer(run, epochs, processes=processes, **changes))


def fit(trainer: Trainer) -> None:
    """Train, and die at the step that the command line names."""
    if sys.argv[-1].isdigit() and len(sys.argv) > 3:
        left = int(sys.argv[-1])
        step = trainer._step

        def killing(*arguments):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments)

        trainer._step = killing
    trainer.fit()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

"""The learning rate over epochs, and random numbers that depend on seed and epoch alone."""

import math
from enum import IntEnum

import numpy as np

from drfm.config import TrainConfig


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Learning rate of a 0-based epoch (F1).

    ``step``: times 0.1 every ``lr_step`` epochs. ``warmup``: factor
    ``0.1 (1 - e/w) + e/w`` for the first ``w`` epochs, then 1, as ICE and DCCC do.
    ``cosine``: from the full rate to 0 at the end.
    """
    factor = 1.0
    if config.schedule == "step":
        factor = 0.1 ** (epoch // config.lr_step)
    elif config.schedule == "warmup" and epoch < config.warmup:
        share = epoch / config.warmup
        factor = 0.1 * (1 - share) + share
    elif config.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
    return config.lr * factor


class Stream(IntEnum):
    """What a random number is drawn for; streams never share numbers."""

    SAMPLER = 0
    AUGMENT = 1
    TORCH = 2


def epoch_seed(seed: int, epoch: int, stream: Stream) -> int:
    """A 63-bit seed for one stream of one epoch.

    Because it depends on nothing else, a run that was cut and resumed draws what
    an uncut one draws.
    """
    words = np.random.SeedSequence([seed, epoch, int(stream)]).generate_state(2, np.uint32)
    return int((int(words[0]) << 31) ^ int(words[1]))

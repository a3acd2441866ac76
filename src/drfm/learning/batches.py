"""From rows of the pair table to a batch on the training device."""

import numpy as np
import numpy.typing as npt
import torch

from drfm.config import AugmentConfig
from drfm.learning.augment import apply_plan, draw, plan
from drfm.learning.batch import Batch
from drfm.resolution.pairs import PairSet


def make_batch(
    pairs: PairSet,
    rows: npt.NDArray[np.int64],
    config: AugmentConfig,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Batch:
    """Read, augment and normalise the two images of each row.

    Args:
        pairs: the image store.
        rows: ``(B,)`` int64 rows, B >= 0; a row may occur more than once and is augmented anew each time.
        config: augmentation; ``shared`` gives the two images of a pair one draw (A9).
        generator: CPU generator, the only source of randomness.
        device: where the batch is wanted.

    Returns:
        The batch, rows in the order given.
    """
    device = torch.device(device)
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    draws = draw(len(rows), generator)
    images = []
    for index, store in enumerate((pairs.hr, pairs.lr)):
        if index and not config.shared:
            draws = draw(len(rows), generator)
        todo = plan(draws, config, height=store.shape[1], width=store.shape[2])
        images.append(apply_plan(store, rows, todo, device))
    repeats = int(np.unique(rows, return_counts=True)[1].max(initial=0))
    return Batch(rows=torch.from_numpy(rows).to(device), hr=images[0], lr=images[1], repeats=repeats)

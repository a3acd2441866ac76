"""From rows of the pair table to a batch on the training device."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.config import AugmentConfig
from drfm.learning.augment import Draws, Plan, apply_plan, draw, nothing, plan
from drfm.learning.batch import BOTH, Batch, View
from drfm.learning.blur import blur, draw_radii, erase
from drfm.learning.resident import Images, Store, sent
from drfm.resolution.pairs import PairSet


def make_batch(
    pairs: PairSet,
    rows: npt.NDArray[np.int64],
    config: AugmentConfig,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    views: Sequence[View] = BOTH,
    own: slice = slice(None),
    images: Images | None = None,
) -> Batch:
    """Read, augment and normalise images of each row.

    Args:
        pairs: the image store.
        rows: ``(B,)`` int64 rows, B >= 0; a row may occur more than once and is augmented anew each time.
        config: augmentation; ``shared`` gives all augmented images of a pair one draw (A9). Augmented
            images are drawn among ``pairs.twins`` too, where there are some.
        generator: CPU generator, the only source of randomness.
        device: where the batch is wanted.
        views: the images wanted.
        own: the part of the batch whose images this process makes; the draws are those of the whole batch.
        images: the same images where they may lie on the device already.

    Returns:
        The batch, rows in the order given.
    """
    device = torch.device(device)
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    mine = rows[own]
    draws, radii = None, None
    made = []
    table = pairs if images is None else images
    for view in views:
        if view.augmented and (draws is None or not config.shared):
            draws = Draws(*(numbers[own] for numbers in draw(len(rows), generator)))
            radii = draw_radii(len(rows), config.blur, generator)[own] if config.blur else None
        held: Sequence[Store] = table.stores(view.source)
        which = pairs.origin[mine]
        if view.augmented and (others := table.others(view.source)):
            held = (*held, *others)
            which = torch.randint(len(held), (len(rows),), generator=generator).numpy()[own]
        height, width = held[0].shape[1:3]
        chosen = plan(draws, config, height, width) if view.augmented and draws is not None else None
        if radii is None or chosen is None:
            made.append(_images(held, which, mine, chosen or nothing(len(mine)), device))
        else:  # Blur comes before erasing.
            whole = chosen._replace(box=torch.zeros_like(chosen.box))
            made.append(erase(blur(_images(held, which, mine, whole, device), radii), chosen.box))
    repeats = int(np.unique(rows, return_counts=True)[1].max(initial=0))
    return Batch(rows=sent(rows, device), images=tuple(made), repeats=repeats)


def _images(
    stores: Sequence[Store],
    which: npt.NDArray[np.integer],
    rows: npt.NDArray[np.int64],
    todo: Plan,
    device: torch.device,
) -> Tensor:
    """Images of some rows, each from the store that ``which`` numbers, such as an origin, HR or LR."""
    if len(stores) == 1:
        return apply_plan(stores[0], rows, todo, device)
    chosen = [np.flatnonzero(which == number) for number in range(len(stores))]
    parts = [
        apply_plan(store, rows[mine], Plan(*(part[mine] for part in todo)), device)
        for store, mine in zip(stores, chosen, strict=True)
    ]
    back = sent(np.argsort(np.concatenate(chosen)), device)
    return torch.cat(parts)[back].contiguous(memory_format=torch.channels_last)

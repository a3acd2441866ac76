"""Feature memories with momentum (Eq. 1 to 3) and their resolution centroids (Eq. 14 and 15)."""

import torch
from torch import Tensor
from torch.nn import functional

from drfm.config import MemoryConfig
from drfm.learning.centroids import Groups, group_sums


@torch.no_grad()
def momentum_update(
    slots: Tensor,
    rows: Tensor,
    features: Tensor,
    *,
    alpha: float,
    normalise: bool,
    repeats: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Write ``v <- alpha v + (1 - alpha) f`` into ``slots`` for every row of a batch (Eq. 1 to 3).

    Rows that occur more than once are updated once for each occurrence, in batch order (D5). The
    work is done for all rows together, in as many rounds as the most frequent row occurs, and asks
    nothing back of the device if ``repeats`` is given.

    Args:
        slots: ``(N, D)`` float32, changed in place.
        rows: ``(B,)`` int64 in 0..N-1.
        features: ``(B, D)``.
        alpha: weight of the old value, 0 <= alpha < 1 (D2).
        normalise: L2-normalise after each update (D3).
        repeats: at least the largest number of times that a row occurs; counted where ``None``.

    Returns:
        ``(B,)`` rows, sorted, and ``(B, D)`` by how much each changed; a row that occurs more than
        once has its change at its last place and zeros before.
    """
    rows, order = torch.sort(rows, stable=True)
    fresh = features.detach().to(slots.dtype)[order]
    position = torch.arange(len(rows), device=rows.device)
    occurrence = position - torch.searchsorted(rows, rows)
    last = torch.searchsorted(rows, rows, right=True) - 1
    if repeats is None:
        repeats = int(occurrence.max()) + 1 if len(rows) else 0
    old = slots[rows]
    state = old
    for turn in range(repeats):
        before = old if turn == 0 else state.roll(1, dims=0)
        after = alpha * before + (1 - alpha) * fresh
        if normalise:
            after = functional.normalize(after, dim=1)
        state = after if turn == 0 else torch.where((occurrence == turn).unsqueeze(1), after, state)
    final = state[last]
    # Every occurrence of a row writes the same value, so the order of writing does not matter.
    slots[rows] = final
    return rows, torch.where((position == last).unsqueeze(1), final - old, 0.0)


class FeatureMemory:
    """One feature for each pair in one space, and the resolution centroids of the labelled ones.

    The table has a row for every pair, labelled or not, so that a row number means the same
    everywhere. Sums per group are kept along, so a step costs O(batch) and not a pass over the
    memory; :meth:`regroup` forms them anew, which the method does once an epoch.

    Attributes:
        features: ``(N, D)`` float32, the slots v_i.
        groups: rows of each resolution centroid.
        centroids: ``(K, D)`` float32, Eq. 14 and 15; follows the slots with ``refresh: step``.
    """

    def __init__(self, features: Tensor, groups: Groups, config: MemoryConfig) -> None:
        """Copy ``(N, D)`` features into the slots and form the centroids of ``groups``."""
        self.features = features.detach().to(torch.float32, copy=True)
        self._config = config
        self.regroup(groups)

    def regroup(self, groups: Groups) -> None:
        """Keep the slots, take new groups, and form all sums and centroids from the slots."""
        self.groups = groups
        self._sums = group_sums(self.features, groups)
        self.centroids = self._means(self._sums, groups.count)

    def update(self, rows: Tensor, features: Tensor, repeats: int | None = None) -> None:
        """Eq. 1 to 3 for ``(B,)`` rows and ``(B, D)`` features; see :func:`momentum_update`."""
        config = self._config
        rows, change = momentum_update(
            self.features, rows, features, alpha=config.alpha, normalise=config.normalise, repeats=repeats
        )
        if len(self.groups) == 0:
            return
        group = self.groups.of_row[rows]
        change = torch.where((group >= 0).unsqueeze(1), change, 0.0)
        group = group.clamp(min=0)
        self._sums.index_add_(0, group, change)
        if config.refresh == "step":
            self.centroids[group] = self._means(self._sums[group], self.groups.count[group])

    def state_dict(self) -> dict[str, Tensor]:
        """Slots, running sums and centroids; groups follow from the labels."""
        return {"features": self.features, "sums": self._sums, "centroids": self.centroids}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], groups: Groups, config: MemoryConfig) -> "FeatureMemory":
        """The memory that gave ``state``, bit for bit, on the device of ``groups``."""
        device = groups.of_row.device
        memory = cls(state["features"].to(device), groups, config)
        memory._sums = state["sums"].to(device, copy=True)
        memory.centroids = state["centroids"].to(device, copy=True)
        return memory

    def _means(self, sums: Tensor, count: Tensor) -> Tensor:
        means = sums / count.unsqueeze(1)
        return functional.normalize(means, dim=1) if self._config.normalise_centroids else means

"""One step of training: images, losses, gradients, optimiser, memories."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.config import Config
from drfm.engine.processes import Processes
from drfm.engine.profile import Clock
from drfm.learning.batch import Batch, Selection
from drfm.learning.batches import make_batch
from drfm.learning.resident import Images
from drfm.methods.base import Method
from drfm.models.encoder import add_graphs
from drfm.resolution.pairs import PairSet


class Step:
    """Takes the steps of one method on one pair table.

    Attributes:
        optimiser: Adam over what the method trains.
        augment: the generator of every random change of an image.
        images: the images of the pairs, on the device where they fit.
        graphs: what replays passes of the backbones, on a GPU. A clock that watches wants to see the parts
            of a step, and activations that are computed twice cannot be replayed: then there are none.
    """

    def __init__(
        self,
        method: Method,
        pairs: PairSet,
        config: Config,
        device: torch.device,
        processes: Processes,
        clock: Clock,
    ) -> None:
        self._method, self._pairs, self._config = method, pairs, config
        self._device, self._processes, self._clock = device, processes, clock
        self.images = Images(pairs, [view.source for view in method.views], device)
        trained = [p for p in method.model.parameters() if p.requires_grad]
        train = config.train
        self.optimiser = torch.optim.Adam(trained, lr=train.lr, weight_decay=train.weight_decay, fused=True)
        self.augment = torch.Generator()
        replayed = train.graphs and device.type == "cuda" and not train.checkpointing and not clock.watching
        self.graphs = add_graphs(method.model) if replayed else []

    def __call__(self, selection: Selection, epoch: int) -> dict[str, Tensor]:
        """Train on one selection; its losses by name and their ``total``, detached, still on the device."""
        part, method = self._clock.part, self._method
        for each in self.graphs:
            each.begin()
        with part("images"):
            batch = self._batch(selection.labelled)
            ambiguous = self._batch(selection.ambiguous) if len(selection.ambiguous) else None
        with part("losses"):
            losses = method.losses(batch, ambiguous, epoch)
            total = torch.stack(list(losses.values())).sum()
        with part("backward"):
            self.optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            self._processes.average_gradients(method.model.parameters())
        with part("optimiser"):
            self.optimiser.step()
        with part("memory"):
            method.after_step()
        return {"total": total.detach()} | {name: value.detach() for name, value in losses.items()}

    def _batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        return make_batch(
            self._pairs,
            rows,
            self._config.augment,
            self.augment,
            self._device,
            self._method.views,
            own=self._processes.part(len(rows)),
            images=self.images,
        )

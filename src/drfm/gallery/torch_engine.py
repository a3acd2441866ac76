"""The encoder of a bundle on PyTorch."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from drfm.config import ModelConfig
from drfm.data.records import Resolution
from drfm.errors import DrfmError
from drfm.evaluation.evaluate import feature_of
from drfm.gallery.bundle import SR, WEIGHTS, Bundle, read_bundle
from drfm.gallery.encoder import Encoder, Pixels, Vectors
from drfm.models.build import Model, new_model
from drfm.models.extract import encode_batch
from drfm.models.folding import folded
from drfm.models.inputs import MEAN, STD, to_input
from drfm.models.storage import load_own_tensors, read_tensors
from drfm.resolution.pairs import PairSet
from drfm.resolution.superresolve import SuperResolver, make_resolver

NETWORK_SR = frozenset({"swin2sr"})
"""Super-resolution back ends with weights of their own, which a bundle carries."""


class TorchEncoder(Encoder):
    """See :class:`drfm.gallery.encoder.Encoder`.

    Attributes:
        model: as trained, on the CPU, for export and explanation.
    """

    def __init__(self, bundle: Bundle, device: str = "auto") -> None:
        super().__init__(bundle.record)
        self._folder = bundle.folder
        self.device = _device(device)
        self.model = load_bundled_model(bundle)
        network = folded(self.model).to(self.device)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @cached_property
    def _resolver(self) -> SuperResolver:
        images = self.preprocessing.images
        if images.sr in NETWORK_SR:
            images = replace(images, sr_model=str(self._folder / SR))
        return make_resolver(images, str(self.device))

    def _vectors(self, captures: Sequence[Pixels], resolutions: Sequence[Resolution]) -> Vectors:
        return self.encode_pairs(self.pairs(captures, resolutions))

    def encode_pairs(self, pairs: PairSet) -> Vectors:
        """``(N, D)`` float32 unit rows of N prepared pairs, in one forward pass."""
        images = [to_input(pairs.take(view, slice(None)), self.device) for view in self.model.views]
        spaces = encode_batch(self._network, images, "float32", self.preprocessing.flip)
        vectors: Vectors = feature_of(spaces, self.preprocessing.features).cpu().numpy()
        return vectors


def load_encoder(folder: str | Path, device: str = "auto") -> TorchEncoder:
    """The encoder of a bundle, once every file of it agrees with its checksum.

    Args:
        folder: what `drfm bundle` wrote.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DrfmError: the bundle is incomplete, damaged or changed, or there is no such device.
    """
    return TorchEncoder(read_bundle(Path(folder)), device)


def load_bundled_model(bundle: Bundle) -> Model:
    """The model of a bundle, on the CPU, in training mode.

    Raises:
        DrfmError: it does not fit this version of drfm.
    """
    if (bundle.preprocessing.mean, bundle.preprocessing.std) != (MEAN, STD):
        raise DrfmError(
            f"{bundle.folder}: its images are normalised in another way; use the version that wrote it"
        )
    try:
        config = ModelConfig(**bundle.record["encoder"]["model"])
    except TypeError as error:
        raise DrfmError(f"{bundle.folder}: its model does not fit this version of drfm ({error})") from None
    with torch.random.fork_rng(devices=[]):
        model = new_model(config)
    weights = bundle.folder / WEIGHTS
    load_own_tensors(model, read_tensors(weights), weights)
    return model


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError):
        raise DrfmError(f"device = {name}: there is no such device here; give auto or cpu") from None

"""Methods, one file each, and the door that finds them by name."""

from typing import Any

from drfm.config import Config
from drfm.errors import DrfmError
from drfm.labels.pseudo import Persons
from drfm.methods.base import Method
from drfm.methods.cluster_contrast import ClusterContrast
from drfm.methods.dccc import DCCC
from drfm.methods.drfm import Drfm
from drfm.methods.ice import ICE
from drfm.methods.options import own_options
from drfm.methods.pplr import PPLR
from drfm.methods.purification import Purification
from drfm.methods.rlim import RLIM
from drfm.methods.single import Single
from drfm.methods.spcl import SpCL
from drfm.models.build import Model
from drfm.resolution.pairs import PairSet

METHODS: dict[str, Any] = {
    "drfm": Drfm,
    "single": Single,
    "cluster_contrast": ClusterContrast,
    "spcl": SpCL,
    "ice": ICE,
    "pplr": PPLR,
    "purification": Purification,
    "dccc": DCCC,
    "rlim": RLIM,
}
"""Name in the configuration to the class of the method.

A class is called with the configuration, the model, the training pairs and ``truth``. Its attribute
``Options``, where it has one, is a frozen dataclass of the options that are its own
(:func:`drfm.methods.options.own_options` reads them).
"""


def build_method(config: Config, model: Model, pairs: PairSet, truth: Persons | None = None) -> Method:
    """The method that ``config.method`` names, without labels yet.

    Args:
        config: the run.
        model: on the device that training uses.
        pairs: training pairs; of them the method sees origins and cameras, never identities.
        truth: ``(N,)`` identities, with ``labels.source: ground_truth`` alone: a supervised ceiling.

    Raises:
        DrfmError: there is no such method, the model is not of the kind that it trains, the pairs are not
            enough for it, or it has no ceiling.
    """
    if config.method not in METHODS:
        raise DrfmError(f"method = {config.method}: choose one of {', '.join(METHODS)}")
    if (config.labels.source == "ground_truth") != (truth is not None):
        raise DrfmError("labels.source = ground_truth: the training images have no known identities")
    method: Method = METHODS[config.method](config, model, pairs, truth)
    return method


def needs_epochs(config: Config) -> bool:
    """Whether what an epoch does depends on how many there are, so that none can be added to a run.

    Raises:
        DrfmError: an option that the method does not have.
    """
    if config.train.schedule == "cosine":
        return True
    kind = METHODS.get(config.method)
    if kind is None or not hasattr(kind, "needs_epochs"):
        return False
    return bool(kind.needs_epochs(own_options(config, kind.Options)))


__all__ = ["METHODS", "Method", "build_method", "needs_epochs"]

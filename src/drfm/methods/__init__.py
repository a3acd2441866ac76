"""Methods, one file each, and the door that finds them by name."""

from collections.abc import Callable

from drfm.config import Config
from drfm.errors import DrfmError
from drfm.methods.base import Method
from drfm.methods.drfm import Drfm
from drfm.models.dual import DualEncoder
from drfm.resolution.pairs import PairSet


def _drfm(config: Config, model: DualEncoder, pairs: PairSet) -> Method:
    return Drfm(config, model, pairs.origin)


METHODS: dict[str, Callable[[Config, DualEncoder, PairSet], Method]] = {
    "drfm": _drfm,
}
"""Name in the configuration to what builds the method from configuration, model and training pairs."""


def build_method(config: Config, model: DualEncoder, pairs: PairSet) -> Method:
    """The method that ``config.method`` names, without labels yet.

    Args:
        config: the run.
        model: on the device that training uses.
        pairs: training pairs; of them the method sees origins and cameras, never identities.

    Raises:
        DrfmError: there is no such method, or the pairs are not enough for it.
    """
    if config.method not in METHODS:
        raise DrfmError(f"method = {config.method}: choose one of {', '.join(METHODS)}")
    return METHODS[config.method](config, model, pairs)


__all__ = ["METHODS", "Method", "build_method"]

"""The model that a configuration names."""

import torch

from drfm.config import ModelConfig
from drfm.errors import DrfmError
from drfm.models.dual import DualEncoder
from drfm.models.single import SingleEncoder
from drfm.models.weights import load_weights

Model = DualEncoder | SingleEncoder
"""What is trained, tested and saved."""


def new_model(config: ModelConfig) -> Model:
    """A model with random weights, of the kind that ``config.encoders`` names.

    Raises:
        DrfmError: the backbone is unknown, or stripes are asked for of two encoders.
    """
    if config.encoders != "dual":
        return SingleEncoder(config)
    if config.parts:
        raise DrfmError(
            f"model.parts = {config.parts}: stripes need one encoder; give model.encoders = native or hr"
        )
    return DualEncoder(config)


def build_model(config: ModelConfig, *, seed: int) -> Model:
    """A model with the weights that ``config.weights`` names, on the CPU, in training mode.

    Two encoders start from the same weights. All other initial values depend on
    ``seed`` alone; the global random state is neither read nor changed.

    Raises:
        DrfmError: the backbone is unknown, or its weights cannot be had.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_model(config)
    backbone = (model.hr_encoder if isinstance(model, DualEncoder) else model.encoder).backbone
    model.facts["weights"] = load_weights(backbone, config.weights, config.backbone)
    if isinstance(model, DualEncoder):
        model.split()
    return model

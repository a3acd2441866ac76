"""The configuration: one frozen object that YAML, the command line and the run's record all show."""

from drfm.config.load import Resolved, differences, from_dict, load_config, preset_names, to_dict, to_yaml
from drfm.config.schema import (
    AugmentConfig,
    Config,
    EvaluationConfig,
    ImagesConfig,
    LabelsConfig,
    LossConfig,
    MemoryConfig,
    ModelConfig,
    SamplerConfig,
    TrainConfig,
)

__all__ = [
    "AugmentConfig",
    "Config",
    "EvaluationConfig",
    "ImagesConfig",
    "LabelsConfig",
    "LossConfig",
    "MemoryConfig",
    "ModelConfig",
    "Resolved",
    "SamplerConfig",
    "TrainConfig",
    "differences",
    "from_dict",
    "load_config",
    "preset_names",
    "to_dict",
    "to_yaml",
]

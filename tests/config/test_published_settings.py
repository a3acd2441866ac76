"""The presets of the rivals have the settings of their public code, number by number."""

import pytest

from drfm.config.load import load_config
from drfm.methods import METHODS
from drfm.methods.options import own_options

COMMON = {
    "model.encoders": "native", "model.backbone": "resnet50", "model.last_stride": 1,
    "augment.flip": 0.5, "augment.pad": 10, "augment.erase": 0.5, "augment.blur": 0.0,
    "labels.k1": 30, "labels.k2": 6, "labels.k1_reading": "inclusive", "labels.min_samples": 4,
    "train.lr": 3.5e-4, "train.weight_decay": 5e-4, "train.lr_step": 20, "train.bn_groups": 4,
    "images.kernel": "bicubic", "sampler.kind": "rmgs", "sampler.cameras": "camera", "seed": 1,
}  # fmt: skip
"""What all six share, where a row below says nothing else."""

PUBLISHED = {
    "spcl": {
        "images.hr_size": (256, 128), "model.pooling": "average", "model.normalise": True,
        "sampler.batch": 64, "sampler.instances": 4, "train.epochs": 50, "train.iterations": 400,
        "train.schedule": "step", "labels.eps": 0.6, "labels.source": "memory",
        "labels.outliers": "singletons", "memory.life": "run", "memory.alpha": 0.2,
        "memory.normalise_centroids": False, "tau": 0.05, "gap": 0.02, "share": 0.9,
    },
    "cluster_contrast": {
        "images.hr_size": (256, 128), "model.pooling": "gem", "model.normalise": True,
        "sampler.batch": 256, "sampler.instances": 16, "train.epochs": 50, "train.iterations": 200,
        "train.schedule": "step", "labels.eps": 0.6, "labels.outliers": "exclude", "memory.alpha": 0.1,
        "tau": 0.05, "update": "momentum",
    },
    "ice": {
        "images.hr_size": (256, 128), "model.pooling": "average", "model.normalise": False,
        "sampler.batch": 32, "sampler.instances": 4, "sampler.kind": "each_camera", "train.epochs": 40,
        "train.iterations": 400, "train.schedule": "warmup", "train.warmup": 10, "labels.eps": 0.55,
        "labels.outliers": "exclude", "augment.erase": 0.6, "augment.blur": 0.5, "cameras": True,
        "momentum": 0.999,
    },
    "pplr": {
        "images.hr_size": (384, 128), "model.pooling": "average", "model.normalise": False, "model.parts": 3,
        "sampler.batch": 64, "sampler.instances": 4, "train.epochs": 50, "train.iterations": 400,
        "train.schedule": "step", "labels.eps": 0.5, "labels.outliers": "exclude", "beta": 0.5,
        "neighbours": 20, "smoothing": 0.1, "agree_start": 5, "cameras": False, "camera_weight": 0.5,
        "tau": 0.07, "negatives": 50,
    },
    "purification": {
        "images.hr_size": (256, 128), "model.pooling": "gem", "model.normalise": True, "model.parts": 2,
        "sampler.batch": 256, "sampler.instances": 16, "train.epochs": 102, "train.iterations": 200,
        "train.schedule": "step", "labels.eps": 0.6, "labels.outliers": "exclude", "memory.alpha": 0.1,
        "teacher_epochs": 0, "warm_epochs": 2, "distance_share": 0.15, "loss_share": 0.2, "teaching": 1.0,
        "tau": 0.05,
    },
    "dccc": {
        "images.hr_size": (256, 128), "model.pooling": "average", "model.normalise": True,
        "sampler.batch": 256, "sampler.instances": 16, "train.epochs": 70, "train.iterations": 200,
        "train.schedule": "warmup", "train.warmup": 10, "labels.eps": 0.7, "labels.outliers": "exclude",
        "memory.alpha": 0.1, "tau": 0.05, "tau_w": 0.03, "share": 0.3, "decay": "expo",
    },
    "rlim": {
        "images.hr_size": (256, 128), "model.pooling": "average", "model.normalise": True,
        "sampler.batch": 32, "sampler.instances": 4, "sampler.cameras": "origin", "train.epochs": 50,
        "train.iterations": 400, "train.schedule": "step", "train.bn_groups": 2, "labels.eps": 0.63,
        "labels.outliers": "singletons", "tau": 0.07, "gap": 0.03, "refine": True, "negatives": 50,
        "smoothing": 0.1, "soft": 10.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_the_published_settings(name):
    config = load_config(name).config
    own = own_options(config, METHODS[name].Options)
    found = {}
    for option in COMMON | PUBLISHED[name]:
        section, _, field = option.rpartition(".")
        holder = getattr(config, section) if section else config
        found[option] = getattr(holder, field) if hasattr(holder, field) else getattr(own, field)
    assert found == COMMON | PUBLISHED[name]
    assert config.method == name

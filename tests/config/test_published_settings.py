"""The presets have the settings of the papers and of the rivals' public code, number by number."""

import pytest

from drfm.config.load import differences, load_config
from drfm.methods import METHODS
from drfm.methods.options import own_options

COMMON = {
    "model.encoders": "native", "model.backbone": "resnet50", "model.last_stride": 1,
    "augment.flip": 0.5, "augment.pad": 10, "augment.erase": 0.5, "augment.blur": 0.0,
    "labels.k1": 30, "labels.k2": 6, "labels.k1_reading": "inclusive", "labels.min_samples": 4,
    "train.lr": 3.5e-4, "train.weight_decay": 5e-4, "train.lr_step": 20, "train.bn_groups": 4,
    "labels.every": 1, "labels.distance": "jaccard", "labels.cluster": "dbscan",
    "train.precision": "float32", "memory.normalise": True, "memory.refresh": "step",
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

PAPER = {
    "images.sr": "swin2sr", "images.sr_rate": 4, "images.twin_rate": 4, "model.backbone": "resnet50",
    "model.encoders": "dual", "model.predictor": "linear", "augment.flip": 0.5, "augment.erase": 0.0,
    "labels.min_samples": 4, "labels.t": 0.7, "labels.tau_h": 0.05, "labels.tau_l": 0.04,
    "loss.tau_c": 0.04, "loss.tau_s": 0.02, "loss.negatives": 20, "loss.ps_weight": 1.5,
    "loss.ps_start": 10, "loss.ps_batch": 16, "memory.alpha": 0.2, "sampler.batch": 64,
    "train.lr": 3.5e-4, "train.weight_decay": 5e-4, "train.epochs": 40,
}  # fmt: skip
"""What the paper says in its section 4.1."""

WHAT_VARIES = (
    "method",
    "model.encoders",
    "loss.identification",
    "loss.ic_weight",
    "model.fusion",
    "loss.ps_weight",
)
TABLE_3 = {
    "a1": ("single", "native", "sc", None, None, None),
    "a2": ("single", "hr", "sc", None, None, None),
    "a3": ("drfm", "dual", "sc", 0.0, "none", 0.0),
    "a4": ("drfm", "dual", "sc", 1.0, "none", 0.0),
    "a5": ("drfm", "dual", "sc", 1.0, "fc", 0.0),
    "a6": ("drfm", "dual", "sc", 1.0, "crff", 0.0),
    "a7": ("single", "hr", "cc", None, None, None),
    "a8": ("drfm", "dual", "cc", 1.0, "crff", 0.0),
    "paper": ("drfm", "dual", "cc", 1.0, "crff", 1.5),
}
"""Rows of the paper's Table 3. One encoder has neither L_ic nor fusion nor L_ps; there these do not count."""


def value(config, own, option):
    """An option of the configuration, or one of the method's own."""
    section, _, field = option.rpartition(".")
    holder = getattr(config, section) if section else config
    return getattr(holder, field) if hasattr(holder, field) else getattr(own, field)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_the_published_settings(name):
    config = load_config(name).config
    own = own_options(config, METHODS[name].Options)
    wanted = COMMON | PUBLISHED[name]
    assert {option: value(config, own, option) for option in wanted} == wanted
    assert config.method == name


def test_the_paper_preset_has_the_numbers_of_the_paper():
    config = load_config("paper").config
    assert {option: value(config, None, option) for option in PAPER} == PAPER


@pytest.mark.parametrize("row", TABLE_3)
def test_an_ablation_is_its_row_of_table_3(row):
    preset = row if row == "paper" else f"paper+{row}"
    config = load_config(preset).config
    for option, wanted in zip(WHAT_VARIES, TABLE_3[row], strict=True):
        assert wanted is None or value(config, None, option) == wanted, option
    changed = set(differences(load_config("paper").config, config))
    assert changed <= set(WHAT_VARIES), "nothing else varies"

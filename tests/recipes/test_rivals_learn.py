"""Each rival learns on drawn pedestrians: it finds persons that it was not trained on better than before."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from drfm import recipes
from drfm.config.load import load_config
from drfm.data.build import build_benchmark
from drfm.data.choices import BuildChoices
from drfm.data.drawn import draw_dataset
from drfm.data.readers import read_dataset
from drfm.engine.journal import Journal
from drfm.files import read_json

SHORT = {
    "train.epochs": 4, "train.iterations": 30, "train.warmup": 1, "train.workers": 1,
    "labels.k1": 14, "labels.k2": 4, "labels.eps": 0.5,
}  # fmt: skip
"""A person has sixteen images here. Clusters of this radius are pure and small to begin with."""
OWN = {
    # Its memory, which it clusters, holds what training saw; of few images the erased ones weigh too much.
    "spcl": {"labels.eps": 0.6, "augment.erase": 0},
    "ice": {"options": "momentum=0.9"},  # an average of 0.999 hardly moves in 120 steps
    "purification": {"train.epochs": 6},  # two of the teacher, two warm ones, two of the student
}
LABELS_RISE = {"spcl", "cluster_contrast", "ice", "pplr", "purification"}
"""All but DCCC, whose radius shrinks from epoch to epoch, so that its labels cover less and less."""


@pytest.fixture(scope="module")
def near(tmp_path_factory) -> Path:
    """Shots of the near camera; every second one is made small and counts as another camera's.

    So resolution is what parts the images of a person, and a short training can bridge it.
    """
    folder = tmp_path_factory.mktemp("rivals")
    drawn = draw_dataset(folder / "drawn", persons=24, shots=16, test_persons=16)
    for path in sorted(drawn.glob("t*/*_c1_*")):
        small = int(re.findall(r"\d+", path.stem)[-1]) % 2
        name = path.name.replace("_c1_", "_c2_") if small else path.name
        (folder / "near" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "near" / path.parent.name / name)
    dataset = read_dataset("market-style", folder / "near")
    build_benchmark(dataset, folder / "bench", BuildChoices(lr_camera="fixed:2"))
    return folder / "bench"


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["spcl", "ice", "cluster_contrast", "pplr", "purification", "dccc"])
def test_a_rival_learns(near, tmp_path, rival):
    torch.set_num_threads(1)
    resolved = load_config(f"{rival}+demo", overrides={**SHORT, **OWN.get(rival, {})})
    run = tmp_path / "run"
    recipes.train(near, run, resolved, cache=near.parent / "cache")
    before, after = (
        read_json(run / f"{stage}.json")["rows"][0]["exact"] for stage in ("untrained", "trained")
    )
    quality = [entry["quality"]["f"] for entry in Journal(run / "journal.jsonl").read()]
    found = f"Rank-1 {before['rank1']:.3f} to {after['rank1']:.3f}, mAP {before['map']:.3f} to "
    found += f"{after['map']:.3f}, F {', '.join(f'{f:.3f}' for f in quality)}"
    print(f"{rival}: {found}")
    assert after["rank1"] > before["rank1"] + 0.02, found
    assert after["map"] > before["map"] + 0.02, found
    if rival in LABELS_RISE:
        assert quality[-1] > quality[0] + 0.02, found

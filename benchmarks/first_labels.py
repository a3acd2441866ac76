"""Quality of the first labels, before any training, over clustering options and input sizes.

    python benchmarks/first_labels.py BENCHMARK --size 128x64 --k 10,3 8,2 --eps 0.5 0.6 --samples 2 4

Untrained EfficientNet-Lite0 features of the HR training images. Identities are read to judge the
labels and for nothing else: this explains why a preset starts well or badly, it is no way to tune one.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
import torch

from drfm.config import ImagesConfig, LabelsConfig, ModelConfig
from drfm.data.manifest import load_benchmark
from drfm.data.records import persons
from drfm.labels.clustering import cluster
from drfm.labels.neighbours import k_nearest
from drfm.labels.quality import label_quality
from drfm.models.build import build_model
from drfm.models.extract import extract
from drfm.resolution.store import open_pairs


def main() -> None:
    """Read the command line, extract once, print a row for each combination."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--split", type=int, default=0)
    parser.add_argument("--size", default="128x64")
    parser.add_argument("--pooling", default="average")
    parser.add_argument("--k", nargs="+", default=["10,3"])
    parser.add_argument("--eps", nargs="+", type=float, default=[0.6])
    parser.add_argument("--samples", nargs="+", type=int, default=[4])
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    options = parser.parse_args()

    height, width = (int(part) for part in options.size.split("x"))
    entries = [e for e in load_benchmark(options.benchmark, options.split).train if e.resolution == "hr"]
    identity = persons(entries)
    images = ImagesConfig(hr_size=(height, width), lr_size=(height, width))
    pairs = open_pairs(entries, images, options.cache)
    model = build_model(ModelConfig(backbone="efficientnet_lite0", pooling=options.pooling), seed=1)
    features = extract(model.to(memory_format=torch.channels_last), pairs, device="cpu", batch_size=32)["hr"]
    nearest = k_nearest(features, 2).index
    own = np.arange(len(entries))
    first = np.where(nearest[:, 0] == own, nearest[:, 1], nearest[:, 0])
    right = float((identity[first] == identity).mean())
    sys.stdout.write(f"{len(entries)} HR images; nearest neighbour of the same person: {right:.2f}\n\n")
    sys.stdout.write(
        "| k1, k2 | eps | samples | clusters | labelled | precision | recall | F |\n" + "|---" * 8 + "|\n"
    )
    for k, eps, samples in itertools.product(options.k, options.eps, options.samples):
        k1, k2 = (int(part) for part in k.split(","))
        labels = cluster(features, LabelsConfig(k1=k1, k2=k2, eps=eps, min_samples=samples))
        found = label_quality(labels, identity, pairs.origin)
        sys.stdout.write(
            f"| {k1}, {k2} | {eps} | {samples} | {found['clusters']:.0f} | {found['coverage']:.0%} | "
            f"{found['precision']:.2f} | {found['recall']:.2f} | {found['f']:.3f} |\n"
        )


if __name__ == "__main__":
    main()

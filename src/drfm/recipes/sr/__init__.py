"""Super-resolution of one's own: train a Swin2SR on sharp captures, and measure back ends."""

from drfm.recipes.sr.evaluate import evaluate_sr
from drfm.recipes.sr.train import train_sr

__all__ = ["evaluate_sr", "train_sr"]

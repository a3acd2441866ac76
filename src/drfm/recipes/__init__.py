"""The only room that knows all others: from a configuration to a trained, evaluated, reported run."""

from drfm.recipes.bundling import bundle
from drfm.recipes.demo import demo
from drfm.recipes.reporting import evaluate, report
from drfm.recipes.training import train

__all__ = ["bundle", "demo", "evaluate", "report", "train"]

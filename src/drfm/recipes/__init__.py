"""The only room that knows all others: from a configuration to a trained, evaluated, reported run."""

from drfm.recipes.bundling import bundle, export
from drfm.recipes.calibrating import calibrate_bundle
from drfm.recipes.demo import demo
from drfm.recipes.reporting import evaluate, report
from drfm.recipes.training import train

__all__ = ["bundle", "calibrate_bundle", "demo", "evaluate", "export", "report", "train"]

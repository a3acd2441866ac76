"""Ranking, protocols, re-ranking, plots and the report."""

from drfm.evaluation.evaluate import evaluate
from drfm.evaluation.ranking import Labels
from drfm.evaluation.result import Result

__all__ = ["Labels", "Result", "evaluate"]

"""Ranking, protocols, re-ranking, plots and the report."""

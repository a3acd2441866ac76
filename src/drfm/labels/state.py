"""Pseudo-labels as tensors and plain values, for a checkpoint."""

from typing import Any

import torch

from drfm.labels.pseudo import PseudoLabels

_ARRAYS = ("labels", "ambiguous", "confidence", "guess")


def labels_to_state(labels: PseudoLabels | None) -> dict[str, Any]:
    """A dictionary of tensors and primitives; empty for no labels."""
    if labels is None:
        return {}
    arrays = {name: torch.from_numpy(getattr(labels, name)).clone() for name in _ARRAYS}
    return {**arrays, "clusters": labels.clusters, "facts": dict(labels.facts)}


def labels_from_state(state: dict[str, Any]) -> PseudoLabels | None:
    """What :func:`labels_to_state` was given."""
    if not state:
        return None
    arrays = {name: state[name].cpu().numpy().copy() for name in _ARRAYS}
    return PseudoLabels(**arrays, clusters=int(state["clusters"]), facts=dict(state["facts"]))

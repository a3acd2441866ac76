"""The figures of a study, from what was gathered."""

from collections.abc import Callable

import numpy as np

from drfm.evaluation.figures import Figure, distance_figure, label_figure, parameter_figure
from drfm.recipes.study.gather import Gathered
from drfm.recipes.study.plan import Data


def parameter(gathered: Gathered) -> Figure:
    """Rank-1 against the study's parameter, a panel for each benchmark (Fig. 4 and 5)."""
    panels = {
        data.name: {
            "Rank-1": {
                cell.value: [o.scores["exact/rank1"] for o in gathered.of(data, cell)]
                for cell in gathered.study.cells
                if cell.value is not None
            }
        }
        for data in gathered.data
    }
    return parameter_figure(
        gathered.study.title, panels, parameter=gathered.study.parameter, score="Rank-1 in %"
    )


def labels(gathered: Gathered) -> Figure:
    """F-score of the pseudo-labels by epoch, where identities are known for reporting (Fig. 6)."""
    panels = {}
    for data in gathered.data:
        found = {
            cell.name: [[entry.get("quality", {}).get("f") for entry in o.journal] for o in outcomes]
            for cell in gathered.study.cells
            if not cell.floor
            and (outcomes := gathered.of(data, cell))
            and not outcomes[0].record.get("supervised")  # true labels have no quality to show
        }
        known = {
            name: runs for name, runs in found.items() if any(f is not None for run in runs for f in run)
        }
        if known:
            panels[data.name] = known
    return label_figure("F-score of the pseudo-labels", panels)


def distances(gathered: Gathered, data: Data) -> Figure:
    """Distances of positive pairs of one resolution and of two, seeds taken together (Fig. 7)."""
    panels, numbers = {}, {}
    for cell in gathered.study.cells:
        stage = cell.floor or "trained"
        found = [o.distances[stage] for o in gathered.of(data, cell) if stage in o.distances]
        if found:
            kinds, known = found[0]["counts"], found[0]["numbers"]
            panels[cell.name] = {k: np.sum([each["counts"][k] for each in found], axis=0) for k in kinds}
            # Every seed has the same pairs, so that the mean of all is the mean of their means.
            numbers[cell.name] = {k: float(np.mean([each["numbers"][k] for each in found])) for k in known}
    return distance_figure(f"Distances of positive pairs, {data.name}", panels, numbers)


def drawn(gathered: Gathered) -> dict[str, Figure]:
    """The figures that this study is for, by file name; those without data are left out."""
    show = gathered.study.show
    makers: dict[str, Callable[[], Figure]] = {}
    if show == "parameter":
        makers["parameter"] = lambda: parameter(gathered)
    if show in ("labels", "table"):
        makers["labels"] = lambda: labels(gathered)
    found = {name: make() for name, make in makers.items()}
    if show == "distances":
        found |= {f"distances-{data.name}": distances(gathered, data) for data in gathered.data}
    return {name: figure for name, figure in found.items() if any(panel.drawn for panel in figure.panels)}

"""Studies: grids of runs, trained as far as they are missing, and the tables and figures made of them."""

from drfm.recipes.study.plan import Study
from drfm.recipes.study.read import load_study, study_names
from drfm.recipes.study.report import report_study
from drfm.recipes.study.run import run_study

__all__ = ["Study", "load_study", "report_study", "run_study", "study_names"]

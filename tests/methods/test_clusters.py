"""Clustering that tries another radius."""

import numpy as np
import pytest
import torch

from drfm.config import LabelsConfig
from drfm.methods.clusters import cluster_or_adjust

FEATURES = torch.zeros(6, 2)
NONE, ONE, TWO = np.full(6, -1), np.zeros(6, dtype=np.int64), np.array([0, 0, 0, 1, 1, -1])


def trying(answers, config):
    """Answers in turn; returns the result and the eps of each attempt."""
    tried, answers = [], iter(answers)

    def clusterer(features, options):
        tried.append(options.eps)
        return next(answers)

    return cluster_or_adjust(FEATURES, config, clusterer), tried


def test_enough_clusters_need_no_second_attempt():
    (labels, said), tried = trying([TWO], LabelsConfig())
    assert labels is TWO
    assert said == ""
    assert tried == [0.6]


def test_no_cluster_raises_eps():
    (labels, said), tried = trying([NONE, NONE, TWO], LabelsConfig())
    assert labels is TWO
    assert tried == [0.6, 0.65, 0.7]
    assert said == "clustering found no cluster with labels.eps = 0.6; 0.7 is used in this epoch"


def test_a_single_cluster_lowers_eps():
    (labels, said), tried = trying([ONE, TWO], LabelsConfig())
    assert labels is TWO
    assert tried == [0.6, 0.55]
    assert "a single cluster" in said


def test_it_gives_up_after_three_more():
    (labels, said), tried = trying([NONE] * 4, LabelsConfig())
    assert labels is None
    assert tried == [0.6, 0.65, 0.7, 0.75]
    assert "found no cluster" in said


@pytest.mark.parametrize(("eps", "answer", "attempts"), [(0.07, ONE, 2), (1.96, NONE, 1)])
def test_eps_stays_in_its_range(eps, answer, attempts):
    (labels, _), tried = trying([answer] * 4, LabelsConfig(eps=eps))
    assert labels is None
    assert len(tried) == attempts


def test_hdbscan_has_no_radius():
    (labels, _), tried = trying([NONE], LabelsConfig(cluster="hdbscan"))
    assert labels is None
    assert len(tried) == 1


def test_classes_of_one_count_where_outliers_become_such():
    (labels, said), _ = trying([NONE], LabelsConfig(outliers="singletons"))
    assert labels is NONE
    assert said == ""

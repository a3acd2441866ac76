import json
from io import StringIO

import numpy as np
import pytest
import torch

from drfm.config.schema import EvaluationConfig
from drfm.errors import DrfmError
from drfm.evaluation import Labels, evaluate
from drfm.evaluation.evaluate import feature_of

FACTS = {"benchmark": {"name": "MLR-Toy", "id": "0123abcd", "split": 2}, "seed": 1,
         "weights": {"sha256": "feed"}, "images": {"sr": "bicubic"}}  # fmt: skip


def unit(random, *shape):
    return torch.nn.functional.normalize(torch.from_numpy(random.normal(size=shape)).float(), dim=1)


@pytest.fixture
def toy():
    random = np.random.default_rng(0)
    persons = np.repeat(np.arange(6), 3)
    centre = unit(random, 6, 8)[persons]
    mix = {"hr": 0.4, "lr": 1.0, "fused": 0.2}

    def side():
        return {
            name: torch.nn.functional.normalize(centre + noise * unit(random, 18, 8), dim=1)
            for name, noise in mix.items()
        }

    return side(), side(), Labels(persons, np.zeros(18, int)), Labels(persons, np.ones(18, int))


def test_every_space_has_a_row_with_the_headline_first(toy):
    result = evaluate(*toy, EvaluationConfig(features="lr"), FACTS)
    assert [row.name for row in result.rows] == ["lr", "fused", "hr", "concat", "mean"]
    assert result.row().name == "lr"
    assert result.row("fused").exact["rank1"] > result.row("lr").exact["rank1"]
    assert result.counts == {"queries": 18, "skipped": 0, "gallery": 18, "persons": 6}
    assert result.chance["rank1"] == pytest.approx(1 / 6)
    assert result.headline()["rank1"] == result.row("lr").exact["rank1"]


def test_combined_features_are_mean_similarities(toy):
    query, gallery = toy[:2]
    for name, spaces in (("concat", ("hr", "lr")), ("mean", ("hr", "lr", "fused"))):
        wanted = sum(query[space] @ gallery[space].T for space in spaces) / len(spaces)
        torch.testing.assert_close(feature_of(query, name) @ feature_of(gallery, name).T, wanted)


def test_a_model_without_fusion_is_judged_in_the_hr_space(toy):
    query, gallery = ({name: side[name] for name in ("hr", "lr")} for side in toy[:2])
    result = evaluate(query, gallery, *toy[2:], EvaluationConfig())
    assert [row.name for row in result.rows] == ["hr", "lr", "concat"]
    assert "no fusion space" in result.notes[0]


WORDS = (
    "7 galleries redrawn for each query", "seed 5", "ties count against", "MLR-Toy", "manifest 0123abcd",
    "seed 1", "weights feed", "18 queries", "chance 16.7 %", "super-resolution bicubic",
    "with mirrored images",
)  # fmt: skip


def test_a_ceiling_says_that_it_is_one(toy):
    said = "trains on true identities"
    assert said in evaluate(*toy, EvaluationConfig(), {**FACTS, "supervised": True}).to_markdown()
    assert said not in evaluate(*toy, EvaluationConfig(), {**FACTS, "supervised": False}).to_markdown()


def test_every_number_comes_with_protocol_and_origin(toy):
    result = evaluate(*toy, EvaluationConfig(draws=7, draw="per_query", seed=5, flip=True), FACTS)
    shown = result.to_markdown(), console(result), json.dumps(result.to_dict(), allow_nan=False)
    for text in shown[:2]:
        for word in WORDS:
            assert word in " ".join(text.split()), word
    found = json.loads(shown[2])
    assert found["facts"] == FACTS
    assert found["protocol"]["draws"] == 7
    assert set(found["rows"][0]) == {"features", "single_shot", "exact", "multi_shot"}


def console(result):
    from rich.console import Console

    screen = Console(width=4000, record=True, file=StringIO())
    screen.print(result.table())
    return screen.export_text()


def test_missing_facts_are_named_as_missing(toy):
    text = evaluate(*toy, EvaluationConfig()).to_markdown()
    assert "manifest not given; seed not given; weights not given" in text


def test_bad_input_is_refused_with_one_line(toy):
    query, gallery, labels, other = toy
    few = Labels(labels.persons[:3], labels.cameras[:3])
    with pytest.raises(DrfmError, match="18 query features in the hr space but 3 labels"):
        evaluate(query, gallery, few, other, EvaluationConfig())
    broken = {**gallery, "lr": gallery["lr"].clone()}
    broken["lr"][3, 2] = float("nan")
    with pytest.raises(DrfmError, match="the lr features of the gallery images hold NaN"):
        evaluate(query, broken, labels, other, EvaluationConfig())
    none = Labels(labels.persons[:0], labels.cameras[:0])
    empty = {name: rows[:0] for name, rows in query.items()}
    with pytest.raises(DrfmError, match="no query images"):
        evaluate(empty, gallery, none, other, EvaluationConfig())
    with pytest.raises(DrfmError, match="none of the 18 queries"):
        evaluate(query, gallery, Labels(labels.persons + 50, labels.cameras), other, EvaluationConfig())

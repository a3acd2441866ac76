import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from drfm.config.schema import EvaluationConfig
from drfm.errors import DrfmError
from drfm.evaluation import Labels, evaluate
from drfm.evaluation.distances import distance_distributions
from drfm.evaluation.embedding import embedding_map
from drfm.evaluation.examples import RankedLists
from drfm.evaluation.heights import HeightGroup
from drfm.evaluation.pictures import Card, cards, data_uri
from drfm.evaluation.report import Looks, write_report
from drfm.evaluation.sheet import Sheet
from drfm.resolution.pairs import PairSet

FACTS = {"method": "drfm", "benchmark": {"name": "MLR-<Toy>", "id": "0123abcd"}, "seed": 3,
         "weights": {"sha256": "ab" * 32}, "images": {"sr": "bicubic"}, "drawn": True,
         "config": {"train": {"epochs": 2}}}  # fmt: skip


PARTS = (
    "Drawn people are not people", "bicubic interpolations", "invented", "untrained", "ties count against",
    "manifest 0123abcd", "seed 3", "weights abababab", "16 blurry queries", "F-score", "Losses",
    "Test scores", "Distances, trained", "One person, trained", "overlap", "20 to 30",
    "Colour by", "a pair", "right", "epochs", "All settings",
)  # fmt: skip


def entry(epoch, **more):
    return {"epoch": epoch, "loss": {"total": 3.0 - epoch, "cc": 2.0}, "clusters": 5 + epoch, "outliers": 4,
            "coverage": 0.5, "seconds": {"steps": 2.0},
            "quality": {"all/f": 0.2, "cross/f": 0.1}, **more}  # fmt: skip


def run():
    random = np.random.default_rng(0)
    persons = np.repeat(np.arange(8), 2)
    side = [Labels(persons, np.full(16, camera)) for camera in (1, 0)]
    rows = [torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(16, 6))).float(), dim=1)] * 2
    features = [{"hr": r, "lr": r, "fused": r} for r in rows]
    pixels = random.integers(0, 255, (2, 16, 12, 6, 3)).astype(np.uint8)
    names = tuple(map(str, range(16)))
    pairs = [
        PairSet(*pixels, np.full(16, low, np.int8), np.full(16, low), np.full(16, 12, np.int32), names)
        for low in (1, 0)
    ]
    results = [
        evaluate(*features, *side, EvaluationConfig(), {**FACTS, "stage": s})
        for s in ("untrained", "trained")
    ]
    shown = cards(RankedLists.of(*features, *side).typical(count=3), *pairs)
    origin = np.zeros(16, np.int8)
    origin[:8:2] = 1
    distances = {"trained": distance_distributions(rows[0], Labels(persons, np.full(16, -1)), origin)}
    return results, shown, distances


class Reader(HTMLParser):
    void = frozenset({"br", "meta", "img", "line", "circle", "polyline", "polygon", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    text = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return text, " ".join(" ".join(reader.text).split()), reader.addresses


def test_a_page_holds_everything_and_asks_for_nothing(tmp_path):
    results, shown, distances = run()
    journal = [entry(0, evaluation={"rank1": 0.2}), entry(1), entry(2, evaluation={"rank1": 0.4})]
    heights = [HeightGroup(20, 30, 25.0, 9, 0.5, (0.2, 0.8), 0.4)]
    places = embedding_map(np.eye(2), {"person": ["a", "b"]}, [True, False], ["one", "two"])
    sheet = Sheet(["query", "its map"], [[shown[0].query, shown[0].query]], ["a pair"])
    looks = Looks(examples=shown, hardest=shown[-1:], sheet=sheet, embedding=places, heights=heights)
    write_report(tmp_path / "r.html", journal=journal, results=results, facts=FACTS, distances=distances,
                 looks=looks)  # fmt: skip
    text, words, addresses = read(tmp_path / "r.html")
    late = sum(card.first > len(card.gallery) for card in [*shown, shown[-1]])
    assert len(addresses) == 4 * 7 + 2 + late
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert not re.search(r"https?://|<script|@import|url\(", text)
    assert "MLR-<Toy>" in words
    assert "<Toy>" not in text
    for part in PARTS:
        assert part in words, part
    assert text.count("<figure>") == 3 + 2 + 2 + 1
    assert words.index("Ranked lists") < words.index("Hardest failures") < words.index("Small queries")


def test_results_may_be_dictionaries(tmp_path):
    results, shown, _ = run()
    for name, given in (("a", results), ("b", [result.to_dict() for result in results])):
        write_report(tmp_path / name, journal=[], results=given, facts=FACTS, looks=Looks(shown))
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


@pytest.mark.parametrize("journal", [[], [{}], [{"epoch": 0}], [{"epoch": 0, "loss": {"total": 1.0}}]])
def test_missing_keys_leave_things_out(tmp_path, journal):
    write_report(tmp_path / "r.html", journal=journal, results=[], facts={})
    _, words, _ = read(tmp_path / "r.html")
    assert "has not been evaluated" in words
    assert "Drawn people" not in words
    assert "manifest not given" in words.replace("manifest  not", "manifest not")


def test_other_names_of_label_quality_are_read(tmp_path):
    journal = [{"epoch": 0, "quality": {"f": 0.25, "cross_f": 0.125}}]
    write_report(tmp_path / "r.html", journal=journal, results=[], facts={"images": {"sr": "swin2sr"}})
    _, words, _ = read(tmp_path / "r.html")
    assert "0.250" in words
    assert "0.125" in words
    assert "super-resolved by swin2sr" in words


def test_a_late_match_is_told():
    from drfm.evaluation.pictures import ranked_list

    image = np.zeros((4, 2, 3), np.uint8)
    html = ranked_list(Card(image, None, [image], [False], [0.5], first=17, words="a < b"))
    assert "a &lt; b" in html
    assert html.count("<img") == 2
    assert ranked_list(Card(image, None, [image], [False], [0.5], 17, match=image)).count("<img") == 3
    assert "at rank 17" in html
    assert "✗ wrong" in html
    assert data_uri(image) in html


def test_without_identities_nothing_is_marked(tmp_path):
    image = np.zeros((4, 2, 3), np.uint8)
    card = Card(image, None, [image, image], [], [0.5, 0.25], first=0)
    write_report(tmp_path / "r.html", journal=[{"epoch": 0, "clusters": 3}], results=[], facts={},
                 looks=Looks(examples=[card]))  # fmt: skip
    _, words, _ = read(tmp_path / "r.html")
    assert "✓" not in words
    assert "✗" not in words
    for part in ("1. ", "0.25", "nothing is marked", "left out", "cannot be told"):
        assert part in words, part
    for part in ("Small queries", "Hardest failures", "Distances", "at rank"):
        assert part not in words, part


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DrfmError, match="cannot be written"):
        write_report(tmp_path / "file" / "r.html", journal=[], results=[], facts={})

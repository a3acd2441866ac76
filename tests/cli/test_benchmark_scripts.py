"""The measuring scripts themselves, on so little that only their working is tested."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from drfm.cli import benchmark

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Imports a script as it is when run by name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        for shared in ("measure", "synthetic", "ranking", "training", name):
            sys.modules.pop(shared, None)
        return __import__(name)

    yield load
    for name in (
        "all",
        "crops",
        "gpu",
        "measure",
        "practitioner",
        "ranking",
        "rerank",
        "sr",
        "synthetic",
        "training",
    ):
        sys.modules.pop(name, None)


def test_the_scripts_are_found():
    assert benchmark.find_scripts() == FOLDER
    assert (FOLDER / f"{benchmark.EVERY}.py").is_file()


def test_both_sides_of_ranking_and_re_ranking_agree(script, tmp_path):
    ranking, rerank = script("ranking"), script("rerank")
    ranking.prepare(tmp_path, 30, 170, 32, "hard")
    ours, theirs = ranking.drfm(tmp_path, {}), ranking.dense(tmp_path, {})
    assert set(ours["kinds"]) == set(ranking.KINDS)
    assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-6)
    sides = {"drfm": rerank.drfm(tmp_path, {}), "dense": rerank.dense(tmp_path, {})}
    report = {"sides": sides}
    rerank.compare(tmp_path, report)
    assert report["largest_difference"] < 2e-6
    assert report["largest_inversion"] < 2e-6
    assert report["map_difference"] < 1e-6


def test_an_order_that_differs_is_seen(script, tmp_path):
    import numpy as np

    rerank = script("rerank")
    np.save(tmp_path / "drfm.npy", np.array([[0.1, 0.2, 0.3]]))
    np.save(tmp_path / "dense.npy", np.array([[0.1, 0.3, 0.2]]))
    report = {"sides": {side: {"seconds": 1.0, "scores": {"map": 0.5}} for side in ("drfm", "dense")}}
    rerank.compare(tmp_path, report)
    assert report["largest_inversion"] == pytest.approx(0.1)


def test_runs_are_summed_up_by_their_medians(script):
    measure = script("measure")
    runs = [
        {"seconds": s, "kinds": {"draws": {"seconds": 2 * s, "share": s}}, "scores": 1} for s in (1, 9, 2)
    ]
    assert measure.summary(runs) == {
        "seconds": 2,
        "all_seconds": [1, 9, 2],
        "scores": 1,
        "kinds": {"draws": {"seconds": 4, "share": 2, "all_seconds": [2, 18, 4]}},
    }
    assert measure.summary([{"error": "killed"}]) == {"error": "killed"}


def test_record_and_figure_of_all_parts(script, tmp_path, monkeypatch):
    every = script("all")
    side = {"seconds": 2.0, "peak_mb": 30.0}
    records = {
        "labels": {"rows": [{"size": 100, "regime": "hard", "project": side, "times_faster": 17.0},
                            {"size": 100, "regime": "easy", "project": side},
                            {"size": 50, "project": {"error": "killed"}}]},
        "ranking": {"queries": 20, "images": 80, "speedup": 3.0,
                    "sides": {"drfm": side | {"kinds": {"draws": side | {"share": 1.1}}}}},
        "rerank": {"queries": 20, "images": 80, "speedup": 12.0, "sides": {"drfm": side, "dense": side}},
    }  # fmt: skip
    asked = []

    def run(name, out, *words):
        asked.append((name, *map(str, words)))
        return records.get(name, {})

    monkeypatch.setattr(every, "run", run)
    monkeypatch.setattr(sys, "argv", ["all.py", "--quick", "--ranked", "5", "--out", str(tmp_path)])
    assert every.main() == 0
    assert ("ranking", "--queries", "349", "--images", "1651") in [words[:5] for words in asked]
    record = json.loads((tmp_path / "benchmark.json").read_text())
    assert record["rows"]["labels"] == [{"images": 100, "faster": 17.0, "seconds": 2.0, "peak_mb": 30.0}]
    assert record["rows"]["ranking"][0]["shares"] == {"draws": 1.1}
    assert record["machine"]["cores"] >= 1
    assert "re-ranking" in (tmp_path / "benchmark.svg").read_text()
    for name, value in records.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    assert every.rows_of(every.kept(tmp_path), "hard") == record["rows"]
    records["rerank"] = {"error": "killed"}
    assert every.main() == 1


SMALL = ["--model.backbone", "resnet18", "--model.weights", "random"]


@pytest.mark.parametrize(
    "parts",
    [
        ["step", "extraction", "rest"],
        pytest.param(["batches", "processes"], marks=pytest.mark.slow),
    ],
    ids="-".join,
)
def test_every_part_of_training_is_measured(script, tmp_path, monkeypatch, parts):
    import torch

    training, out = script("training"), tmp_path / "training.json"
    words = ["--backbones", "efficientnet_lite0", "--sizes", "32x16", "--batch", "8", "--ambiguous", "4"]
    words += ["--repeats", "1", "--images", "200", "--threads", str(torch.get_num_threads())]
    monkeypatch.setattr(sys, "argv", ["training.py", *words, "--out", str(out), "--parts", *parts])
    training.main()
    found = json.loads(out.read_text())
    if "processes" in parts:
        assert found["batches 256x128"]["images_per_second"] > 0
        assert found["processes"]["ratio"] > 0
        assert found["processes"]["ratio_apart"] > 0
        return
    case = found["cases"]["efficientnet_lite0 32x16"]
    assert case["step"]["ratio"] > 0
    assert case["extraction"]["pairs_per_second"] > 0
    assert 0 < found["rest"]["share"]["efficientnet_lite0 32x16"] < 1
    assert found["rest"]["checkpoint_bytes"] > 1e7


def test_the_gpu_command_works_on_a_cpu(script, tmp_path, monkeypatch):
    """Rates and waits as they are, and the parts that train with a training that is made up."""
    gpu, out = script("gpu"), tmp_path / "out"
    asked = []

    def train(options, run, *words, cap=0.0):
        asked.append(words)
        run.mkdir(parents=True, exist_ok=True)
        (run / "profile.json").write_text(json.dumps({"epochs": [{"peak_memory_bytes": 5}]}))
        line = json.dumps({"seconds": {"steps": 9.5, "extract": 0.3, "relabel": 0.2}})
        (run / "journal.jsonl").write_text(f"{line}\n" * 4)
        low = "bfloat16" in words
        return {"seconds": 60.0, "code": 0, "headline": {"rank1": 0.5 + 0.01 * len(asked) - 0.03 * low}}

    monkeypatch.setattr(gpu, "train", train)
    words = [str(tmp_path), "--out", str(out), "--device", "cpu", "--epochs", "4", "--batch", "8"]
    words += ["--backbone", "efficientnet_lite0", "--size", "32x16", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    gpu.main()
    found = json.loads((out / "gpu.json").read_text())
    assert found["norms"]["rows"][0]["map"] == "8x32x16x8"
    assert sum(row["norms"] for row in found["norms"]["rows"]) == 49
    assert found["norms"]["ms_of_one_backbone"]["loop"] > 0
    assert found["rates"]["efficientnet_lite0 32x16"]["step"]["ratio"] > 0
    assert found["waits"]["waits_in_4_steps"] is None
    times = [each["ms_a_step"] for each in found["kernels"]]
    assert times == sorted(times, reverse=True)
    assert any("conv" in each["name"] for each in found["kernels"])
    assert found["epochs"]["minutes"] == pytest.approx(2 + 36 * 10 / 60)  # 36 of the 40 epochs are computed
    assert found["epochs"]["rest_share"] == pytest.approx(0.02)
    assert not found["epochs"]["measured"]
    assert found["epochs"]["met"]
    assert [words[-1] for words in asked[:2]] == [2, 4]
    assert found["precision"]["difference"] == pytest.approx(0.0)
    assert found["precision"]["spread"] == pytest.approx(0.02)
    assert found["precision"]["met"]
    assert found["memory"]["plain"]["peak_memory_bytes"] == 5
    assert found["memory"]["met"] is None  # there was no cap


def test_the_gpu_command_starts_trainings(script, tmp_path):
    import argparse

    gpu = script("gpu")
    options = argparse.Namespace(benchmark=tmp_path / "none", out=tmp_path, device="cpu", words=SMALL)
    found = gpu.train(options, tmp_path / "run", "--train.epochs", 1)
    assert found["code"] == 2
    assert "none" in found["error"]


def test_the_walk_of_a_practitioner_judges_answers(script):
    walk = script("practitioner")
    crops, held = {"a": 1, "b": 2, "c": 1}, {"q": 1}
    lines = [
        {"query": "q", "path": path, "rank": rank, "verdict": verdict}
        for rank, (path, verdict) in enumerate(
            [("b", "possible"), ("a", "possible"), ("c", "no evidence")], 1
        )
    ]
    found = walk.judged(lines, crops, held)
    assert (found["first_right"], found["other_possible"], found["other_pairs"]) == (0, 1, 1)
    assert (found["same_possible"], found["same_pairs"]) == (1, 2)
    assert (found["possible_of_first_10"], found["right_of_these_10"]) == (2, 1)
    bands = [
        {"low": 40, "high": 60, "possible": {"found": 0.7}},
        {"low": 61, "high": 90, "possible": {"found": 0.8}},
    ]
    told = walk.promised({"bands": bands, "rates": {"possible": 0.01}}, [50, 70, 20])
    assert told == {"false_at_most": 0.01, "found_least": 0.7, "found_most": 0.8, "queries_in_a_band": 2}


def test_the_walk_hides_persons_and_keeps_some_crops_out(script, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    for person in range(3):
        for shot in range(4):
            Image.new("RGB", (8, 16), (person, shot, 0)).save(root / f"{person:04d}_c1_{shot}.png")
    walk = script("practitioner")
    crops, held = walk.hide(root, tmp_path / "out", 2, 0)
    assert (len(crops), len(held)) == (10, 2)
    for names in (crops, held):
        for name, person in names.items():
            with Image.open(name) as image:
                assert image.getpixel((0, 0))[0] == person
            assert Path(name).stem.isdecimal()


def test_walkers_of_crops_are_tracked(script, monkeypatch):
    crops = script("crops")
    monkeypatch.setattr(crops, "FRAMES", 40)
    found = crops.tracked("iou", [crops.scene(0)])
    assert found["boxes"] > 100
    assert 0 <= found["switches"] < found["boxes"] / 20


def test_super_resolution_is_measured_beside_the_network_alone(script, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    import numpy as np

    from drfm.cli import main
    from drfm.data.drawn import draw_person_image
    from drfm.data.manifest import load_benchmark
    from drfm.resolution.build import load
    from drfm.resolution.network import new_network, save_network
    from drfm.resolution.swin2sr import Swin2SR

    for person in range(4):
        folder = tmp_path / "people" / str(person)
        folder.mkdir(parents=True)
        for camera in (0, 1):
            Image.fromarray(draw_person_image(person, camera, 0, 3)).save(folder / f"{camera}.png")
    built = ["data", "build", str(tmp_path / "people"), "--kind", "folder-per-person"]
    assert main([*built, "--out", str(tmp_path / "bench")]) == 0
    network = new_network("small", 4, seed=1)
    save_network(network, network.state_dict(), tmp_path / "model", {})
    sr, out = script("sr"), tmp_path / "sr.json"
    words = ["sr.py", str(tmp_path / "bench"), "--model", str(tmp_path / "model"), "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--size", "32x16", "--out", str(out)])
    sr.main()
    found = json.loads(out.read_text())
    assert found["images"] > 0
    rates = found["images_per_second"]
    assert found["share"] == pytest.approx(rates["pipeline"] / rates["network"])
    assert set(found["seconds"]) == {"network", "pipeline"}
    # Both sides compute the same pixels.
    entries = [e for e in load_benchmark(tmp_path / "bench").train if e.resolution == "lr"]
    resolver = Swin2SR(str(tmp_path / "model"), 4, "cpu")
    given = {size: len(rows) for size, rows in _by_size(resolver, map(load, entries)).items()}
    ready = sr.batches(entries, resolver)
    assert {tuple(batch.shape[2:]): len(batch) for batch, _ in ready} == given
    for batch, base in ready:  # a network of `drfm sr train` is a residual on interpolated images
        assert base is not None
        assert base.shape[2:] == (4 * batch.shape[2], 4 * batch.shape[3])
    first = load(entries[0])
    pixels = (ready[0][0][0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    assert np.array_equal(pixels[: first.shape[0], : first.shape[1]], first)


def _by_size(resolver, images):
    found = {}
    for image in images:
        found.setdefault(resolver.magnifier.padded(image), []).append(image)
    return found

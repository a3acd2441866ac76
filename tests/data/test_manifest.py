import json

import pytest

from drfm.data.build import build_benchmark
from drfm.data.choices import BuildChoices
from drfm.data.manifest import MANIFEST, load_benchmark, read_manifest
from drfm.data.readers import read_dataset
from drfm.errors import DrfmError


@pytest.fixture
def folder(market, tmp_path):
    build_benchmark(read_dataset("market1501", market), tmp_path / "bench", BuildChoices())
    return tmp_path / "bench"


def edit(folder, change):
    value = json.loads((folder / MANIFEST).read_text())
    change(value)
    (folder / MANIFEST).write_text(json.dumps(value))


def test_what_a_manifest_holds(folder):
    value = read_manifest(folder)
    assert set(value) == {"format", "id", "name", "kind", "seed", "choices", "notes", "files", "splits"}
    row = value["files"][0]
    assert set(row) >= {
        "name",
        "sha256",
        "source_sha256",
        "person",
        "camera",
        "resolution",
        "rate",
        "height",
        "width",
    }
    assert [r["name"] for r in value["files"]] == sorted(r["name"] for r in value["files"])
    lines = (folder / MANIFEST).read_text().splitlines()
    assert sum('"source_sha256"' in line for line in lines) == len(value["files"])


def test_missing_and_changed_files_are_named(folder):
    bench = load_benchmark(folder)
    victim = bench.query[0].path
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DrfmError, match=rf"{victim.name}: is not the file of the manifest"):
        load_benchmark(folder)
    victim.write_bytes(data + b"x")
    with pytest.raises(DrfmError, match=rf"{victim.name}: is not the file of the manifest"):
        load_benchmark(folder)
    bench.query[1].path.unlink()
    with pytest.raises(DrfmError, match=r"\(2 such files\)"):
        load_benchmark(folder)
    assert load_benchmark(folder, verify=False) == bench


def test_splits_that_do_not_exist(folder):
    for split in (-1, 1):
        with pytest.raises(DrfmError, match=f"split = {split}: .* has splits 0 to 0"):
            load_benchmark(folder, split)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x.png", "images/../../x.png", "images\\..\\x.png", "images/a\0.png", "other/x.png"],
)
def test_names_that_lead_out_are_refused(folder, name):
    edit(folder, lambda value: value["files"][0].update(name=name))
    with pytest.raises(DrfmError, match=r"leads out of the benchmark|is no file of a benchmark"):
        load_benchmark(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["files"][0].update(person=5),
        lambda v: v["choices"].update(seed=5),
        lambda v: v["splits"][0]["query"].pop(),
        lambda v: v["splits"][0]["train"].__setitem__(0, 10_000),
        lambda v: v["splits"][0]["train"].__setitem__(0, -1),
        lambda v: v.update(id="0" * 16),
    ],
)
def test_a_manifest_changed_by_hand(folder, change):
    edit(folder, change)
    with pytest.raises(DrfmError, match="was changed after it was written"):
        load_benchmark(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.pop("files"),
        lambda v: v.pop("splits"),
        lambda v: v.update(choices=3),
        lambda v: v.update(splits=[{"train": "abc"}]),
        lambda v: v["files"][0].pop("rate"),
        lambda v: v["files"][0].update(height="tall"),
        lambda v: v["files"][0].update(bytes=True),
        lambda v: v["files"][0].update(resolution="4k"),
        lambda v: v.update(format=99),
        lambda v: v.update(notes=4),
        lambda v: v.update(files=[1]),
    ],
)
def test_damaged_manifests_are_one_line(folder, change):
    edit(folder, change)
    with pytest.raises(DrfmError, match=r"manifest\.json") as error:
        load_benchmark(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_files_that_are_no_manifest(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(DrfmError, match=r"manifest\.json"):
        load_benchmark(folder)


def test_no_manifest(tmp_path):
    with pytest.raises(DrfmError, match="build the benchmark first"):
        load_benchmark(tmp_path)


def test_the_name_and_notes_may_be_changed(folder):
    before = load_benchmark(folder).id
    edit(folder, lambda value: value.update(name="another", notes=["n"]))
    bench = load_benchmark(folder)
    assert (bench.id, bench.name, bench.notes) == (before, "another", ("n",))

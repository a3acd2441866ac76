"""The image store: content, keys, resuming, damage, bad input."""

import dataclasses
import hashlib
import multiprocessing
import os
import signal
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drfm.config.schema import ImagesConfig
from drfm.data.records import HR, LR, Entry
from drfm.errors import DrfmError
from drfm.files import folder_lock
from drfm.resolution import build, store
from drfm.resolution.downsample import downsample, resize, twin_rate
from drfm.resolution.store import open_pairs

SMALL = ImagesConfig(hr_size=(32, 16), lr_size=(16, 8))
OTHER = dataclasses.replace(SMALL, kernel="box", twin_rates="random", sr_rate=2)


def make_entry(folder: Path, name: str, pixels: np.ndarray, resolution: str, camera: int = 0) -> Entry:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Entry(path, name, digest, 0, camera, resolution, 1, *pixels.shape[:2])


@pytest.fixture
def entries(tmp_path):
    random = np.random.default_rng(0)
    made = []
    for row in range(10):
        high = row % 3 != 0
        size = (40 + row, 20) if high else (12, 5 + row)
        pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        made.append(make_entry(tmp_path / "in", f"{row:02d}.png", pixels, "hr" if high else "lr", row - 1))
    return made


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    monkeypatch.setattr(store, "CHUNK", 3)
    monkeypatch.setattr(store, "NETWORK_CHUNK", 4)


def expected(entry, options, seed=0):
    """The two images of a pair, step by step."""
    native = np.asarray(Image.open(entry.path))
    if entry.resolution == "hr":
        high, low = native, downsample(native, twin_rate(entry.name, seed, options), options.kernel)
    else:
        rate, low = options.sr_rate, native
        high = resize(native, (native.shape[0] * rate, native.shape[1] * rate))
    return resize(high, options.hr_size, options.kernel), resize(low, options.lr_size, options.kernel)


@pytest.mark.parametrize("options", [SMALL, OTHER])
def test_content(entries, tmp_path, options):
    pairs = open_pairs(entries, options, tmp_path / "c", seed=3, workers=1)
    assert len(pairs) == 10
    assert pairs.hr.shape == (10, 32, 16, 3)
    assert pairs.lr.shape == (10, 16, 8, 3)
    assert pairs.hr.dtype == pairs.lr.dtype == np.uint8
    for row, entry in enumerate(entries):
        high, low = expected(entry, options, 3)
        np.testing.assert_array_equal(pairs.hr[row], high)
        np.testing.assert_array_equal(pairs.lr[row], low)
    assert pairs.origin.tolist() == [LR if e.resolution == "lr" else HR for e in entries]
    assert pairs.origin.dtype == np.int8
    assert pairs.camera.tolist() == [e.camera for e in entries]
    assert pairs.height.tolist() == [e.height for e in entries]
    assert pairs.names == tuple(e.name for e in entries)
    assert pairs.facts["sr"] == "bicubic (interpolation)"
    assert not pairs.hr.flags.writeable


def test_processes_give_the_same_bytes(entries, tmp_path):
    one = open_pairs(entries, SMALL, tmp_path / "one", workers=1)
    two = open_pairs(entries, SMALL, tmp_path / "two", workers=2)
    assert one.key == two.key
    for name in ("hr.u8", "lr.u8"):
        assert (tmp_path / "one" / one.key / name).read_bytes() == (
            tmp_path / "two" / one.key / name
        ).read_bytes()


def test_second_opening_decodes_nothing(entries, tmp_path, monkeypatch):
    first = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    monkeypatch.setattr(store, "fill", None)
    again = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    np.testing.assert_array_equal(first.hr, again.hr)
    with folder_lock(tmp_path / "c" / first.key):
        open_pairs(entries, SMALL, tmp_path / "c")  # a finished store is open to everyone


def key_of(entries, options, tmp_path, **more):
    return open_pairs(entries, options, tmp_path / "c", workers=1, **more).key


def test_key_changes_with_what_matters(entries, tmp_path):
    base = key_of(entries, SMALL, tmp_path)
    for change in (
        {"kernel": "lanczos"},
        {"hr_size": (32, 8)},
        {"lr_size": (8, 8)},
        {"twin_rate": 3},
        {"sr_rate": 2},
        {"twin_rates": "random"},
    ):
        assert key_of(entries, dataclasses.replace(SMALL, **change), tmp_path) != base, change
    assert key_of(entries[:-1], SMALL, tmp_path) != base
    assert key_of(entries[::-1], SMALL, tmp_path) != base
    assert key_of(entries, SMALL, tmp_path, seed=1) == base
    drawn = dataclasses.replace(SMALL, twin_rates="random")
    assert key_of(entries, drawn, tmp_path) != key_of(entries, drawn, tmp_path, seed=1)


def test_key_ignores_what_does_not_matter(entries, tmp_path):
    sharp = [entry for entry in entries if entry.resolution == "hr"]
    base = key_of(sharp, SMALL, tmp_path)
    assert key_of(sharp, dataclasses.replace(SMALL, sr_rate=2), tmp_path) == base
    moved = [dataclasses.replace(entry, name=f"x/{entry.name}", person=7) for entry in sharp]
    assert key_of(moved, SMALL, tmp_path) == base


def counting(monkeypatch):
    rendered = []
    genuine = build.render
    monkeypatch.setattr(
        build, "render", lambda recipe, chunk: rendered.append(chunk) or genuine(recipe, chunk)
    )
    return rendered


@pytest.mark.parametrize("space", ["hr", "lr"])
def test_damaged_chunk_is_made_anew(entries, tmp_path, monkeypatch, space):
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    file = tmp_path / "c" / pairs.key / f"{space}.u8"
    good = file.read_bytes()
    row_bytes = len(good) // 10
    damaged = bytearray(good)
    damaged[4 * row_bytes + 7] ^= 1
    file.write_bytes(damaged)
    rendered = counting(monkeypatch)
    open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    assert rendered == [1]
    assert file.read_bytes() == good


def test_shortened_file_is_completed(entries, tmp_path, monkeypatch):
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    file = tmp_path / "c" / pairs.key / "hr.u8"
    good = file.read_bytes()
    file.write_bytes(good[: int(len(good) * 0.65)])
    rendered = counting(monkeypatch)
    open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    assert rendered == [2, 3]
    assert file.read_bytes() == good


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 0}', '{"format": 1, "count": 10, "chunk": "3"}'])
def test_unreadable_description_starts_afresh(entries, tmp_path, text):
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    (tmp_path / "c" / pairs.key / "meta.json").write_text(text)
    again = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    np.testing.assert_array_equal(pairs.hr, again.hr)


def test_cut_journal_line_costs_one_chunk(entries, tmp_path, monkeypatch):
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    journal = tmp_path / "c" / pairs.key / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    rendered = counting(monkeypatch)
    open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    assert rendered == [3]
    rendered.clear()
    open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    assert rendered == []


def test_interruption_keeps_finished_chunks(entries, tmp_path, monkeypatch):
    genuine = build.render

    def stops(recipe, chunk):
        if chunk == 2:
            raise KeyboardInterrupt
        return genuine(recipe, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(build, "render", stops)
        with pytest.raises(KeyboardInterrupt):
            open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    rendered = counting(monkeypatch)
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    assert rendered == [2, 3]
    np.testing.assert_array_equal(pairs.hr[9], expected(entries[9], SMALL)[0])


def build_until_row_six(entries, cache):
    genuine = build.load

    def load(entry):
        if entry.name >= "06":
            time.sleep(60)
        return genuine(entry)

    build.load = load
    open_pairs(entries, SMALL, cache, workers=2)


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_build_is_resumed_and_its_workers_end(entries, tmp_path, monkeypatch):
    process = multiprocessing.get_context("fork").Process(
        target=build_until_row_six, args=(entries, tmp_path / "c")
    )
    process.start()
    wait_for(lambda: [f for f in (tmp_path / "c").glob("*/journal.jsonl") if f.read_text().count("}") == 2])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    wait_for(lambda: not any(alive(child) for child in children))
    rendered = counting(monkeypatch)
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    assert rendered == [2, 3]
    for row, entry in enumerate(entries):
        np.testing.assert_array_equal(pairs.hr[row], expected(entry, SMALL)[0])


def alive(process):
    """Whether a process runs; one that ended may wait for its new parent to take notice."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def spoil(entries, rows):
    for row in rows:
        entries[row].path.write_bytes(b"no image")


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_images_are_named_together(entries, tmp_path, workers):
    entries = [dataclasses.replace(entry, sha256="") for entry in entries]
    spoil(entries, (1, 2, 7, 8))
    with pytest.raises(DrfmError, match=r"4 of 10 images cannot be used: .*01\.png.*; and 1 more") as caught:
        open_pairs(entries, SMALL, tmp_path / "c", workers=workers)
    assert "\n" not in str(caught.value)


def test_other_bytes_than_the_manifest_says(entries, tmp_path):
    Image.new("RGB", (20, 43)).save(entries[1].path)
    with pytest.raises(DrfmError, match=r"01\.png: differs from the manifest"):
        open_pairs(entries, SMALL, tmp_path / "c", workers=1)


def test_missing_image(entries, tmp_path):
    entries[0].path.unlink()
    with pytest.raises(DrfmError, match=r"1 of 10 .*00\.png: no such file"):
        open_pairs(entries, SMALL, tmp_path / "c", workers=1)


def test_skipping_bad_images(entries, tmp_path, monkeypatch):
    genuine = entries[7].path.read_bytes()
    spoil(entries, (1, 7))
    for _ in range(2):
        pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1, skip_bad=True)
        assert [int(name[:2]) for name in pairs.names] == [0, 2, 3, 4, 5, 6, 8, 9]
        assert pairs.facts["skipped"] == 2
        np.testing.assert_array_equal(pairs.hr[1], expected(entries[2], SMALL)[0])
    rendered = counting(monkeypatch)
    open_pairs(entries, SMALL, tmp_path / "c", workers=1, skip_bad=True)
    assert rendered == []
    entries[7].path.write_bytes(genuine)
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1, skip_bad=True)
    assert pairs.facts["skipped"] == 1
    assert "07.png" in pairs.names


def test_skipping_nothing_is_the_same_store(entries, tmp_path):
    plain = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    assert open_pairs(entries, SMALL, tmp_path / "c", workers=1, skip_bad=True).key == plain.key


def test_skipping_everything(entries, tmp_path):
    spoil(entries, range(10))
    with pytest.raises(DrfmError, match="none of the 10 images"):
        open_pairs(entries, SMALL, tmp_path / "c", workers=1, skip_bad=True)


def test_full_disk_goes_on_later(entries, tmp_path, monkeypatch):
    genuine, calls = os.pwrite, []

    def full(handle, data, offset):
        calls.append(offset)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        return genuine(handle, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(DrfmError, match="the disk is full"):
            open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    rendered = counting(monkeypatch)
    open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    assert rendered == [2, 3]


def test_disk_too_small_is_said_before_work(entries, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DrfmError, match="the images need"):
        open_pairs(entries, SMALL, tmp_path / "c", workers=1)


def test_short_writes_are_continued(entries, tmp_path, monkeypatch):
    genuine = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, offset: genuine(handle, data[:1000], offset))
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1)
    np.testing.assert_array_equal(pairs.hr[9], expected(entries[9], SMALL)[0])


def test_cache_that_is_a_file(entries, tmp_path):
    (tmp_path / "c").write_text("")
    with pytest.raises(DrfmError, match=r"/c"):
        open_pairs(entries, SMALL, tmp_path / "c", workers=1)


def test_dead_worker_is_one_line(entries, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "render", lambda recipe, chunk: os._exit(9))
    with pytest.raises(DrfmError, match="fewer workers"):
        open_pairs(entries, SMALL, tmp_path / "c", workers=2)


def test_bad_lists(entries, tmp_path):
    with pytest.raises(DrfmError, match="no images"):
        open_pairs([], SMALL, tmp_path / "c")
    with pytest.raises(DrfmError, match="twice"):
        open_pairs([entries[0], entries[0]], SMALL, tmp_path / "c")


class Inverting:
    """Stands for a network: magnifies by repetition and inverts."""

    name, light, apart = "inverting", False, False

    def __init__(self, checksum="a"):
        self.checksum, self.batches = checksum, []

    def facts(self):
        return {"sr": self.name, "sr_rate": 2, "sr_checksum": self.checksum}

    def __call__(self, images):
        return [large for _, large in self.stream(images)]

    def stream(self, images):
        self.batches.append(len(images))
        for row in reversed(range(len(images))):
            yield row, 255 - images[row].repeat(2, 0).repeat(2, 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_network_runs_in_batches_in_this_process(entries, tmp_path, workers):
    network = Inverting()
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=workers, resolver=network)
    assert network.batches == [4]
    for row, entry in enumerate(entries):
        high, low = expected(entry, SMALL)
        if entry.resolution == "lr":
            native = np.asarray(Image.open(entry.path))
            high = resize(255 - native.repeat(2, 0).repeat(2, 1), (32, 16))
        np.testing.assert_array_equal(pairs.hr[row], high)
        np.testing.assert_array_equal(pairs.lr[row], low)
    other = open_pairs(entries, SMALL, tmp_path / "c", workers=1, resolver=Inverting("b"))
    assert other.key != pairs.key
    file = tmp_path / "c" / pairs.key / "hr.u8"
    lines = (file.parent / "journal.jsonl").read_text().split("\n")
    assert f'"hr": {zlib.crc32(file.read_bytes()[: 4 * 32 * 16 * 3])}' in "".join(lines)


class Dying(Inverting):
    """A network whose process ends after two images."""

    def stream(self, images):
        for number, done in enumerate(super().stream(images)):
            if number == 2:
                raise KeyboardInterrupt
            yield done


def test_a_network_does_no_image_twice(entries, tmp_path):
    """Neither after an interruption nor in another store."""
    with pytest.raises(KeyboardInterrupt):
        open_pairs(entries, SMALL, tmp_path / "c", workers=1, resolver=Dying())
    network = Inverting()
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1, resolver=network)
    assert network.batches == [2]
    uncut = open_pairs(entries, SMALL, tmp_path / "d", workers=1, resolver=Inverting())
    np.testing.assert_array_equal(pairs.hr, uncut.hr)
    again = Inverting()
    open_pairs(entries[:5], SMALL, tmp_path / "c", workers=1, resolver=again)
    assert sum(again.batches) == 0
    other = Inverting()
    smaller = dataclasses.replace(SMALL, hr_size=(16, 8))
    open_pairs(entries, smaller, tmp_path / "c", workers=1, resolver=other)
    assert sum(other.batches) == 4


def test_a_bad_image_does_not_stop_a_network(entries, tmp_path):
    entries = [dataclasses.replace(entry, sha256="") for entry in entries]
    spoil(entries, (0,))
    entries[1].path.unlink()
    network = Inverting()
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1, resolver=network, skip_bad=True)
    assert pairs.names == tuple(entry.name for entry in entries[2:])
    assert sum(network.batches) == 3


def test_an_image_too_large_for_a_network_is_named(entries, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "NETWORK_PIXELS", 12 * 13)
    with pytest.raises(DrfmError, match=r"1 of 10 .*09\.png: 12x14 pixels are too many"):
        open_pairs(entries, SMALL, tmp_path / "c", workers=1, resolver=Inverting())
    pairs = open_pairs(entries, SMALL, tmp_path / "c", workers=1, resolver=Inverting(), skip_bad=True)
    assert len(pairs) == 9


def test_own_rates_reduce_what_a_back_end_magnified(entries, tmp_path):
    options = dataclasses.replace(SMALL, sr_rate=4, sr_rates="native")
    entries = [dataclasses.replace(entries[0], rate=2), entries[3], entries[6]]
    pairs = open_pairs(entries, options, tmp_path / "c", workers=1)
    for row, rate in enumerate((2, 3, 3)):  # known; 32 rows over 12
        native = np.asarray(Image.open(entries[row].path))
        large = resize(native, (native.shape[0] * 4, native.shape[1] * 4))
        own = resize(large, (native.shape[0] * rate, native.shape[1] * rate))
        np.testing.assert_array_equal(pairs.hr[row], resize(own, (32, 16)))
    fixed = dataclasses.replace(options, sr_rates="fixed")
    assert open_pairs(entries, fixed, tmp_path / "c", workers=1).key != pairs.key
    unknown = [dataclasses.replace(entries[0], rate=1), *entries[1:]]
    assert open_pairs(unknown, options, tmp_path / "c", workers=1).key != pairs.key


def test_realistic_twins_depend_on_the_capture_alone(entries, tmp_path):
    options = dataclasses.replace(SMALL, twin_degradation="realistic", twin_rate=2)
    pairs = open_pairs(entries, options, tmp_path / "c", workers=1)
    other = open_pairs(entries[::-1], options, tmp_path / "c", workers=1, seed=7)
    np.testing.assert_array_equal(pairs.lr, other.lr[::-1])
    plain = open_pairs(entries, dataclasses.replace(SMALL, twin_rate=2), tmp_path / "c", workers=1)
    assert plain.key != pairs.key
    changed = (plain.lr != pairs.lr).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, plain.origin == HR)


def test_no_network_without_lr_captures(entries, tmp_path):
    sharp = [entry for entry in entries if entry.resolution == "hr"]
    options = dataclasses.replace(SMALL, sr="swin2sr", sr_model="/nowhere")
    assert "sr" not in open_pairs(sharp, options, tmp_path / "c", workers=1).facts

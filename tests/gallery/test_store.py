"""Both kinds of gallery do the same."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drfm.errors import DrfmError
from drfm.gallery.embedded import Embedded
from drfm.gallery.files import generation
from drfm.gallery.items import Filter, Item
from drfm.gallery.milvus import expression
from drfm.gallery.move import checksum, move
from drfm.gallery.opening import create_store, exists, open_store
from drfm.gallery.search import Search, search

sys.path.insert(0, str(Path(__file__).parent))
from made_gallery import brute, items, unit

SIZE, COUNT = 24, 120
ROWS, KNOWN = unit(COUNT, SIZE), items(COUNT)


@pytest.fixture(scope="module", params=["folder", "lite.db"])
def store(request, tmp_path_factory):
    if request.param.endswith(".db"):
        pytest.importorskip("milvus_lite")
    made = create_store(str(tmp_path_factory.mktemp("gallery") / request.param), SIZE, "a model")
    made.add(KNOWN[:50], ROWS[:50], range(1, 51))
    made.add(KNOWN[50:], ROWS[50:], range(51, COUNT + 1))
    yield made
    made.close()


def places(hits):
    return [hit.id - 1 for hit in hits]


FILTERS = [
    (Filter(), lambda item: True),
    (Filter(camera=("c1", "c2")), lambda item: item.camera in ("c1", "c2")),
    (Filter(camera=("",)), lambda item: item.camera is None),
    (Filter(since=10, until=40.5), lambda item: item.time is not None and 10 <= item.time < 40.5),
    (Filter(person=("p3",), fields={"colour": "red"}),
     lambda item: item.person == "p3" and item.fields["colour"] == "red"),
    (Filter(track=("t1",), path=("7.png", "60.png")), lambda item: item.path == "7.png"),
    (Filter(fields={"colour": 'x" or 1 == 1'}), lambda item: False),
    (Filter(path=("' or '1'='1",)), lambda item: False),
]  # fmt: skip


@pytest.mark.parametrize(("where", "fits"), FILTERS)
def test_a_search_is_brute_force_among_the_images_that_fit(store, where, fits):
    which = [i for i, item in enumerate(KNOWN) if fits(item)]
    assert store.count(where) == len(which)
    for query, hits in zip(ROWS[:3], store.search(ROWS[:3], 7, where), strict=True):
        positions, similarity = brute(ROWS, which, query, 7)
        assert places(hits) == positions
        assert [hit.similarity for hit in hits] == similarity
        assert [hit.item for hit in hits] == [KNOWN[at] for at in positions]


def test_what_is_held_can_be_read_back(store):
    assert (store.size, store.model) == (SIZE, "a model")
    assert store.known(["3.png", "nobody.png"]) == {"3.png"}
    assert store.known([]) == set()
    assert store.names("camera") == ["c0", "c1", "c2"]
    ids, held, vectors = store.page(100, 15)
    assert ids == list(range(101, 116))
    assert held == KNOWN[100:115]
    assert np.array_equal(vectors, ROWS[100:115])
    assert np.array_equal(store.vectors([5, 2]), ROWS[[4, 1]])
    with pytest.raises(DrfmError, match="image 999 is not in the gallery any more"):
        store.vectors([999])


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.full((1, SIZE), np.nan, np.float32), "row 0 is not finite"),
        (np.zeros((1, SIZE), np.float32), "row 0 has length 0"),
        (unit(1, SIZE + 1), f"takes rows of {SIZE} numbers"),
        (unit(1, SIZE)[0], f"takes rows of {SIZE} numbers"),
        (unit(2, SIZE), "2 rows for 1 images"),
    ],
)
def test_bad_vectors_are_refused_in_one_line(store, vectors, words):
    with pytest.raises(DrfmError, match=words) as refused:
        store.add([Item("new.png")], vectors)
    assert "\n" not in str(refused.value)
    if len(vectors) == 1:
        with pytest.raises(DrfmError):
            store.search(vectors, 1)
    assert store.count() == COUNT


def test_an_image_is_added_once(store):
    with pytest.raises(DrfmError, match="in the gallery already"):
        store.add([Item("fresh.png"), KNOWN[3]], ROWS[:2])
    with pytest.raises(DrfmError, match="in the gallery already"):
        store.add([Item("twice.png"), Item("twice.png")], ROWS[:2])
    assert store.known(["fresh.png", "twice.png"]) == set()


def test_a_search_with_options(store):
    query = ROWS[:1]
    near = store.search(query, COUNT)[0]
    one = search(store, query, Search(k=5, one_per_track=True))[0]
    first = {}
    for hit in near:
        first.setdefault(hit.item.track, hit)
    assert one == list(first.values())[:5]
    grouped = search(store, query, Search(k=2, by_camera=True))[0]
    assert [hit.item.camera for hit in grouped] == ["c0", "c0", "c1", "c1", "c2", "c2", None, None]
    for camera in ("c0", None):
        assert [h for h in grouped if h.item.camera == camera] == [
            h for h in near if h.item.camera == camera
        ][:2]
    again = search(store, query, Search(k=6, rerank=30))[0]
    assert {hit.id for hit in again} <= {hit.id for hit in near[:30]}
    assert again[0].id == 1
    wide = search(store, query, Search(k=4, expand=3))[0]
    used = query[0] + sum(hit.similarity**3 * ROWS[hit.id - 1].astype(float) for hit in near[:3])
    used = (used / np.linalg.norm(used)).astype(np.float32)
    assert places(wide) == brute(ROWS, range(COUNT), used, 4)[0]
    assert wide[0].similarity == next(hit.similarity for hit in near if hit.id == wide[0].id)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"k": 0}, "k = 0"), ({"expand": -1}, "expand = -1"), ({"rerank": 3}, "rerank = 3")],
)
def test_bad_options(options, words):
    with pytest.raises(DrfmError, match=words):
        Search(**options)


def test_removing_and_adding_again(tmp_path):
    store = Embedded.create(tmp_path / "g", SIZE)
    assert store.search(ROWS[:1], 3) == [[]]
    assert store.add([], ROWS[:0]) == []
    store.add(KNOWN, ROWS)
    assert store.remove(Filter(camera=("c1",))) == sum(item.camera == "c1" for item in KNOWN)
    left = [i for i, item in enumerate(KNOWN) if item.camera != "c1"]
    other = Embedded(tmp_path / "g")
    for _ in range(2):
        for one in (store, other):
            assert places(one.search(ROWS[:1], 9)[0]) == brute(ROWS, left, ROWS[0], 9)[0]
        store.compact()
    assert [path.name for path in (tmp_path / "g").glob("vectors-*")] == ["vectors-000003"]
    again = [item for item in KNOWN if item.camera == "c1"]
    assert min(store.add(again, ROWS[[int(item.path[:-4]) for item in again]])) == COUNT + 1
    assert other.count() == COUNT
    assert not other.damaged()
    assert store.remove(Filter()) == COUNT
    store.compact()
    assert other.search(ROWS[:1], 3) == [[]]
    store.close()
    other.close()


def test_files_are_rewritten_once_most_images_are_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("drfm.gallery.embedded.LEAST", 10)
    store = Embedded.create(tmp_path / "g", SIZE)
    store.add(KNOWN, ROWS)
    store.remove(Filter(until=50))
    assert generation(tmp_path / "g", 1).exists()
    store.remove(Filter(until=80))
    assert not generation(tmp_path / "g", 1).exists()
    assert not store.damaged()
    store.close()


def test_what_a_crash_left_behind_the_last_row_is_written_over(tmp_path):
    store = Embedded.create(tmp_path / "g", SIZE)
    store.add(KNOWN[:5], ROWS[:5])
    folder = generation(tmp_path / "g", 1)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes() + b"torn" * 99)
    generation(tmp_path / "g", 7).mkdir()
    store.add(KNOWN[5:9], ROWS[5:9])
    assert not store.damaged()
    assert not generation(tmp_path / "g", 7).exists()
    assert places(store.search(ROWS[6:7], 3)[0]) == brute(ROWS, range(9), ROWS[6], 3)[0]
    store.close()


def test_damage_is_found(tmp_path):
    store = Embedded.create(tmp_path / "g", SIZE)
    store.add(KNOWN[:5], ROWS[:5])
    path = generation(tmp_path / "g", 1) / "rows.f32"
    data = bytearray(path.read_bytes())
    data[2 * SIZE * 4 + 1] ^= 64
    path.write_bytes(data)
    assert Embedded(tmp_path / "g").damaged() == ["2.png"]
    path.write_bytes(data[:-4])
    with pytest.raises(DrfmError, match=r"rows\.f32: shorter than the 5 rows"):
        Embedded(tmp_path / "g").count(), Embedded(tmp_path / "g").search(ROWS[:1], 1)
    path.unlink()
    with pytest.raises(DrfmError, match="files of its vectors are missing"):
        Embedded(tmp_path / "g").search(ROWS[:1], 1)


def test_moving_there_and_back_keeps_everything(tmp_path):
    pytest.importorskip("milvus_lite")
    first, lite, last = (str(tmp_path / name) for name in ("first", "lite.db", "last"))
    store = create_store(first, SIZE, "m")
    store.add(KNOWN, ROWS)
    store.remove(Filter(camera=("c2",)))
    truth = checksum(store)
    store.close()
    assert move(first, lite, keep=True) == truth
    assert move(first, lite) == truth
    assert not exists(first)
    assert move(lite, last) == truth
    assert not exists(lite)
    assert checksum(open_store(last)) == truth


def test_a_move_refuses_what_is_not_the_beginning(tmp_path):
    first, other = str(tmp_path / "first"), str(tmp_path / "other")
    store, second = create_store(first, SIZE), create_store(other, SIZE)
    store.add(KNOWN[:9], ROWS[:9])
    second.add([replace(KNOWN[0], camera="else")], ROWS[:1])
    for target, words in ((first, "is the gallery itself"), (other, "holds other images")):
        with pytest.raises(DrfmError, match=words):
            move(first, target)
    with pytest.raises(DrfmError, match="no such gallery"):
        move(str(tmp_path / "none"), other)
    create_store(str(tmp_path / "small"), SIZE - 1).close()
    with pytest.raises(DrfmError, match="another model or size"):
        move(first, str(tmp_path / "small"))
    assert store.count() == 9


def test_a_gallery_that_was_changed_meanwhile_is_kept(tmp_path):
    store = Embedded.create(tmp_path / "g", SIZE)
    store.add(KNOWN[:3], ROWS[:3])
    with pytest.raises(DrfmError, match="was changed meanwhile and is kept"):
        store.destroy(holds=(2, 2))
    assert store.count() == 3


def test_what_a_cut_move_left_is_deleted_by_the_next(tmp_path, monkeypatch):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    store = create_store(first, SIZE)
    store.add(KNOWN[:3], ROWS[:3])
    store.close()
    with monkeypatch.context() as cut:
        cut.setattr("drfm.gallery.embedded.erase", lambda folder: None)
        truth = move(first, second)
    with pytest.raises(DrfmError, match="was moved to"):
        open_store(first)
    with pytest.raises(DrfmError, match="and not to"):
        move(first, str(tmp_path / "third"))
    assert move(first, second) == truth
    assert not Path(first).exists()


@pytest.mark.parametrize(
    ("location", "words"),
    [("nothing", "no such gallery"), ("s3://bucket", "give a folder"), ("nothing.db", "no such gallery"),
     ("http://localhost:19530", "COLLECTION")],
)  # fmt: skip
def test_locations_that_hold_nothing(tmp_path, monkeypatch, location, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DrfmError, match=words):
        open_store(location)
    assert not list(tmp_path.iterdir())


def test_galleries_that_cannot_be_made(tmp_path):
    (tmp_path / "something").write_text("")
    with pytest.raises(DrfmError, match="not empty"):
        create_store(str(tmp_path), SIZE)
    with pytest.raises(DrfmError, match="size = 0"):
        create_store(str(tmp_path / "g"), 0)
    assert not (tmp_path / "g").exists()


def test_a_gallery_whose_making_was_cut_can_be_made(tmp_path):
    (tmp_path / ".new-1").write_text("torn")
    (tmp_path / ".new-1-wal").write_text("")
    create_store(str(tmp_path), SIZE).close()
    assert [path.name for path in tmp_path.iterdir()] == ["catalogue.sqlite"]


def test_a_gallery_that_another_process_writes_to_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("drfm.gallery.catalogue.WAIT", 0.05)
    store = Embedded.create(tmp_path / "g", SIZE)
    with closing(sqlite3.connect(tmp_path / "g" / "catalogue.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DrfmError, match="another process has been writing to it"):
            store.add(KNOWN[:3], ROWS[:3])
        assert store.search(ROWS[:1], 1) == [[]]
    assert len(store.add(KNOWN[:3], ROWS[:3])) == 3


def test_a_catalogue_without_its_tables_is_one_line(tmp_path):
    (tmp_path / "catalogue.sqlite").write_bytes(b"")
    with pytest.raises(DrfmError, match="is no gallery's catalogue, or damaged"):
        open_store(str(tmp_path))


class CutError(Exception):
    """Stands for a crash."""


def test_a_milvus_gallery_whose_making_was_cut_anywhere_can_be_made(tmp_path, monkeypatch):
    pytest.importorskip("milvus_lite")
    from pymilvus import MilvusClient

    place, cuts, left = str(tmp_path / "lite.db"), 0, [0]

    def cutting(step):
        def cut_or_go(*words, **options):
            left[0] -= 1
            if left[0] < 0:
                raise CutError
            return step(*words, **options)

        return cut_or_go

    for name in ("create_collection", "create_index", "load_collection", "insert"):
        monkeypatch.setattr(MilvusClient, name, cutting(getattr(MilvusClient, name)))
    while True:
        left[0] = cuts
        with pytest.raises(CutError):
            create_store(place, SIZE)
        left[0] = 100
        if exists(place):
            break
        with pytest.raises(DrfmError, match="no such gallery"):
            open_store(place)
        cuts += 1
    assert cuts >= 5
    made = open_store(place)
    made.add(KNOWN[:3], ROWS[:3])
    assert made.count() == 3
    made.destroy()


def test_a_collection_of_others_is_left_alone(tmp_path):
    pytest.importorskip("milvus_lite")
    from pymilvus import MilvusClient

    place = str(tmp_path / "lite.db")
    client = MilvusClient(place)
    client.create_collection("gallery", dimension=4)
    client.close()
    with pytest.raises(DrfmError, match="is there and is no gallery"):
        create_store(place, SIZE)
    assert not exists(place)
    client = MilvusClient(place)
    assert client.has_collection("gallery")
    client.close()


HOLDING = """
import sys, time
from drfm.gallery.opening import open_store
store = open_store(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_milvus_lite_that_cannot_be_opened_is_one_line(tmp_path, capfd):
    pytest.importorskip("milvus_lite")
    place = str(tmp_path / "lite.db")
    making = "import sys; from drfm.gallery.opening import create_store; create_store(sys.argv[1], 4)"
    subprocess.run([sys.executable, "-c", making, place], check=True)
    command = [sys.executable, "-c", HOLDING, place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(DrfmError, match=r"another process holds the lock .*only one process"):
            open_store(place)
        other.communicate()
    (tmp_path / "no.db").write_bytes(b"no database")
    with pytest.raises(DrfmError, match=r"no\.db: Milvus Lite cannot open it"):
        open_store(str(tmp_path / "no.db"))
    assert "Traceback" not in capfd.readouterr().err


def test_a_filter_in_the_language_of_milvus():
    where = Filter(camera=("a", ""), since=1, until=2.5, fields={'k"': "v\\"})
    assert expression(where) == (
        '(camera in ["a", ""] or camera is null) and time >= 1.0 and time < 2.5 and fields["k\\""] == "v\\\\"'
    )

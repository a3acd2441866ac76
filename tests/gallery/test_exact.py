import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.gallery import codes, exact, products

sys.path.insert(0, str(Path(__file__).parent))
from made_gallery import brute, unit


def expect_brute(rows, which, queries, k, found):
    for query, index, similarity in zip(queries, found.index, found.similarity, strict=True):
        positions, values = brute(rows, which, query, k)
        assert index.tolist() == positions
        assert similarity.tolist() == values


@pytest.mark.parametrize("form", products.forms(), ids=len)
@pytest.mark.parametrize("size", [1, 7, 64, 300])
@pytest.mark.parametrize("queries", [1, 8, 11])
def test_every_form_gives_the_nearest_rows_with_ties_by_index(form, size, queries):
    rows = unit(203, size)
    rows[50:90] = rows[3]
    asked = np.concatenate([rows[:2], rows[60:61], unit(queries, size, 1)])[:queries].copy()
    which = np.delete(np.arange(203, dtype=np.int32), [0, 55, 202])
    found = exact.nearest(rows, codes.encode(rows), which, asked, 12, form, extra=3)
    expect_brute(rows, which, asked, 12, found)


def test_a_second_scan_decides_where_the_first_cannot():
    rows = np.repeat(unit(1, 20), 4000, axis=0)
    asked = unit(2, 20, 1)
    found = exact.nearest(rows, codes.encode(rows), np.arange(4000, dtype=np.int32), asked, 5, extra=0)
    assert found.scanned_twice == 2
    assert found.index.tolist() == [[0, 1, 2, 3, 4]] * 2


def test_the_first_scan_suffices_for_most():
    rows, asked = unit(5000, 256), unit(20, 256, 1)
    found = exact.nearest(rows, codes.encode(rows), np.arange(5000, dtype=np.int32), asked, 10)
    assert found.scanned_twice <= 1
    assert found.rescored < 20 * 500


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(1, 40),
    st.integers(1, 70),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 99),
)
def test_any_rows(count, size, k, coarse, seed):
    rows = unit(count + 1, size, seed)
    if coarse:
        rows = np.round(rows / coarse) * coarse + 1e-3
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    which = np.arange(count + 1, dtype=np.int32)[seed % 2 :]
    asked = np.concatenate([rows[:1], -rows[:1]])
    expect_brute(rows, which, asked, k, exact.nearest(rows, codes.encode(rows), which, asked, k, extra=2))


def test_no_rows_and_best():
    rows = unit(3, 5)
    found = exact.nearest(rows, codes.encode(rows), np.empty(0, np.int32), rows[:1], 4)
    assert found.index.shape == (1, 0)
    assert exact.best(rows[1], rows, 9)[0][0] == 1
    assert len(exact.best(rows[1], rows[:0], 9)[0]) == 0


@pytest.mark.parametrize("form", products.forms(), ids=len)
def test_products_are_those_of_integers(form):
    random = np.random.default_rng(0)
    held = random.integers(-127, 128, (5, 512)).astype(np.int8)
    held[0] = 127
    asked = random.integers(0, 256, (8, 512)).astype(np.uint8)
    asked[0] = 255
    truth = held.astype(np.int64) @ asked.astype(np.int64).T
    assert products._all_products(held, asked, form) == truth[:, 0].sum()


def test_codes_bound_what_they_leave_out():
    rows = unit(50, 300)
    rows[7] = 0
    rows[7, 3] = -1
    made = codes.encode(rows)
    assert made.codes.shape == (50, codes.width(300)) == (50, 512)
    rest = rows - made.facts[:, :1].astype(np.float64) * made.codes[:, :300]
    assert (np.linalg.norm(rest, axis=1) <= made.facts[:, 1]).all()
    assert (made.facts[:, 1] < 0.02).all()
    assert (made.facts[:, 2] == made.codes.sum(axis=1, dtype=int)).all()
    assert not made.codes[:, 300:].any()


PREPARED = """
import sys
import numpy as np
from drfm.gallery import codes, exact, products
from drfm.gallery.embedded import Embedded
from drfm.gallery.items import Item
from drfm.labels import candidates, similarity
store = Embedded.create(__import__("pathlib").Path(sys.argv[1]), 3)
rows = np.eye(3, dtype=np.float32)
store.add([Item(name) for name in "abc"], rows)
def compiled():
    rooms = (codes, exact, products, candidates, similarity)
    return sum(len(getattr(f, "signatures", ())) for room in rooms for f in vars(room).values())
before = compiled()
store.prepare()
prepared = compiled()
assert prepared > before
assert store.search(rows[1:2], 2)[0][0].item.path == "b"
assert compiled() == prepared, [f for f in vars(exact).values() if hasattr(f, "signatures")]
"""


def test_what_is_prepared_is_what_a_search_runs(tmp_path):
    command = [sys.executable, "-c", PREPARED, str(tmp_path / "gallery")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr

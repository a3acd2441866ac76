import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import dense_oracle
from made_rows import unit

from drfm.errors import DrfmError
from drfm.labels import centring, device, rates, screening, sweep
from drfm.labels.neighbours import k_nearest
from drfm.labels.rates import Rates
from drfm.labels.similarity import similarity, similarity_rows


def clustered(count, size=64, persons=None, seed=0, spread=0.6):
    random = np.random.default_rng(seed)
    centres = random.standard_normal((persons or max(1, count // 9), size))
    rows = centres[np.sort(random.integers(0, len(centres), count))]
    return unit(rows + spread * random.standard_normal((count, size)))


def quantised(count, size, levels, seed):
    random = np.random.default_rng(seed)
    rows = random.integers(-levels, levels + 1, (count, size)).astype(np.float32)
    rows[:, 0] += levels + 1
    return unit(rows)


def expected(rows, k, queries=None):
    near = (rows if queries is None else queries).astype(np.float64) @ rows.astype(np.float64).T
    near = near.astype(np.float32)
    order = np.argsort(-near, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(near, order, 1)


METHODS = ("blocks", "screened", "bfloat16", "device", "float16")


def nearest(rows, k, method, **options):
    """The neighbours by one of the exact methods; ``bfloat16`` screens in it on any machine.

    ``float16`` does on the CPU what ``device`` does on a GPU, with so few candidates that rows need more.
    """
    if method == "float16":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device, "_kind", lambda rows: torch.float16)
            patch.setattr(device, "EXTRA", 2)
            patch.setattr(device, "GROWTH", 2)
            patch.setattr(device, "WIDEST", 4 * k)
            found = k_nearest(torch.as_tensor(rows), k, method="device", **options)
        assert found.facts["product"] == "torch.float16"
        return found
    if method != "bfloat16":
        return k_nearest(rows, k, method=method, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "measured", lambda: Rates("torch bfloat16", 1e-11, 5e-11))
        found = k_nearest(rows, k, method="screened", **options)
    assert found.facts["product"] == "torch bfloat16"
    return found


def seen(rows):
    """Rows about their mean."""
    return centring.about(rows, centring.mean_of(rows))


def same(found, wanted):
    np.testing.assert_array_equal(found.index, wanted[0])
    np.testing.assert_array_equal(found.similarity, wanted[1])


@pytest.mark.parametrize("size", [1, 7, 16, 33, 100])
def test_similarity_is_the_float64_product_and_the_same_on_a_tensor(size):
    rows = unit(np.random.default_rng(size).standard_normal((12, size)))
    one_by_one = np.array([[similarity(x, y) for y in rows] for x in rows])
    np.testing.assert_array_equal(one_by_one, dense_oracle.similarities(rows))
    tensor = torch.from_numpy(rows)
    np.testing.assert_array_equal(similarity_rows(tensor[:, None], tensor[None]).numpy(), one_by_one)


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("count", [40, 300])
def test_every_exact_method_finds_the_same(method, count):
    rows = clustered(count, 24)
    same(nearest(rows, 7, method), expected(rows, 7))


ADVERSARIAL = {
    "one constant row": lambda random: np.ones((70, 48)),
    "every row twice": lambda random: np.repeat(random.standard_normal((45, 48)), 2, axis=0),
    "three rows, often": lambda random: np.repeat(random.standard_normal((3, 48)), 60, axis=0),
    "one cluster": lambda random: 1 + 1e-3 * random.standard_normal((150, 48)),
    "two opposite rows": lambda random: np.where(np.arange(80) % 2, 1, -1)[:, None] * np.ones((80, 48)),
    "all outliers": lambda random: np.eye(96),
    "fewer rows than k": lambda random: random.standard_normal((5, 48)),
    "one row": lambda random: random.standard_normal((1, 48)),
    "closer than bfloat16 can tell": lambda random: 1 + 1e-6 * random.standard_normal((200, 48)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rank", [16, 100])
@pytest.mark.parametrize("name", list(ADVERSARIAL))
def test_adversarial_rows_have_the_same_neighbours_and_ties_by_index(name, rank, method, monkeypatch):
    monkeypatch.setattr(sweep, "RANK", rank)
    monkeypatch.setattr(sweep, "BLOCK", (64, 32))
    rows = unit(ADVERSARIAL[name](np.random.default_rng(7)))
    same(nearest(rows, 9, method), expected(rows, min(9, len(rows))))


@pytest.mark.parametrize("product", ["numpy float32", "torch float32", "torch bfloat16"])
@pytest.mark.parametrize("name", ["one constant row", "every row twice", "one cluster", "all outliers"])
def test_directions_are_orthonormal_even_of_rows_that_repeat(name, product):
    rows = unit(np.repeat(ADVERSARIAL[name](np.random.default_rng(0)), 8, axis=1))
    basis = screening.principal_directions(seen(rows), 255, product).astype(np.float64)
    np.testing.assert_allclose(basis.T @ basis, np.eye(255), atol=1e-5)


@pytest.mark.parametrize("fast", ["numpy float32", "torch float32", "torch bfloat16"])
def test_rates_choose_the_fastest_product(fast, monkeypatch):
    calls = iter(["numpy float32", "torch float32", "torch bfloat16", "check"])
    monkeypatch.setattr(rates, "_best", lambda work: 1.0 if next(calls) in (fast, "check") else 2.0)
    found = rates.measured.__wrapped__()
    assert found.product == fast
    assert 0 < Rates(fast, 1e-11, 4e-11).tolerable(256, 2048) < 1


def test_bounds_in_a_subspace_over_several_blocks(monkeypatch):
    monkeypatch.setattr(sweep, "BLOCK", (64, 128))
    monkeypatch.setattr(sweep, "RANK", 16)
    monkeypatch.setattr(sweep, "POOL", 64)
    monkeypatch.setattr(sweep, "CELL", 32)
    rows = clustered(700, 48)[np.random.default_rng(0).permutation(700)]
    found = k_nearest(rows, 9, method="screened")
    assert found.facts["rank"] in (19, 50)
    same(found, expected(rows, 9))
    part = k_nearest(rows, 9, method="screened", row_range=(130, 411))
    same(part, tuple(x[130:411] for x in expected(rows, 9)))
    asked = clustered(130, 48, seed=5)
    same(k_nearest(rows, 9, method="screened", queries=asked), expected(rows, 9, asked))


def nearly_equal(count, size=64, spread=0.03, seed=0):
    """Clusters in a narrow cone, as features of a network that has not learned yet."""
    return unit(np.linspace(1, 2, size) * size**-0.5 + spread * clustered(count, size, seed=seed))


ROWS = {
    "clustered": lambda count, seed=0: clustered(count, seed=seed),
    "nearly equal": lambda count, seed=0: nearly_equal(count, seed=seed),
    "all but equal": lambda count, seed=0: nearly_equal(count, spread=1e-3, seed=seed),
    "nearly equal but one": lambda count, seed=0: np.concatenate(
        [nearly_equal(count - 1, seed=seed), clustered(1, seed=seed)]
    ),
}


def exact_similarities(asked, rows):
    return asked.astype(np.float64) @ rows.astype(np.float64).T


@pytest.mark.parametrize("product", ["numpy float32", "torch float32", "torch bfloat16"])
@pytest.mark.parametrize("rank", [None, 8, 30])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("kind", "other"), [*((k, k) for k in ROWS), ("nearly equal", "clustered")])
def test_bounds_are_never_below_the_similarity(product, rank, sign, kind, other):
    rows, asked = ROWS[kind](300), ROWS[other](100, seed=1)
    about = seen(rows)
    basis = None if rank is None else screening.principal_directions(about, rank, product)
    screen = screening.make_screen(about, basis, product)
    screen_asked = screening.make_screen(centring.about(asked, about.centre), basis, product)
    if sign < 0:
        screen_asked = screen_asked.opposite(basis is not None)
    bounds = screen_asked.bounds(slice(None), screen, slice(None))
    exact = (sign * exact_similarities(asked, rows)).astype(np.float32)
    limit = screening.limit(screen_asked, screen, sign * about.shift)
    assert (bounds >= limit.least(exact)).all()


@pytest.mark.parametrize("product", ["numpy float32", "torch bfloat16"])
def test_bounds_of_nearly_equal_rows_are_as_tight_as_those_of_others(product):
    shares = []
    for rows in (clustered(300), nearly_equal(300)):
        about = seen(rows)
        screen = screening.make_screen(about, None, product)
        tenth = np.sort(exact_similarities(rows, rows).astype(np.float32), axis=1)[:, -10:-9]
        least = screening.limit(screen, screen, about.shift).least(tenth)
        shares.append((screen.bounds(slice(None), screen, slice(None)) >= least).mean())
    assert shares[1] < 1.5 * shares[0] < 0.2


@pytest.mark.parametrize("kind", list(ROWS))
def test_short_integers_keep_to_their_error(kind):
    rows = np.concatenate([ROWS[kind](200), np.eye(64, dtype=np.float32)[: 64 * (kind == "clustered")]])
    about = seen(rows)
    short, error = screening.shorten(about)
    products = short.astype(np.int64) @ short.astype(np.int64).T
    assert np.abs(products).max() < 2**31
    found = products * (about.reach / screening.SHORT_SCALE) ** 2
    offset = about.offset.astype(np.float64)
    found += offset[:, None] + offset + about.shift
    error = 2 * error * about.reach + error**2 + 8 * screening.UNIT * (about.reach**2 + 2 * about.lift + 1)
    assert np.abs(found - exact_similarities(rows, rows)).max() <= error
    assert error < 2e-3 * about.reach**2 + 1e-6


@pytest.mark.parametrize("kind", ["clustered", "nearly equal"])
def test_half_precision_decides_nearly_equal_rows_too(kind, monkeypatch):
    monkeypatch.setattr(device, "_kind", lambda rows: torch.float16)
    rows = ROWS[kind](600)
    found = k_nearest(torch.from_numpy(rows), 9, method="device")
    same(found, expected(rows, 9))
    assert found.facts["slow_rows"] == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", list(ROWS))
def test_nearly_equal_rows_have_the_same_neighbours(kind, method):
    rows, asked = ROWS[kind](400), clustered(50, seed=3)
    same(nearest(rows, 9, method), expected(rows, 9))
    same(nearest(rows, 9, method, queries=asked), expected(rows, 9, asked))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 3), st.integers(1, 12), st.integers(0, 99))
def test_ties_are_broken_by_index_in_every_method(count, size, levels, k, seed):
    rows = quantised(count, size, levels, seed)
    wanted = expected(rows, min(k, count))
    for method in METHODS:
        same(nearest(rows, k, method), wanted)


def test_the_result_does_not_depend_on_threads_or_blocks(monkeypatch):
    rows = clustered(500, 32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads, block in ((1, (64, 64)), (3, (128, 32))):
            torch.set_num_threads(threads)
            monkeypatch.setattr(sweep, "BLOCK", block)
            results.append(k_nearest(rows, 8, method="screened"))
    finally:
        torch.set_num_threads(before)
    same(results[0], (results[1].index, results[1].similarity))


def test_k_is_cut_and_empty_input_has_empty_lists():
    rows = clustered(3, 8)
    assert k_nearest(rows, 10).index.shape == (3, 3)
    assert k_nearest(np.empty((0, 8), np.float32), 4).index.shape == (0, 0)
    assert k_nearest(rows, 2, queries=rows[:0]).index.shape == (0, 2)
    assert k_nearest(torch.from_numpy(rows), 2, row_range=(1, 1)).index.shape == (0, 2)


@pytest.mark.parametrize("method", ["auto", "blocks", "screened", "device"])
def test_bad_input_is_refused_in_one_line(method):
    rows = clustered(5, 8)
    broken = rows.copy()
    broken[2, 3] = np.nan
    cases = [
        (broken, 2, {}),
        (rows * 3, 2, {}),
        (rows[0], 2, {}),
        (rows, 0, {}),
        (rows, 2, {"row_range": (3, 9)}),
    ]
    for features, k, options in cases:
        with pytest.raises(DrfmError) as caught:
            k_nearest(torch.from_numpy(features), k, method=method, **options)
        assert "\n" not in str(caught.value)


def test_faiss_measures_its_recall():
    pytest.importorskip("faiss")
    rows = clustered(600, 16)
    found = k_nearest(rows, 5, method="faiss")
    assert found.index.shape == (600, 5)
    assert found.facts["recall"] > 0.9
    missed = 1 - (found.index[:256, :, None] == expected(rows, 5)[0][:256, None]).any(2).mean()
    assert missed < 0.2


def _rank(rank, folder):
    import torch.distributed as dist

    from drfm.labels.distributed import neighbours_distributed

    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    found = neighbours_distributed(clustered(301, 24), 6)
    np.savez(Path(folder) / f"{rank}.npz", index=found.index, similarity=found.similarity)
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_find_the_same(tmp_path, monkeypatch):
    import multiprocessing

    monkeypatch.syspath_prepend(
        str(Path(__file__).parents[2])
    )  # the new processes import this module by name
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=_rank, args=(rank, str(tmp_path))) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    wanted = expected(clustered(301, 24), 6)
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            np.testing.assert_array_equal(found["index"], wanted[0])
            np.testing.assert_array_equal(found["similarity"], wanted[1])


def test_without_a_process_group_it_is_the_plain_search():
    from drfm.labels.distributed import neighbours_distributed

    rows = clustered(50, 8)
    same(neighbours_distributed(rows, 4), expected(rows, 4))


@pytest.mark.parametrize("size", [40, 600])
@pytest.mark.parametrize("method", ["blocks", "screened"])
def test_opposite_is_the_search_for_minus_the_rows(size, method):
    random = np.random.default_rng(size)
    rows = random.normal(size=(300, size)).astype(np.float32) + 0.5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = k_nearest(rows, 3, queries=-rows, method="blocks")
    found = k_nearest(rows, 3, opposite=True, method=method)
    assert np.array_equal(found.index, expected.index)
    assert np.array_equal(found.similarity, expected.similarity)

"""Work in threads, in order."""

import threading
import time

import pytest

from drfm.data.parallel import ahead, map_files


@pytest.mark.parametrize(("workers", "depth"), [(1, 0), (1, 4), (3, 2), (3, 100)])
def test_results_come_in_order(workers, depth):
    def slow(job):
        time.sleep(0.001 * (job % 3))
        return 10 * job

    assert list(ahead(slow, range(20), workers=workers, depth=depth)) == [10 * job for job in range(20)]
    assert list(ahead(slow, [], workers=workers, depth=depth)) == []


def test_no_more_is_drawn_than_may_wait():
    drawn = []

    def jobs():
        for job in range(9):
            drawn.append(job)
            yield job

    results = ahead(str, jobs(), depth=2)
    assert next(results) == "0"
    assert drawn == [0, 1, 2]
    results.close()


def test_an_error_of_the_jobs_comes_after_the_results_before_it():
    def jobs():
        yield 1
        yield 2
        raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(ahead(abs, jobs(), depth=5))  # extend keeps what came before the error
    assert seen == [1, 2]


def test_an_error_of_the_function_is_raised_in_its_turn():
    results = ahead(lambda job: 1 / job, [1, 2, 0, 3])
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_jobs_are_drawn_where_the_results_are_used():
    here = threading.current_thread()

    def jobs():
        assert threading.current_thread() is here
        yield 0

    (thread,) = ahead(lambda job: threading.current_thread(), jobs())
    assert thread is not here


def test_map_files_gives_results_to_done_in_order():
    seen = []
    assert map_files(str, [3, 1, 2], "numbers", workers=2, done=seen.append) == ["3", "1", "2"]
    assert seen == ["3", "1", "2"]

"""Finished images survive what may happen to their file."""

import numpy as np

from drfm.resolution.finished import FILE, Finished, digest


def image_of(value):
    return np.full((4, 2, 3), value, dtype=np.uint8)


def test_kept_and_found_again(tmp_path):
    keys = [digest(image_of(value), 4) for value in range(3)]
    done = Finished(tmp_path, (4, 2))
    for value, key in enumerate(keys):
        assert done.get(key) is None
        done.add(key, image_of(10 * value))
        np.testing.assert_array_equal(done.get(key), image_of(10 * value))
    done.close()
    again = Finished(tmp_path, (4, 2))
    assert len(again) == 3
    for value, key in enumerate(keys):
        np.testing.assert_array_equal(again.get(key), image_of(10 * value))


def test_digest_tells_pixels_shape_and_rate():
    image = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    others = [digest(image, 2), digest(image.reshape(2, 4, 3), 4), digest(image + 1, 4)]
    assert len({digest(image, 4), *others}) == 4
    assert digest(np.asfortranarray(image), 4) == digest(image, 4)


def test_a_record_that_was_cut_is_dropped_and_a_damaged_one_missing(tmp_path):
    done = Finished(tmp_path, (4, 2))
    keys = [bytes([value]) * 32 for value in range(3)]
    for value, key in enumerate(keys):
        done.add(key, image_of(value))
    done.close()
    raw = bytearray((tmp_path / FILE).read_bytes())
    raw[50] ^= 1
    (tmp_path / FILE).write_bytes(raw[:-5])
    again = Finished(tmp_path, (4, 2))
    assert again.get(keys[0]) is None
    np.testing.assert_array_equal(again.get(keys[1]), image_of(1))
    assert again.get(keys[2]) is None
    again.add(keys[2], image_of(2))
    again.add(keys[0], image_of(0))
    again.close()
    last = Finished(tmp_path, (4, 2))
    for value, key in enumerate(keys):
        np.testing.assert_array_equal(last.get(key), image_of(value))

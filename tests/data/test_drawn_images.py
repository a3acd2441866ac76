"""Drawn pedestrians: what a picture depends on, and on what it does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.data.drawn import draw_person_image
from drfm.data.drawn.cloth import torso
from drfm.data.drawn.looks import make_person
from drfm.data.drawn.pose import View, draw_pose
from drfm.data.drawn.surface import Canvas, Light, ball, ellipse_view, noise_tile, tube
from drfm.errors import DrfmError

LIGHT = Light((0.0, 0.0, 1.0), 0.5, 0.5)


def _canvas(height=40, width=30):
    return Canvas(np.zeros((height, width, 3), dtype=np.float32), LIGHT)


def test_near_pictures_are_large_and_far_ones_small():
    for shot in range(3):
        near, far = draw_person_image(1, 0, shot, 0), draw_person_image(1, 1, shot, 0)
        assert near.dtype == far.dtype == np.uint8
        assert 216 <= near.shape[0] <= 280
        assert 44 <= far.shape[0] <= 92
        for image in (near, far):
            assert image.shape[2] == 3
            assert 0.3 < image.shape[1] / image.shape[0] < 0.6
            assert image.std() > 10


def test_equal_arguments_give_equal_pixels_whatever_was_drawn_before():
    first = draw_person_image(3, 1, 2, 7)
    np.random.seed(0)  # noqa: NPY002 - the global state must not matter
    draw_person_image(4, 0, 0, 7)
    np.testing.assert_array_equal(first, draw_person_image(3, 1, 2, 7))


def test_each_argument_changes_the_picture():
    base = draw_person_image(3, 1, 2, 7)
    for other in ((4, 1, 2, 7), (3, 0, 2, 7), (3, 1, 3, 7), (3, 1, 2, 8)):
        image = draw_person_image(*other)
        assert image.shape != base.shape or (image != base).mean() > 0.5


def test_looks_depend_on_person_and_seed_only():
    make_person.cache_clear()
    a = make_person(5, 1)
    draw_person_image(5, 0, 9, 1)
    make_person.cache_clear()
    assert make_person(5, 1) == a
    assert make_person(6, 1) != a
    assert make_person(5, 2) != a


def test_persons_share_clothes_and_bags():
    persons = [make_person(number, 0) for number in range(120)]
    assert len({p.top.kind for p in persons}) == 9
    assert len({p.bag.kind for p in persons}) == 5
    assert len({p.bottom.kind for p in persons}) == 3
    dark = sum(max(p.top.colour) < 0.4 for p in persons)
    assert 30 < dark < 90, "many persons wear dark tops, and many do not"
    wrapped = [p for p in persons if p.head.hat == "scarf"]
    assert all(p.top.sleeve > 0.9 and not p.head.beard for p in wrapped)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((-1, 0, 0, 0), "person"), ((0, 2, 0, 0), "camera"), ((0, 0, -1, 0), "shot"), ((0, 0, 0, -1), "seed")],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(DrfmError, match=f"^{name} = "):
        draw_person_image(*arguments)


def test_tube_covers_its_area_and_nothing_else():
    canvas = _canvas()
    tube(canvas, (15.0, 5.0), (15.0, 35.0), [(0, 4.0), (1, 4.0)], (1.0, 1.0, 1.0), lit=False)
    assert canvas.rgb[..., 0].sum() == pytest.approx(8 * 30, rel=0.02)
    assert not canvas.rgb[:, :9].any()
    assert not canvas.rgb[36:].any()


def test_tube_is_brightest_where_it_faces_the_light():
    canvas = _canvas()
    tube(canvas, (15.0, 0.0), (15.0, 40.0), [(0, 8.0), (1, 8.0)], (1.0, 1.0, 1.0))
    row = canvas.rgb[20, :, 0]
    assert row.argmax() in (14, 15)
    assert row[15] == pytest.approx(1.0, abs=0.01)
    assert row[9] < 0.9


def test_texture_turns_with_the_body():
    """The front, azimuth 0, is in the middle, at the right edge or hidden as the body turns."""
    for yaw, seen in ((0.0, 15), (np.pi / 3, 22), (np.pi, None)):
        canvas = _canvas()
        half, offset = ellipse_view(8.0, 8.0, yaw)
        tube(canvas, (15.0, 0.0), (15.0, 40.0), [(0, half), (1, half)],
             lambda a, v: np.repeat((np.abs(a)[..., None] < 0.25).astype(np.float32), 3, 2),
             offset=offset, lit=False)  # fmt: skip
        row = canvas.rgb[20, :, 0]
        if seen is None:
            assert row.max() < 0.1
        else:
            assert abs(int(row.argmax()) - seen) <= 2


@given(st.floats(0.5, 9), st.floats(0.5, 9), st.floats(-7, 7))
def test_ellipse_view_is_the_outline_of_the_turned_ellipse(across, deep, yaw):
    turn = np.linspace(0, 2 * np.pi, 2000)
    screen = across * np.sin(turn) * np.cos(yaw) + deep * np.cos(turn) * np.sin(yaw)
    assert ellipse_view(across, deep, yaw)[0] == pytest.approx(screen.max(), rel=1e-3)


def test_ball_shows_the_front_of_the_body_at_yaw_zero_and_the_back_at_pi():
    seen = []

    def record(left, up, front):
        seen.append((up, front))
        return np.ones((*left.shape, 3), dtype=np.float32)

    for yaw in (0.0, np.pi):
        ball(_canvas(), (15.0, 20.0), (8.0, 10.0), record, yaw=yaw)
    for (up, front), sign in zip(seen, (1, -1), strict=True):
        row, column = front.shape[0] // 2, front.shape[1] // 2
        assert sign * front[row, column] > 0.9
        assert up[0, column] > 0.8


@pytest.mark.parametrize("at", [(-50.0, 10.0), (15.0, 500.0), (900.0, 10.0)])
def test_parts_off_the_canvas_are_left_out(at):
    canvas = _canvas()
    ball(canvas, at, (5.0, 5.0), (1.0, 1.0, 1.0))
    tube(canvas, at, (at[0], at[1] + 5), [(0, 3.0), (1, 3.0)], (1.0, 1.0, 1.0))
    assert not canvas.rgb.any()


def test_tube_without_length_is_harmless():
    canvas = _canvas()
    tube(canvas, (15.0, 15.0), (15.0, 15.0), [(0, 3.0), (1, 3.0)], (1.0, 1.0, 1.0))
    assert np.isfinite(canvas.rgb).all()


def test_noise_tiles_are_centred_and_of_unit_spread():
    for blur in (0.0, 8.0):
        tile = noise_tile(blur)
        assert tile.mean() == pytest.approx(0, abs=1e-3)
        assert tile.std() == pytest.approx(1, abs=1e-3)


def test_view_turns_left_and_depth():
    left = (1.0, 0.5, 0.0)
    front = View(0.0, 0.0, 100.0, (50.0, 200.0))
    assert front(left) == pytest.approx((150.0, 150.0))
    side = View(np.pi / 2, 0.0, 100.0, (50.0, 200.0))
    assert side.depth(left) == pytest.approx(-1.0)
    assert side((0.0, 0.0, 1.0)) == pytest.approx((150.0, 200.0))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 500), st.integers(0, 500))
def test_poses_keep_limbs_together_and_one_foot_down(number, shot):
    person = make_person(number, 0)
    pose = draw_pose(person, np.random.default_rng(shot))

    def length(a, b):
        return float(np.linalg.norm(np.subtract(a, b)))

    for side in (0, 1):
        assert length(pose.shoulders[side], pose.elbows[side]) == pytest.approx(0.168, abs=0.005)
        assert length(pose.elbows[side], pose.wrists[side]) == pytest.approx(0.158, abs=0.005)
        assert 0.18 < length(pose.hips[side], pose.knees[side]) < 0.27
        assert pose.ankles[side][1] > 0.03
    assert min(ankle[1] for ankle in pose.ankles) == pytest.approx(0.035)


@pytest.mark.parametrize("number", range(12))
def test_garment_colours_stay_in_range(number):
    azimuth, place = np.meshgrid(np.linspace(-3.1, 3.1, 40), np.linspace(0, 1.5, 50))
    rgb = torso(make_person(number, 0))(azimuth.astype(np.float32), place.astype(np.float32))
    assert rgb.shape == (50, 40, 3)
    assert rgb.min() >= 0
    assert rgb.max() <= 1.3

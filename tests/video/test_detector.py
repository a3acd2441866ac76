import numpy as np
import pytest

from drfm.errors import DrfmError
from drfm.video.detector import Detector, suppress

FRAME = np.full((64, 64, 3), 100, np.uint8)
WIDE = np.full((100, 200, 3), 100, np.uint8)


def yolov8(boxes, scores, person=0, classes=80, count=40):
    """``(1, 4 + classes, count)`` with centres and sizes."""
    answer = np.zeros((1, 4 + classes, count), np.float32)
    answer[0, :4, : len(boxes)] = np.transpose(boxes)
    answer[0, 4 + person, : len(boxes)] = scores
    return np.pad(answer, ((0, 0), (0, 0), (0, max(0, classes + 5 - count))))


def yolov5(boxes, scores, objectness, classes=80, count=120):
    answer = np.zeros((1, count, 5 + classes), np.float32)
    answer[0, : len(boxes), :4] = boxes
    answer[0, : len(boxes), 4] = objectness
    answer[0, : len(boxes), 5] = scores
    return answer


@pytest.fixture
def detector(made, tmp_path):
    def build(answer, **options):
        of_file = {
            name: options.pop(name) for name in ("inputs", "names", "dtype", "outputs") if name in options
        }
        return Detector(made.write_detector(tmp_path / "d.onnx", answer, **of_file), **options)

    return build


def test_yolov8_takes_the_class_of_persons_and_drops_doubles(detector):
    boxes = [(20, 30, 10, 20), (21, 30, 10, 20), (50, 30, 10, 20), (50, 31, 4, 4)]
    found, scores = detector(yolov8(boxes, [0.6, 0.9, 0.3, 0.1]))(FRAME)
    assert found.tolist() == [[16, 20, 26, 40], [45, 20, 55, 40]]
    assert scores.tolist() == pytest.approx([0.9, 0.3])


def test_another_class_is_no_person(detector):
    answer = yolov8([(20, 30, 10, 20)], [0.9], person=2)
    assert len(detector(answer)(FRAME)[0]) == 0
    assert len(detector(answer, person=2)(FRAME)[0]) == 1
    assert len(detector(answer, names="{0: 'car', 1: 'dog', 2: 'person'}")(FRAME)[0]) == 1


def test_yolov5_multiplies_by_objectness(detector):
    answer = yolov5([(20, 30, 10, 20), (50, 30, 10, 20)], [0.9, 0.9], [0.5, 0.2])
    found, scores = detector(answer)(FRAME)
    assert found.tolist() == [[15, 20, 25, 40]]
    assert scores.tolist() == pytest.approx([0.45])


def test_end_to_end_is_taken_as_it_is(detector):
    rows = [(15, 20, 25, 40, 0.4, 0), (16, 20, 26, 40, 0.8, 0), (0, 0, 9, 9, 0.9, 2), (0, 0, 9, 9, 0.1, 0)]
    found, scores = detector([rows])(FRAME)
    assert found.tolist() == [[16, 20, 26, 40], [15, 20, 25, 40]]
    assert scores.tolist() == pytest.approx([0.8, 0.4])


def test_one_class_of_yolov5_has_to_be_named(detector):
    answer = yolov5([(20, 30, 10, 20)], [0.9], [1.0], classes=1)
    with pytest.raises(DrfmError, match="confidences from"):
        # Its height is read as the bottom and its class as a number of it, so nothing is a person by chance.
        detector(answer * [1, 1, 1, 1, 5, 0])(FRAME)
    assert detector(answer, layout="yolov5")(FRAME)[0].tolist() == [[15, 20, 25, 40]]


def test_boxes_return_to_the_frame_from_the_border(detector):
    # 200 x 100 becomes 64 x 32 in the middle of 64 x 64, so a pixel is 0.32 and rows begin at 16.
    found, _ = detector([[(6.4, 19.2, 12.8, 35.2, 0.9, 0)]])(WIDE)
    assert found[0].tolist() == pytest.approx([20, 10, 40, 60], abs=1e-4)


def test_a_frame_reaches_the_network_in_its_colours_and_place(made, tmp_path):
    network = Detector(made.write_red_detector(tmp_path / "red.onnx"))
    frame = made.picture([(40, 30, 20, 60, (250, 0, 0))])
    found, scores = network(frame)
    assert found[0].tolist() == pytest.approx([40, 30, 60, 90], abs=1)
    assert scores.tolist() == pytest.approx([0.8])
    assert len(network(frame[:, :, ::-1].copy())[0]) == 0


def test_no_boxes(detector):
    boxes, scores = detector(np.zeros((1, 0, 6)))(FRAME)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_boxes_that_are_no_numbers_are_left_out(detector):
    rows = [
        (np.nan, 0, 5, 5, 0.9, 0),
        (0, 0, 5, np.inf, 0.9, 0),
        (0, 0, 5, 5, np.nan, 0),
        (0, 0, 6, 6, 0.9, 0),
    ]
    assert detector([rows])(FRAME)[0].tolist() == [[0, 0, 6, 6]]


def test_open_and_half_precision_inputs(made, detector):
    rows = [[(0, 0, 320, 640, 0.9, 0)]]
    assert detector(rows, inputs=((1, 3, None, None),))(FRAME)[0].tolist() == [[0, 0, 32, 64]]
    half = made.TensorProto.FLOAT16
    assert len(detector(rows, inputs=(("batch", 3, 64, 64),), dtype=half)(FRAME)[0]) == 1


@pytest.mark.parametrize(
    ("answer", "options", "message"),
    [
        (np.zeros((1, 40, 40)), {}, r"gives \[1, 40, 40\]; expected \(1, 4 \+ classes, N\)"),
        (np.zeros((2, 9, 40)), {}, r"gives \[2, 9, 40\]; expected"),
        (np.zeros((40, 6)), {}, r"gives \[40, 6\]; expected"),
        (np.zeros((1, 40, 9)), {"layout": "end-to-end"}, "not end-to-end; expected"),
        (np.zeros((1, 84, 85)), {"person": 80}, "has 80 classes, and no class 80"),
        (np.zeros((1, 84, 80)), {}, "may be YOLOX"),
        (np.full((1, 7, 40), 3.0), {}, "confidences from 3 to 3; expected 0..1"),
        (np.zeros((1, 40, 6)), {"outputs": 2}, "gives 2 arrays; expected one"),
        (np.zeros((1, 40, 6)), {"inputs": ((1, 1, 64, 64),)}, r"takes \[1, 1, 64, 64\] of tensor\(float\)"),
        (np.zeros((1, 40, 6)), {"inputs": ((2, 3, 64, 64),)}, "expected one image"),
        (np.zeros((1, 40, 6)), {"inputs": ((1, 3, 64, 64), (1, 2))}, "expected one image"),
        (np.zeros((1, 40, 6)), {"dtype": 2}, r"tensor\(uint8\); expected one image"),
        (
            np.zeros((1, 40, 6)),
            {"names": "{0: 'car', 1: 'dog'}"},
            r"none of its classes \(car, dog\) is a person",
        ),
    ],
)
def test_other_networks_are_refused_in_one_line(detector, answer, options, message):
    with pytest.raises(DrfmError, match=message) as error:
        detector(answer, **options)(FRAME)
    assert "\n" not in str(error.value)


def test_a_missing_and_a_broken_file(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(DrfmError, match="no such file"):
        Detector(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(DrfmError, match="cannot be opened as an ONNX model"):
        Detector(tmp_path / "bad.onnx")


def test_suppression_equals_its_definition():
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 40, (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 30, (60, 2))], axis=1)

    def iou(a, b):
        common = np.prod(np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])))
        return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)

    kept = suppress(boxes, 0.5)
    for row in range(60):
        covered = any(iou(boxes[row], boxes[other]) > 0.5 for other in kept if other < row)
        assert (row in kept) == (not covered)
    assert suppress(np.zeros((0, 4)), 0.5) == []

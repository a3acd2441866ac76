"""Videos, lists of boxes and detectors that the tests of this room make."""

from fractions import Fraction

import av
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from drfm.data.drawn import draw_person_image

SIZE = (120, 160)
RED, BLUE = (220, 30, 30), (30, 40, 220)


def walker(at, *, top=30, height=60, width=24, start=10, step=4):
    """Left, top, width and height of a figure that walks to the right, in frame ``at`` from 0."""
    return (start + step * at, top, width, height)


def picture(boxes, size=SIZE):
    """A grey frame with a striped, coloured rectangle for each (left, top, width, height, colour)."""
    image = np.full((*size, 3), 90, np.uint8)
    for left, top, width, height, colour in boxes:
        image[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = colour
        image[
            max(top + height // 2, 0) : max(top + height // 2 + 4, 0), max(left, 0) : max(left + width, 0)
        ] = 240
    return image


def film(frames=20):
    """Pictures of one walker in red."""
    return [picture([(*walker(at), RED)]) for at in range(frames)]


def street(frames=12, size=(200, 320)):
    """A drawn pedestrian who walks before a plain wall, and the boxes of it."""
    person = draw_person_image(person=3, camera=0, shot=1, seed=0)
    height, width = (side // 2 * 2 for side in person.shape[:2])
    person = person[: min(height, 160), : min(width, 90)]
    height, width = person.shape[:2]
    images, boxes = [], []
    for at in range(frames):
        image = np.full((*size, 3), 128, np.uint8)
        left = 20 + 8 * at
        image[20 : 20 + height, left : left + width] = person
        images.append(image)
        boxes.append((left, 20, width, height))
    return images, boxes


def write_video(path, images, *, rate=10, codec="ffv1", pixels="bgr0", first_pts=0):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, rate)
        for at, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = first_pts + at, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_boxes(path, boxes, *, track=7, confidence=0.9):
    """A list of one track, from frame 1."""
    lines = [
        f"{at},{track},{left},{top},{width},{height},{confidence},-1,-1,-1"
        for at, (left, top, width, height) in enumerate(boxes, 1)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_detector(path, answer, *, inputs=((1, 3, 64, 64),), names=None, dtype=TensorProto.FLOAT, outputs=1):
    """A network that looks at nothing and always gives ``answer``.

    It adds 0 times the mean of its input, so that the input is part of the graph.
    """
    answer = np.asarray(answer, np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["cast"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        *(helper.make_node("Add", ["answer", "nothing"], [f"out{number}"]) for number in range(outputs)),
    ]
    given = [helper.make_tensor_value_info("images", dtype, inputs[0])]
    given += [
        helper.make_tensor_value_info(f"more{number}", dtype, shape)
        for number, shape in enumerate(inputs[1:])
    ]
    out = [
        helper.make_tensor_value_info(f"out{number}", TensorProto.FLOAT, answer.shape)
        for number in range(outputs)
    ]
    constants = [
        numpy_helper.from_array(answer, "answer"),
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
    ]
    return _save(path, nodes, given, out, constants, names)


def write_red_detector(path, side=160):
    """A network that finds red: one box, end to end, from the extent of red pixels, if there are any.

    The mean of weighted coordinates would do for one box; here the extent is the largest and the smallest
    coordinate of a red pixel, which is exact.
    """
    rows = np.arange(side, dtype=np.float32).reshape(1, 1, side, 1)
    columns = np.arange(side, dtype=np.float32).reshape(1, 1, 1, side)
    make = helper.make_node
    nodes = [
        make("Split", ["images"], ["r", "g", "b"], axis=1, num_outputs=3),
        make("Sub", ["r", "g"], ["more"]),
        make("Greater", ["more", "limit"], ["is"]),
        make("Cast", ["is"], ["red"], to=TensorProto.FLOAT),
        make("Sub", ["one", "red"], ["other"]),
        make("Mul", ["other", "far"], ["push"]),
    ]
    for axis, grid in (("x", "columns"), ("y", "rows")):
        nodes += [
            make("Add", ["push", grid], [f"low_{axis}"]),
            make("ReduceMin", [f"low_{axis}"], [f"{axis}1"], keepdims=0),
            make("Sub", [grid, "push"], [f"high_{axis}"]),
            make("ReduceMax", [f"high_{axis}"], [f"last_{axis}"], keepdims=0),
            make("Add", [f"last_{axis}", "one"], [f"{axis}2"]),
        ]
    nodes += [
        make("ReduceMax", ["red"], ["any"], keepdims=0),
        make("Mul", ["any", "sure"], ["score"]),
        make("Sub", ["one", "one"], ["class"]),
    ]
    names = ["x1", "y1", "x2", "y2", "score", "class"]
    nodes += [make("Reshape", [name, "single"], [f"{name}_"]) for name in names]
    nodes.append(make("Concat", [f"{name}_" for name in names], ["out0"], axis=2))
    constants = [
        numpy_helper.from_array(value, name)
        for name, value in {
            "rows": rows, "columns": columns, "limit": np.array(0.4, np.float32),
            "one": np.array(1, np.float32), "far": np.array(1e4, np.float32),
            "sure": np.array(0.8, np.float32), "single": np.array([1, 1, 1], np.int64),
        }.items()
    ]  # fmt: skip
    given = [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, side, side))]
    out = [helper.make_tensor_value_info("out0", TensorProto.FLOAT, (1, 1, 6))]
    return _save(path, nodes, given, out, constants, "{0: 'person', 1: 'car'}")


def _save(path, nodes, given, out, constants, names):
    graph = helper.make_graph(nodes, "made", given, out, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if names is not None:
        helper.set_model_props(model, {"names": names})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path

"""Person detectors in ONNX files, as exported from the YOLO family (extra ``onnx``)."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from drfm.errors import DrfmError
from drfm.onnxfile import open_onnx
from drfm.video.choices import Layout
from drfm.video.tracking import overlaps

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

SIDE = 640
"""Side of the input where the file leaves it open."""
SAME_IOU = 0.6
"""Boxes that overlap more are one person, for outputs that come without suppression."""
LEAST = 0.25
"""Confidence below which boxes are left out, by default."""
MOST = 1000
"""Most confident boxes of a frame that are looked at."""
_GREY = 114
"""Border around a frame of other proportions, as in the family's own training."""
_PERSON = frozenset({"person", "persons", "people", "pedestrian", "human"})
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_EXPECTED = "(1, 4 + classes, N), (1, N, 5 + classes) or, end to end, (1, N, 6)"


class Detector:
    """Finds persons in frames.

    The network gets one frame at a time: RGB, 0..1, resized to fit and centred on grey, ``(1, 3, H, W)``.
    Three forms of answer are known, in pixels of that input:

    - ``yolov8``: ``(1, 4 + C, N)``, centre, width and height, then a confidence for each class;
    - ``yolov5``: ``(1, N, 5 + C)``, centre, width and height, objectness, confidences that it multiplies;
    - ``end-to-end``: ``(1, N, 6)``, left, top, right, bottom, confidence, class, without double boxes.

    ``auto`` goes by the shape and reads ``(1, N, 6)`` as ``end-to-end``.

    Args:
        file: the ONNX file.
        layout: form of the answer.
        person: number of the class; ``None`` takes the one that the file's own names call a person, and 0 (as
            in COCO) where it has no names.
        least: boxes below this confidence are left out.
        threads: of the processor; 0 leaves their number to ONNX Runtime.

    Raises:
        DrfmError: onnxruntime is missing, or the file is missing, damaged or no such detector.
    """

    def __init__(
        self,
        file: Path,
        *,
        layout: Layout = "auto",
        person: int | None = None,
        least: float = LEAST,
        threads: int = 0,
    ) -> None:
        self.file, self._layout, self._least = file, layout, least
        self._session = open_onnx(
            file, threads, user="a detector", missing="give a person detector as an ONNX file"
        )
        about = self._session.get_modelmeta().custom_metadata_map
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        fits = len(shape) == 4 and shape[1] == 3 and not (isinstance(shape[0], int) and shape[0] != 1)
        if not fits or inputs[0].type not in _TYPES:
            found = ", ".join(f"{one.shape} of {one.type}" for one in inputs)
            raise DrfmError(f"{file}: takes {found}; expected one image (1, 3, height, width) of floats")
        if len(outputs) != 1:
            raise DrfmError(f"{file}: gives {len(outputs)} arrays; expected one, {_EXPECTED}")
        self._name, self._type = inputs[0].name, _TYPES[inputs[0].type]
        self._size = _size(shape, about.get("imgsz", ""))
        self._person = _person(about.get("names", ""), file) if person is None else person

    def __call__(self, image: Pixels) -> tuple[Floats, Floats]:
        """Boxes of persons in a frame, most confident first.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.

        Returns:
            ``(N, 4)`` left, top, right, bottom in pixels of the frame, which they may leave, and
            ``(N,)`` confidences.

        Raises:
            DrfmError: the network cannot be run, or its answer has another form.
        """
        given, scale, offset = _letterbox(image, self._size)
        pixels = given.transpose(2, 0, 1)[None].astype(self._type) / self._type(255)
        try:
            (raw,) = self._session.run(None, {self._name: pixels})
        except Exception as error:  # the library's exceptions have no common base
            raise DrfmError(f"{self.file}: cannot be run ({' '.join(str(error).split())[:120]})") from None
        boxes, scores, double = self._read(np.asarray(raw))
        wanted = np.isfinite(boxes).all(axis=1) & (scores >= self._least)
        rows = np.flatnonzero(wanted)
        rows = rows[np.argsort(-scores[rows], kind="stable")][:MOST]
        boxes, scores = boxes[rows], scores[rows]
        if double:
            kept = suppress(boxes, SAME_IOU)
            boxes, scores = boxes[kept], scores[kept]
        return (boxes - np.tile(offset, 2)) / scale, scores

    def _read(self, raw: npt.NDArray[Any]) -> tuple[Floats, Floats, bool]:
        """Boxes and confidences of persons, and whether one person may have several boxes."""
        layout = self._layout if self._layout != "auto" else self._recognise(raw.shape)
        fits = raw.ndim == 3 and raw.shape[0] == 1
        if layout == "yolov8" and fits:
            table = raw[0].T.astype(np.float64)
            classes, certain = table[:, 4:], np.ones(len(table))
        elif layout == "yolov5" and fits:
            table = raw[0].astype(np.float64)
            classes, certain = table[:, 5:], table[:, 4:5].reshape(-1)
        elif layout == "end-to-end" and fits and raw.shape[2] == 6:
            table = raw[0].astype(np.float64)
            scores = np.where(np.round(table[:, 5]) == self._person, table[:, 4], 0.0)
            return table[:, :4], self._checked(scores), False
        else:
            raise DrfmError(f"{self.file}: gives {list(raw.shape)}, not {layout}; expected {_EXPECTED}")
        if not 0 <= self._person < classes.shape[1]:
            raise DrfmError(
                f"{self.file}: has {max(classes.shape[1], 0)} classes, and no class {self._person}; "
                "give --person-class or --layout"
            )
        half = table[:, 2:4] / 2
        boxes = np.concatenate([table[:, :2] - half, table[:, :2] + half], axis=1)
        return boxes, self._checked(certain * classes[:, self._person]), True

    def _recognise(self, shape: tuple[int, ...]) -> Layout:
        if len(shape) == 3 and shape[0] == 1:
            if shape[2] == 6:
                return "end-to-end"
            if 5 <= shape[1] < shape[2]:
                return "yolov8"
            if 7 <= shape[2] < shape[1]:
                if shape[1] == sum((self._size[0] // step) * (self._size[1] // step) for step in (8, 16, 32)):
                    raise DrfmError(
                        f"{self.file}: gives {list(shape)}, which may be YOLOX, which differs; "
                        "give --layout yolov5 if it takes RGB in 0..1 and gives pixels"
                    )
                return "yolov5"
        raise DrfmError(f"{self.file}: gives {list(shape)}; expected {_EXPECTED}")

    def _checked(self, scores: Floats) -> Floats:
        scores = np.nan_to_num(scores, nan=0.0)
        if scores.size and (scores.min() < -1e-3 or scores.max() > 1 + 1e-3):
            raise DrfmError(
                f"{self.file}: gives confidences from {scores.min():.3g} to {scores.max():.3g}; "
                "expected 0..1; export it with its activation, or give another --layout"
            )
        return np.clip(scores, 0.0, 1.0)


def suppress(boxes: Floats, most: float) -> list[int]:
    """Rows that are left when each box, in order, removes those behind it that overlap it more than ``most``.

    Args:
        boxes: ``(N, 4)`` left, top, right, bottom, best first.
        most: intersection over union, 0..1.
    """
    kept: list[int] = []
    for row in range(len(boxes)):
        if not kept or overlaps(boxes[row : row + 1], boxes[kept]).max() <= most:
            kept.append(row)
    return kept


def _letterbox(image: Pixels, size: tuple[int, int]) -> tuple[Pixels, float, Floats]:
    """The frame in the network's size on grey, the factor on its pixels, and (x, y) of its corner."""
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size[1] - inner[0]) // 2, (size[0] - inner[1]) // 2
    canvas = np.full((*size, 3), _GREY, np.uint8)
    small = Image.fromarray(image).resize(inner, Image.Resampling.BILINEAR)
    canvas[top : top + inner[1], left : left + inner[0]] = np.asarray(small)
    return canvas, scale, np.array([left, top], np.float64)


def _size(shape: list[Any], said: str) -> tuple[int, int]:
    """Height and width of the input: as fixed in the file, else as its metadata say, else ``SIDE``."""
    sides = _literal(said)
    given = sides if isinstance(sides, list | tuple) and len(sides) == 2 else (SIDE, SIDE)
    height, width = (
        fixed if isinstance(fixed, int) and fixed > 0 else int(other)
        for fixed, other in zip(shape[2:], given, strict=True)
    )
    return height, width


def _person(said: str, file: Path) -> int:
    names = _literal(said)
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        return 0
    for number, name in names.items():
        if str(name).strip().lower() in _PERSON:
            return int(number)
    shown = ", ".join(str(name) for name in list(names.values())[:5])
    raise DrfmError(f"{file}: none of its classes ({shown}) is a person; give --person-class")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None

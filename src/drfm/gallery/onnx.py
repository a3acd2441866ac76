"""The encoder of an exported ONNX file on ONNX Runtime (extra ``onnx``). No torch is needed here."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drfm.data.records import Resolution
from drfm.errors import DrfmError
from drfm.gallery.bundle import check_record
from drfm.gallery.encoder import Encoder, Pixels, Vectors
from drfm.onnxfile import open_onnx

RECORD_KEY = "drfm"
"""Entry of the file's metadata that holds the record of the bundle, as JSON."""


class OnnxEncoder(Encoder):
    """See :class:`drfm.gallery.encoder.Encoder`; resizing and twins are part of the graph.

    Crops of one size and resolution share a forward pass.

    Args:
        file: what `drfm export --onnx` wrote.
        threads: of the processor; 0 leaves their number to ONNX Runtime.

    Raises:
        DrfmError: onnxruntime is not installed, or the file is missing, damaged or no such export.
    """

    def __init__(self, file: str | Path, *, threads: int = 0) -> None:
        missing = f"`drfm export --onnx {file} BUNDLE` writes one"
        self._session = open_onnx(Path(file), threads, user="this engine", missing=missing)
        text = self._session.get_modelmeta().custom_metadata_map.get(RECORD_KEY)
        if text is None:
            raise DrfmError(
                f"{file}: was not exported by drfm; `drfm export --onnx {file} BUNDLE` writes one"
            )
        super().__init__(check_record(json.loads(text), Path(file)))

    def _vectors(self, captures: Sequence[Pixels], resolutions: Sequence[Resolution]) -> Vectors:
        groups: dict[tuple[tuple[int, ...], Resolution], list[int]] = {}
        for row, (capture, resolution) in enumerate(zip(captures, resolutions, strict=True)):
            groups.setdefault((capture.shape, resolution), []).append(row)
        vectors = np.empty((len(captures), self.dimension), np.float32)
        for (_, resolution), rows in groups.items():
            images = np.stack([captures[row] for row in rows])
            given = {"images": images, "lr": np.array(resolution == "lr")}
            (vectors[rows],) = self._session.run(None, given)
        return vectors

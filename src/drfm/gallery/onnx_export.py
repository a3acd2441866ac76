"""A bundle as one ONNX file: raw bytes of crops in, unit vectors out (extra ``onnx``)."""

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from drfm.errors import DrfmError
from drfm.evaluation.evaluate import feature_of
from drfm.files import write_atomic
from drfm.gallery.bundle import Bundle
from drfm.gallery.onnx import RECORD_KEY
from drfm.gallery.onnx_images import images_model, output_name
from drfm.gallery.torch_engine import load_bundled_model
from drfm.models.backbone import Backbone
from drfm.models.extract import merged_spaces
from drfm.models.folding import folded
from drfm.resolution.pairs import Source

OPSET = 18


class _Vectors(nn.Module):
    """From the normalised images of pairs to their vectors."""

    def __init__(self, network: nn.Module, features: str, flip: bool) -> None:
        super().__init__()
        self.network, self.features, self.flip = network, features, flip

    def forward(self, *images: Tensor) -> Tensor:
        spaces = merged_spaces(self.network, list(images), self.flip)
        return feature_of(spaces, self.features)


class _HalfBackbone(nn.Module):
    """A backbone that computes in float16, between float32 inputs and outputs."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone.half()

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.backbone(images.half())
        return maps.float()


def export_onnx(bundle: Bundle, file: Path, precision: Literal["float32", "float16"] = "float32") -> None:
    """Write preparation, encoders and fusion of a bundle as one ONNX graph.

    Inputs: ``images``, ``(B, H, W, 3)`` uint8 RGB crops of one size, any size; ``lr``, one bool, whether
    they are blurry captures. Output: ``vectors``, ``(B, D)`` float32 unit rows. The record of the bundle lies
    in the metadata of the file.

    Args:
        bundle: as :func:`drfm.gallery.bundle.read_bundle` gives it.
        file: to be written.
        precision: ``float16`` halves the backbones; pooling, fusion and normalisation stay float32.

    Raises:
        DrfmError: the extra is not installed, twins of blurry crops are made by a network, or the backbone
            cannot be exported.
    """
    onnx = _library()
    model = load_bundled_model(bundle)
    prepared = bundle.preprocessing
    views: tuple[Source, ...] = model.views
    version = onnx.helper.VERSION_TABLE[-1][1]
    first = images_model(prepared, views, OPSET, min(version, 10))
    network = folded(model)
    if precision == "float16":
        _halve(network)
    images = prepared.images
    sizes: dict[Source, tuple[int, int]] = {"hr": images.hr_size, "lr": images.lr_size}
    sizes["native"] = images.hr_size
    second = _network_model(_Vectors(network, prepared.features, prepared.flip), views, sizes)
    second.ir_version = first.ir_version
    names = [(output_name(view), f"net_{output_name(view)}") for view in views]
    second = onnx.compose.add_prefix(second, "net_")
    whole = onnx.compose.merge_models(first, second, io_map=names)
    whole.graph.output[0].name = _rename_output(whole.graph)
    entry = whole.metadata_props.add()
    entry.key, entry.value = RECORD_KEY, json.dumps(bundle.record, sort_keys=True)
    whole.doc_string = f"drfm bundle {bundle.id}, {precision}"
    onnx.checker.check_model(whole)
    write_atomic(file, whole.SerializeToString())


def _rename_output(graph: Any) -> str:
    """Give the one output of ``graph`` the name ``vectors``."""
    old = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["vectors" if name == old else name for name in node.output]
    return "vectors"


def _network_model(module: nn.Module, views: tuple[Source, ...], sizes: dict[Source, tuple[int, int]]) -> Any:
    examples = tuple(torch.zeros(2, 3, *sizes[view]) for view in views)
    batch = torch.export.Dim("batch", min=1)
    # The exporter warns of a package that this project does not use.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module.eval(),
                examples,
                input_names=[output_name(view) for view in views],
                output_names=["vectors"],
                dynamic_shapes=(tuple({0: batch} for _ in views),),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # the exporter has exceptions of its own
            reason = " ".join(str(error).split())[:160]
            raise DrfmError(f"this model cannot be exported to ONNX ({reason})") from error
    assert program is not None
    return program.model_proto


def _halve(network: nn.Module) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, Backbone):
            network.set_submodule(name, _HalfBackbone(module))


def _library() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.compose
        import onnx.helper
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError:
        raise DrfmError("export to ONNX needs the extra: pip install 'drfm[onnx]'") from None
    return onnx

"""The exported graph: Pillow's bytes, torch's vectors, and no torch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drfm.config.schema import ImagesConfig
from drfm.errors import DrfmError
from drfm.gallery.bundle import Preprocessing, read_bundle
from drfm.gallery.torch_engine import TorchEncoder
from drfm.models.inputs import MEAN, STD, to_input
from drfm.resolution.build import pair_images
from drfm.resolution.superresolve import make_resolver

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from drfm.gallery.onnx import OnnxEncoder  # noqa: E402
from drfm.gallery.onnx_export import export_onnx  # noqa: E402
from drfm.gallery.onnx_images import images_model  # noqa: E402

SIZES = [(1, 1), (40, 17), (64, 32), (31, 90), (150, 60), (8, 200), (32, 16), (33, 16), (32, 40)]


def crops(sizes=SIZES) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear", "lanczos", "box"])
def test_the_graph_prepares_crops_to_the_bit(kernel):
    options = ImagesConfig(hr_size=(32, 16), lr_size=(24, 16), kernel=kernel, twin_rate=3)
    model = images_model(Preprocessing(options, 50, "fused", False, MEAN, STD), ("hr", "lr"), 18, 10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for crop in crops():
        for resolution in ("hr", "lr"):
            wanted = pair_images(crop, resolution, 3, options, make_resolver(options))
            given = {"images": crop[None], "lr": np.array(resolution == "lr")}
            for found, image in zip(session.run(None, given), wanted, strict=True):
                assert (found == to_input(image[None], "cpu").numpy()).all(), (crop.shape, resolution)


@pytest.mark.parametrize(
    ("features", "flip", "model"),
    [
        ("fused", False, {}),
        ("mean", True, {"crff_norm": "bn_l2", "pooling": "gem"}),
        ("image", False, {"encoders": "native"}),
    ],
)
def test_onnx_and_torch_agree(make, tmp_path, features, flip, model):
    same = {"lr_size": (32, 16)} if features == "image" else {}
    bundle = make(tmp_path, features, flip, same, **model)
    export_onnx(bundle, tmp_path / "a.onnx")
    encoder = OnnxEncoder(tmp_path / "a.onnx", threads=1)
    assert (encoder.id, encoder.dimension) == (bundle.id, bundle.record["encoder"]["dimension"])
    mixed = crops() + crops()[:4]
    wanted = TorchEncoder(bundle, "cpu").encode(mixed)
    found = encoder.encode(mixed, batch_size=8)
    assert np.abs(found - wanted).max() < 1e-5
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-5


def test_half_precision_is_near_and_smaller(make, tmp_path):
    bundle = make(tmp_path)
    for name in ("float32", "float16"):
        export_onnx(bundle, tmp_path / f"{name}.onnx", name)
    wanted, found = (
        OnnxEncoder(tmp_path / f"{n}.onnx", threads=1).encode(crops()) for n in ("float32", "float16")
    )
    assert 0 < (1 - (wanted * found).sum(1)).max() < 1e-4
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("float32", "float16")]
    assert sizes[1] < sizes[0]


def test_the_engine_imports_no_torch(make, tmp_path):
    export_onnx(make(tmp_path), tmp_path / "a.onnx")
    script = (
        "import sys, numpy as np\nfrom drfm.gallery.onnx import OnnxEncoder\n"
        f"rows = OnnxEncoder({str(tmp_path / 'a.onnx')!r}).encode([np.zeros((20, 10, 3), np.uint8)])\n"
        "assert rows.shape == (1, 32) and 'torch' not in sys.modules and 'onnx' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_bad_files_and_networks_are_refused_in_one_line(make, tmp_path):
    with pytest.raises(DrfmError, match=r"none\.onnx: no such file"):
        OnnxEncoder(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(DrfmError, match="cannot be opened as an ONNX model"):
        OnnxEncoder(tmp_path / "bad.onnx")
    text = '<ir_version: 10, opset_import: ["" : 18]> g (float[N] x) => (float[N] y) { y = Identity (x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "other.onnx")
    with pytest.raises(DrfmError, match="was not exported by drfm"):
        OnnxEncoder(tmp_path / "other.onnx")
    bundle = make(tmp_path, images={"sr": "swin2sr"})
    with pytest.raises(
        DrfmError, match=r"images\.sr = swin2sr: a network that super-resolves is not exported"
    ):
        export_onnx(bundle, tmp_path / "sr.onnx")


@pytest.mark.real
@pytest.mark.skipif(
    not (os.environ.get("DRFM_DATA") and os.environ.get("DRFM_BUNDLE")),
    reason="set DRFM_DATA to a folder of images, and DRFM_BUNDLE to a bundle",
)
def test_onnx_and_torch_agree_on_real_crops(tmp_path):
    folder = Path(os.environ["DRFM_DATA"])
    data = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    files = [data[row] for row in np.linspace(0, len(data) - 1, min(500, len(data))).round().astype(int)]
    bundle = read_bundle(Path(os.environ["DRFM_BUNDLE"]))
    export_onnx(bundle, tmp_path / "a.onnx")
    wanted, found = TorchEncoder(bundle).encode(files), OnnxEncoder(tmp_path / "a.onnx").encode(files)
    assert (wanted * found).sum(1).min() > 1 - 1e-4

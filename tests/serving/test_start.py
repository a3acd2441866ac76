"""From the command line to a service that listens."""

import shutil
import socket
import subprocess
import sys

import pytest

from drfm.cli import main
from drfm.errors import DrfmError
from drfm.gallery.embedded import Embedded
from drfm.serving import start


def test_records_lie_beside_the_gallery(bundle, gallery):
    service = start.make_service(f"{gallery}/", bundle.folder, None, None)
    assert service.records.folder == gallery.with_name("people.records")
    assert service.explains


def test_a_gallery_of_another_bundle_is_refused(bundle, tmp_path):
    Embedded.create(tmp_path / "other", 32, "f" * 16).close()
    with pytest.raises(DrfmError, match="give the bundle it was made with"):
        start.make_service(str(tmp_path / "other"), bundle.folder, None, tmp_path / "records")


def test_onnx_gives_the_same_answers_and_no_maps(bundle, gallery, tmp_path, pixels):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from drfm.gallery.onnx_export import export_onnx

    copy = tmp_path / "bundle"
    shutil.copytree(bundle.folder, copy)
    with pytest.raises(DrfmError, match=r"drfm export .*model\.onnx"):
        start.open_encoder(copy, "onnx")
    export_onnx(bundle, copy / "model.onnx")
    from drfm.gallery.search import Search

    answers = {}
    for name, place, engine in (
        ("torch", copy, None), ("onnx", copy, "onnx"), ("file", copy / "model.onnx", None),
    ):  # fmt: skip
        service = start.make_service(str(gallery), place, engine, tmp_path / "records")
        asked = service.search(pixels, Search(k=6))
        answers[name] = [hit.id for hit in asked.hits]
        if name != "torch":
            assert service.twin(asked.id).ndim == 3
            with pytest.raises(DrfmError, match="--engine torch"):
                service.why(asked.id, asked.hits[0].id)
    assert answers["torch"] == answers["onnx"] == answers["file"]
    with pytest.raises(DrfmError, match="give the folder"):
        start.open_encoder(copy / "model.onnx", "torch")


def test_an_address_that_is_taken_is_one_line(service):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DrfmError, match=f"--port {port}"):
            start.serve(service, "127.0.0.1", port, print)
    with pytest.raises(DrfmError, match="--port 70000"):
        start.serve(service, "127.0.0.1", 70000, print)


def test_a_missing_extra_is_one_line(service, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(DrfmError, match=r"drfm\[serve\]"):
        start.serve(service, "127.0.0.1", 0, print)


def test_the_command_names_what_is_missing(tmp_path, capsys):
    assert main(["serve", str(tmp_path / "g"), "--bundle", str(tmp_path / "b")]) == 2
    assert "no such bundle" in capsys.readouterr().err


def test_the_rest_of_the_project_does_not_need_the_extra():
    script = (
        "import sys, drfm.cli, drfm.serving.service, drfm.serving.start; assert 'fastapi' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

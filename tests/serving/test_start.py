"""From the command line to a service that listens."""

import shutil
import socket
import subprocess
import sys
import threading

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


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    """A copy of the bundle with model.onnx in it."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from drfm.gallery.onnx_export import export_onnx

    copy = tmp_path_factory.mktemp("exported") / "bundle"
    shutil.copytree(bundle.folder, copy)
    with pytest.raises(DrfmError, match=r"drfm export .*model\.onnx"):
        start.open_encoder(copy, "onnx")
    export_onnx(bundle, copy / "model.onnx")
    return copy


def test_onnx_gives_the_same_answers_and_no_maps(exported, gallery, tmp_path, pixels):
    from drfm.gallery.search import Search

    copy = exported

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


def test_a_folder_without_torch_is_one_line(bundle, monkeypatch):
    def load(folder):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("drfm.load", load)
    with pytest.raises(DrfmError, match="PyTorch, which is not installed; give a file that `drfm export`"):
        start.open_encoder(bundle.folder)


WITHOUT_TORCH = """
import json, sys, threading, time, urllib.request
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoTorch())
from drfm.cli import main
gallery, crop, *options = sys.argv[1:]
threading.Thread(target=main, args=(["serve", gallery, *options],), daemon=True).start()
def ask(path, body=None):
    return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body).read()
port, left = options[options.index("--port") + 1], 400
while left:
    try:
        assert json.loads(ask("/health"))["status"] == "ok"
        break
    except OSError:
        left -= 1
        time.sleep(0.05)
told = json.loads(ask("/api/search?k=3", open(crop, "rb").read()))
assert len(told["results"]) == 3
assert ask(f"/api/queries/{told['query']}/twin")[:4] == b"\\x89PNG"
assert json.loads(ask("/api/about"))["engine"] == "onnx"
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("how", ["file", "folder"])
def test_a_service_on_onnx_never_imports_torch(exported, gallery, crops, tmp_path, how):
    bundle = [exported / "model.onnx"] if how == "file" else [exported, "--engine", "onnx"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [gallery, crops / "2-1.png", "--bundle", *bundle, "--port", port, "--records", tmp_path / "r"]
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_an_address_that_is_taken_is_one_line(service):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DrfmError, match=f"--port {port}"):
            start.serve(service, "127.0.0.1", port, print)
    with pytest.raises(DrfmError, match="--port 70000"):
        start.serve(service, "127.0.0.1", 70000, print)


def test_all_but_a_search_is_answered_while_the_search_is_compiled(service, client, blurry, monkeypatch):
    going, done = threading.Event(), []
    monkeypatch.setattr(service.store, "prepare", going.wait)
    service.warm_up()
    asked = threading.Thread(target=lambda: done.append(client.post("/api/search", content=blurry)))
    asked.start()
    try:
        for address in ("/health", "/metrics", "/api/about", "/api/images/1", "/"):
            assert client.get(address).status_code == 200
        asked.join(0.2)
        assert not done
    finally:
        going.set()
    asked.join(60)
    assert len(done[0].json()["results"]) == 6


def test_a_gallery_whose_files_are_gone_is_known_at_the_start(bundle, gallery, tmp_path):
    copy = tmp_path / "people"
    shutil.copytree(gallery, copy)
    shutil.rmtree(next(copy.glob("vectors-*")))
    with pytest.raises(DrfmError, match="restore them from a copy"):
        start.make_service(str(copy), bundle.folder, None, tmp_path / "records")


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

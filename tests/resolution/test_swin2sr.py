"""Swin2SR through transformers, with tiny random networks."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from drfm.config.schema import ImagesConfig
from drfm.errors import DrfmError
from drfm.files import fingerprint
from drfm.resolution.superresolve import make_resolver
from drfm.resolution.swin2sr import Swin2SR, find_checkpoint

transformers = pytest.importorskip("transformers")


def checkpoint(path, **changes):
    """A random Swin2SR, by default x2 with windows of 4 pixels."""
    torch.manual_seed(0)
    tiny = {"image_size": 8, "embed_dim": 8, "depths": [1], "num_heads": [2], "window_size": 4, "upscale": 2}
    config = transformers.Swin2SRConfig(mlp_ratio=1.0, **{**tiny, **changes})
    transformers.Swin2SRForImageSuperResolution(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("swin") / "tiny")


VARIANTS = {
    "classical": "pixelshuffle",
    "lightweight": "pixelshuffledirect",
    "real-world": "nearest+conv",
    "compressed": "pixelshuffle_aux",
}
"""How the published kinds of checkpoint make pixels."""


@pytest.fixture(scope="module", params=VARIANTS)
def fourfold(request, tmp_path_factory):
    """A checkpoint x4 of each published kind, with the published windows of 8 pixels."""
    changes = {"upscale": 4, "window_size": 8, "depths": [2], "upsampler": VARIANTS[request.param]}
    return checkpoint(tmp_path_factory.mktemp("swin") / request.param.replace("-", ""), **changes)


def images_of(*sizes):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def reference(folder, image, rate=2, window=4):
    """The network's own forward pass on one image, continued by its flipped copies to whole windows."""
    network = transformers.Swin2SRForImageSuperResolution.from_pretrained(str(folder)).eval()
    height, width = image.shape[:2]
    for axis in (0, 1):
        image = np.concatenate([image, np.flip(image, axis)] * window, axis)
    image = image[: -(-height // window) * window, : -(-width // window) * window].copy()
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].to(torch.float32) / 255
    with torch.inference_mode():
        large = network(pixel_values=pixels).reconstruction[0]
    levels = (large.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return levels[: rate * height, : rate * width]


@pytest.mark.parametrize("size", [(8, 8), (12, 8), (8, 16), (9, 7), (11, 6), (5, 13), (8, 6)])
def test_equals_the_networks_own_forward(folder, size):
    (image,) = images_of(size)
    (large,) = Swin2SR(str(folder), 2, "cpu")([image])
    want = reference(folder, image)
    assert large.shape == want.shape == (2 * size[0], 2 * size[1], 3)
    assert large.dtype == np.uint8
    # float32 kernels may differ in the last bit, which rounding can turn into one level
    assert np.abs(large.astype(int) - want.astype(int)).max() <= 1


@pytest.mark.parametrize("size", [(16, 8), (31, 13), (1, 1), (400, 1), (1, 20), (300, 7)])
def test_every_published_kind_by_four(fourfold, size):
    """Also odd sizes, images one pixel wide, and very tall ones."""
    (image,) = images_of(size)
    (large,) = Swin2SR(str(fourfold), 4, "cpu")([image])
    want = reference(fourfold, image, rate=4, window=8)
    assert large.shape == want.shape == (4 * size[0], 4 * size[1], 3)
    assert np.abs(large.astype(int) - want.astype(int)).max() <= 1


def test_older_weights_are_read(folder, tmp_path, monkeypatch):
    """Some checkpoints of the hub have ``pytorch_model.bin`` alone."""
    import huggingface_hub

    older = tmp_path / "older"
    older.mkdir()
    shutil.copy(folder / "config.json", older)
    network = transformers.Swin2SRForImageSuperResolution.from_pretrained(str(folder))
    torch.save(network.state_dict(), older / "pytorch_model.bin")
    images = images_of((9, 7))
    both = (Swin2SR(str(path), 2, "cpu") for path in (older, folder))
    (large,), (want,) = (network(images) for network in both)
    np.testing.assert_array_equal(large, want)
    weights = (older / "pytorch_model.bin").read_bytes()
    assert Swin2SR(str(older), 2, "cpu").facts()["sr_checksum"] == hashlib.sha256(weights).hexdigest()

    def hub(repo, name, local_files_only=False):
        if not (older / name).exists():
            raise huggingface_hub.errors.LocalEntryNotFoundError("no such file")
        return str(older / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: None)
    assert find_checkpoint("somebody/some-model") == older


@pytest.mark.parametrize("size", [(1, 1), (9, 1), (1, 6), (2, 2), (3, 17)])
def test_images_narrower_than_a_window(folder, size):
    (image,) = images_of(size)
    (large,) = Swin2SR(str(folder), 2, "cpu")([image])
    assert large.shape == (2 * size[0], 2 * size[1], 3)


def test_batches_do_not_mix_images(folder, monkeypatch):
    sizes = [(8, 8), (7, 5), (12, 4), (8, 8), (1, 1), (6, 8), (8, 8)]
    images = images_of(*sizes)
    network = Swin2SR(str(folder), 2, "cpu")
    alone = [network([image])[0] for image in images]
    monkeypatch.setattr("drfm.resolution.swin2sr._PIXELS", {"cpu": 128})
    for together, one in zip(network(images), alone, strict=True):
        assert together.shape == one.shape
        assert np.abs(together.astype(int) - one.astype(int)).max() <= 1
    assert network([]) == []


def test_facts_name_rate_and_checksum(folder):
    facts = dict(Swin2SR(str(folder), 2, "cpu").facts())
    weights = (folder / "model.safetensors").read_bytes()
    assert facts.pop("sr_config") == fingerprint(json.loads((folder / "config.json").read_text()))
    assert facts == {
        "sr": "swin2sr",
        "sr_rate": 2,
        "sr_model": "tiny",
        "sr_checksum": hashlib.sha256(weights).hexdigest(),
    }
    json.dumps(facts)


def test_registry(folder):
    images = ImagesConfig(sr="swin2sr", sr_model=str(folder), sr_rate=2)
    network = make_resolver(images, "cpu")
    assert network.name == "swin2sr"
    assert not network.light


def test_other_rate_is_refused(folder):
    with pytest.raises(DrfmError, match=r"images.sr_rate = 4: .* magnifies by 2"):
        Swin2SR(str(folder), 4, "cpu")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_incomplete_folder(folder, tmp_path, missing):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / missing).unlink()
    with pytest.raises(DrfmError, match=f"{missing} is missing"):
        Swin2SR(str(copy), 2, "cpu")


def test_damaged_weights(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(DrfmError, match="is not a Swin2SR checkpoint") as caught:
        Swin2SR(str(copy), 2, "cpu")(images_of((8, 8)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "7", "{"])
def test_a_damaged_configuration(folder, tmp_path, text):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "config.json").write_text(text)
    with pytest.raises(DrfmError, match=r"config\.json: is"):
        Swin2SR(str(copy), 2, "cpu")


def test_another_kind_of_checkpoint(folder, tmp_path):
    """Weights of another network are refused, where the library would go on with random numbers."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    from safetensors.torch import save_file

    save_file({"conv1.weight": torch.zeros(1)}, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DrfmError, match="is not a Swin2SR checkpoint"):
        Swin2SR(str(copy), 2, "cpu")(images_of((8, 8)))


def test_unreachable_hub_names_the_ways_out(monkeypatch):
    import huggingface_hub

    def unreachable(repo, name, local_files_only=False):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no\nconnection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: unreachable(url, ""))
    with pytest.raises(DrfmError, match=r"local checkpoint.*sr train.*--images\.sr bicubic") as caught:
        find_checkpoint("somebody/some-model")
    assert "\n" not in str(caught.value)


def test_cached_copy_needs_no_hub(folder, monkeypatch):
    import huggingface_hub

    def cached(repo, name, local_files_only=False):
        assert local_files_only
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", cached)
    assert find_checkpoint("somebody/some-model") == folder


def test_missing_library(monkeypatch, folder):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(DrfmError, match=r"pip install 'drfm\[sr\]'"):
        Swin2SR(str(folder), 2, "cpu")

"""Networks to train: they begin as bicubic interpolation, are Swin2SR, and survive their folder."""

import json

import numpy as np
import pytest
import torch

from drfm.config.schema import ImagesConfig
from drfm.errors import DrfmError
from drfm.resolution.network import SIZES, describe, enlarge, load_network, new_network, save_network
from drfm.resolution.superresolve import Bicubic, make_resolver
from drfm.resolution.swin2sr import Magnifier, Swin2SR

transformers = pytest.importorskip("transformers")

IMAGES = [
    np.random.default_rng(size[0]).integers(0, 256, (*size, 3), dtype=np.uint8)
    for size in [(32, 16), (33, 15), (1, 1), (9, 1), (1, 20), (150, 3), (8, 8)]
]


@pytest.fixture(scope="module")
def network():
    return new_network("small", 4, seed=1).eval()


def disturb(network):
    """Random numbers in the layer that begins with zeros."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        network.upsample.conv.weight.normal_(0, 0.05, generator=generator)
        network.upsample.conv.bias.normal_(0, 0.05, generator=generator)
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sr") / "model"
    network = disturb(new_network("small", 4, seed=2))
    save_network(network, network.state_dict(), path, {"note": 1})
    return path


@pytest.mark.parametrize("versions", [1, 8])
def test_an_untrained_network_is_bicubic_interpolation(network, versions):
    untrained = Magnifier(network, torch.device("cpu"), residual=True, versions=versions)
    for large, want in zip(untrained(IMAGES), Bicubic(4)(IMAGES), strict=True):
        np.testing.assert_array_equal(large, want)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_the_librarys_own_network(size):
    network = disturb(new_network(size, 2, seed=0)).eval()
    assert type(network) is transformers.Swin2SRForImageSuperResolution
    pixels, base = torch.rand(2, 3, 16, 8), torch.rand(2, 3, 32, 16)
    with torch.inference_mode():
        own = network(pixel_values=pixels).reconstruction
        torch.testing.assert_close(enlarge(network, pixels, None), own)
        mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
        torch.testing.assert_close(enlarge(network, pixels, base), base + own - mean)


@pytest.mark.parametrize("queues", [False, True])
def test_batches_under_way_give_the_same_images(folder, monkeypatch, queues):
    """As on a GPU, where a batch is begun before the one before it is fetched."""
    network = Magnifier(load_network(folder), torch.device("cpu"), residual=True)
    want = network(IMAGES)
    monkeypatch.setattr("drfm.resolution.swin2sr._PIXELS", {"cpu": 64})
    network._queues = queues
    for large, one in zip(network(IMAGES), want, strict=True):
        assert np.abs(large.astype(int) - one.astype(int)).max() <= 1


def test_a_batch_that_overflows_is_computed_again(folder):
    network = Magnifier(load_network(folder), torch.device("cpu"), residual=True)
    launched = network._launch(network._prepared(IMAGES[:1]))
    broken = launched._replace(levels=torch.zeros_like(launched.levels), finite=torch.tensor(False))
    ((row, large),) = network._results(IMAGES, [0], broken)
    assert row == 0
    np.testing.assert_array_equal(large, network(IMAGES[:1])[0])


def test_seed_and_no_other_randomness():
    state = torch.get_rng_state()
    first, again, other = (new_network("small", 4, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_saved_folder_gives_the_same_output(folder):
    network = disturb(new_network("small", 4, seed=2)).eval()
    want = Magnifier(network, torch.device("cpu"), residual=True)(IMAGES)
    resolver = make_resolver(ImagesConfig(sr="swin2sr", sr_model=str(folder)), "cpu")
    for large, own in zip(resolver(IMAGES), want, strict=True):
        np.testing.assert_array_equal(large, own)
    facts = resolver.facts()
    assert facts["sr_base"] == "bicubic"
    assert facts["sr_checksum"] == json.loads((folder / "sr.json").read_text())["checksum"]
    for path in folder.iterdir():
        assert path.name in {"config.json", "model.safetensors", "sr.json"}


def test_the_library_reads_the_folder(folder):
    loaded = transformers.Swin2SRForImageSuperResolution.from_pretrained(str(folder))
    assert torch.equal(loaded.upsample.conv.bias, load_network(folder).upsample.conv.bias)


def test_versions_are_averaged(folder):
    image = IMAGES[0]
    image = image // 4 + 96  # far from black and white, where single versions are clipped
    alone = [Swin2SR(str(folder), 4, "cpu", versions=1)([turned])[0] for turned in (image, image[:, ::-1])]
    (both,) = Swin2SR(str(folder), 4, "cpu", versions=2)([image])
    mean = (alone[0].astype(float) + alone[1][:, ::-1]) / 2
    unclipped = ((alone[0] > 0) & (alone[0] < 255)) & ((alone[1] > 0) & (alone[1] < 255))[:, ::-1]
    assert unclipped.mean() > 0.5
    assert np.abs(both - mean)[unclipped].max() <= 1
    facts = Swin2SR(str(folder), 4, "cpu", versions=2).facts()
    assert facts["sr_versions"] == 2
    for versions in (4, 8):
        for large, image in zip(Swin2SR(str(folder), 4, "cpu", versions)(IMAGES), IMAGES, strict=True):
            assert large.shape == (4 * image.shape[0], 4 * image.shape[1], 3)


def test_other_weights_than_the_description_says(folder, tmp_path):
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    raw = bytearray((copy / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (copy / "model.safetensors").write_bytes(raw)
    with pytest.raises(DrfmError, match="differs from its checksum"):
        Swin2SR(str(copy), 4, "cpu")
    (copy / "sr.json").unlink()
    assert describe(copy)["sr_base"] == "bicubic"
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"residual_base": "lanczos"}))
    with pytest.raises(DrfmError, match="another version"):
        describe(copy)


@pytest.mark.parametrize(("size", "rate"), [("huge", 4), ("small", 5), ("small", 1)])
def test_bad_arguments(size, rate):
    with pytest.raises(DrfmError, match=r"size = huge|rate = \d"):
        new_network(size, rate, seed=0)

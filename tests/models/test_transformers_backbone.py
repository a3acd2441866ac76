import pytest
import torch

from drfm.errors import DrfmError
from drfm.models.backbone import Backbone, share_stem
from drfm.models.backbones import build_backbone
from drfm.models.weights import load_weights

transformers = pytest.importorskip("transformers")

TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def configs():
    yield transformers.ViTConfig(**TINY, image_size=32, patch_size=8), (4, 2)
    yield transformers.Dinov2Config(**TINY, image_size=32, patch_size=8), (4, 2)
    yield transformers.ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], num_stages=2), (4, 2)
    yield transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1]), (4, 2)
    yield (
        transformers.SwinConfig(embed_dim=4, depths=[1, 1], num_heads=[1, 2], patch_size=4, window_size=2),
        (4, 2),
    )


@pytest.mark.parametrize(("config", "shape"), list(configs()), ids=lambda c: type(c).__name__)
def test_a_local_folder(tmp_path, config, shape):
    torch.manual_seed(0)
    published = transformers.AutoModel.from_config(config)
    published.save_pretrained(tmp_path)
    backbone = build_backbone(f"transformers:{tmp_path}")
    facts = load_weights(backbone, "imagenet", f"transformers:{tmp_path}")
    assert facts["source"] == f"transformers:{tmp_path}"
    for name, value in published.state_dict().items():
        assert torch.equal(backbone.model.state_dict()[name], value)
    features = backbone.eval()(torch.randn(2, 3, 32, 16))
    assert features.shape == (2, 8, *shape)
    assert backbone.out_channels == 8
    backbone.get_submodule(backbone.stem[0])


def test_patches_lie_where_they_were_in_the_image(tmp_path):
    config = transformers.ViTConfig(**TINY, image_size=32, patch_size=8)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    backbone = build_backbone(f"transformers:{tmp_path}").eval()
    images = torch.randn(1, 3, 32, 16)
    with torch.inference_mode():
        tokens = backbone.model(pixel_values=images, interpolate_pos_encoding=True).last_hidden_state
        features = backbone(images)
    for row in range(4):
        for column in range(2):
            assert torch.equal(features[0, :, row, column], tokens[0, 1 + 2 * row + column])


def test_unreachable_and_unsuitable(tmp_path):
    with pytest.raises(DrfmError, match="cannot be had"):
        build_backbone(f"transformers:{tmp_path / 'none'}")
    config = transformers.BertConfig(**TINY, vocab_size=10)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(DrfmError, match="not supported"):
        build_backbone(f"transformers:{tmp_path}")


def test_a_stem_that_does_not_exist():
    backbone = Backbone()
    backbone.stem = ()
    with pytest.raises(DrfmError, match=r"model\.sharing = stem"):
        share_stem(backbone, backbone)

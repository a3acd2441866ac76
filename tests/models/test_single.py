import pytest
import torch

from drfm.config import ModelConfig
from drfm.errors import DrfmError
from drfm.models.backbones import BACKBONES
from drfm.models.build import new_model
from drfm.models.single import SingleEncoder
from drfm.models.storage import load_model, save_model


def model(**options):
    torch.manual_seed(0)
    return new_model(ModelConfig(backbone="resnet18", weights="random", **{"encoders": "native", **options}))


def test_one_feature_with_a_unit_row_an_image():
    found = model().eval()(torch.randn(3, 3, 64, 32)).spaces()
    assert list(found) == ["image"]
    torch.testing.assert_close(found["image"].norm(dim=1), torch.ones(3))


def test_views_say_which_image_of_a_pair_is_seen():
    assert model().views == ("native",)
    assert model(encoders="hr").views == ("hr",)
    assert model(encoders="dual").views == ("hr", "lr")


@pytest.mark.parametrize(("height", "count"), [(64, 2), (64, 3), (32, 3)])
def test_stripes_are_the_means_that_adaptive_pooling_takes(height, count):
    whole = model(parts=count).eval()
    images = torch.randn(2, 3, height, 32)
    feature_map = whole.encoder.backbone(images)
    expected = torch.nn.functional.adaptive_avg_pool2d(feature_map, (count, 1))[..., 0]
    found = whole(images)
    assert len(found.parts) == count
    for number, part in enumerate(found.parts):
        wanted = torch.nn.functional.normalize(expected[..., number])
        torch.testing.assert_close(part, wanted, atol=2e-5, rtol=0)
    assert list(found.spaces()) == ["image", *(f"part{number}" for number in range(count))]


def test_features_keep_their_length_in_training_if_asked():
    lengths = model(normalise=False).train()(torch.randn(4, 3, 64, 32)).image.norm(dim=1)
    assert (lengths > 2).all()


def test_saved_and_loaded(tmp_path):
    whole = model(parts=2, pooling="gem").eval()
    save_model(whole, tmp_path)
    again = load_model(tmp_path).eval()
    assert isinstance(again, SingleEncoder)
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(whole(images).image, again(images).image)
    assert torch.equal(whole(images).parts[1], again(images).parts[1])


def test_stripes_of_two_encoders_are_refused():
    assert "resnet18" in BACKBONES
    with pytest.raises(DrfmError, match=r"model\.parts = 2: stripes need one encoder"):
        model(parts=2, encoders="dual")

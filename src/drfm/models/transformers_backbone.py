"""Image backbones of the transformers library (extra ``hub``)."""

import math
from typing import Any

from torch import Tensor

from drfm.errors import DrfmError
from drfm.models.backbone import Backbone


class TransformersBackbone(Backbone):
    """Any image model of transformers whose output is a map or a sequence of patch tokens.

    The tokens of the patches become the map, row by row; class and register tokens
    before them are dropped. Strides are those of the model's own configuration.

    Args:
        name: hub name or local folder with at least ``config.json``.

    Raises:
        DrfmError: transformers is missing, the configuration cannot be had, or it is no such model.
    """

    folds = False

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        library = _library()
        try:
            config = library.AutoConfig.from_pretrained(name)
            self.model = library.AutoModel.from_config(config)
        except (OSError, ValueError) as error:
            raise _unreachable(name) from error
        sizes = getattr(config, "hidden_sizes", None)
        self.out_channels = int(sizes[-1] if sizes else getattr(config, "hidden_size", 0))
        first = [part for part in ("embeddings", "embedder") if hasattr(self.model, part)]
        self.stem = tuple(f"model.{part}" for part in first)
        if self.out_channels < 1 or self.model.main_input_name != "pixel_values":
            raise DrfmError(
                f"model.backbone = transformers:{name}: {type(self.model).__name__} is not supported; "
                "choose an image model such as ResNet, ConvNeXt, ViT or DINOv2"
            )
        self._interpolates = "interpolate_pos_encoding" in type(self.model).forward.__annotations__

    def forward(self, images: Tensor) -> Tensor:
        """Compute the map of the last hidden state."""
        options = {"interpolate_pos_encoding": True} if self._interpolates else {}
        hidden: Tensor = self.model(pixel_values=images, **options).last_hidden_state
        if hidden.ndim == 4:
            return hidden
        rows, columns = _grid(images, getattr(self.model.config, "patch_size", None), hidden.shape[1])
        patches = hidden[:, -rows * columns :].transpose(1, 2)
        return patches.reshape(len(hidden), self.out_channels, rows, columns)

    def load_pretrained(self) -> dict[str, str]:
        """Load the published weights of this model."""
        try:
            pretrained = _library().AutoModel.from_pretrained(self.name)
        except (OSError, ValueError) as error:
            raise _unreachable(self.name) from error
        self.model.load_state_dict(pretrained.state_dict())
        return {"source": f"transformers:{self.name}"}


def _grid(images: Tensor, patch: Any, tokens: int) -> tuple[int, int]:
    """Rows and columns of the patch tokens."""
    height, width = images.shape[-2:]
    if patch is not None:
        vertical, horizontal = (patch, patch) if isinstance(patch, int) else patch
        rows, columns = height // vertical, width // horizontal
        if rows * columns <= tokens:
            return rows, columns
    # Hierarchical models merge patches: what is left has the aspect ratio of the image.
    rows = max(1, round(math.sqrt(tokens * height / width)))
    return rows, tokens // rows


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise DrfmError(
            "model.backbone: transformers is not installed; run `pip install 'drfm[hub]'`, "
            "or choose another backbone"
        ) from None
    return transformers


def _unreachable(name: str) -> DrfmError:
    return DrfmError(
        f"model.backbone = transformers:{name}: cannot be had; give a local folder with config.json "
        "and weights, check the name or the connection, or choose another backbone"
    )

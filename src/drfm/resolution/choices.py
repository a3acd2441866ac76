"""Every choice of a super-resolution training."""

from dataclasses import dataclass
from typing import Literal

from drfm.config.schema import Size
from drfm.errors import DrfmError


@dataclass(frozen=True)
class SRChoices:
    """How a Swin2SR is trained on sharp captures."""

    size: Literal["small", "lightweight"] = "small"
    """`small` trains on a CPU; `lightweight` is that of the Swin2SR paper."""
    rate: Literal[2, 3, 4, 8] = 4
    """Magnification of the network."""
    rates: tuple[int, ...] = ()
    """Rates at which captures are made small, one drawn for each batch; by default those of the benchmark."""
    kernel: Literal["benchmark", "mixed", "bicubic", "bilinear", "lanczos", "box"] = "benchmark"
    """Resampling that makes them small: the benchmark's, a random one for each patch (`mixed`), or one."""
    degradation: Literal["benchmark", "realistic"] = "benchmark"
    """`benchmark` only resizes; `realistic` adds anisotropic blur, noise and JPEG before and after."""
    steps: int = 2000
    """Steps in total; fixed in advance, as the learning rate falls to 0 along a cosine."""
    batch: int = 32
    """Patches in a step."""
    patch: Size = (16, 8)
    """Height and width of the small patches in pixels; the sharp ones are larger by the rate."""
    lr: float = 1e-3
    """Highest learning rate of Adam."""
    warmup: int = 50
    """Steps of linear rise to it."""
    ema: float = 0.999
    """Decay of the average of the weights over steps, which is what is kept."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network; the loss is always float32."""
    hold_out: Literal["auto", "persons", "images"] = "auto"
    """What measures the result and is not trained on: all captures of some persons, where persons are known
    (for reporting alone), or some images."""
    held: float = 0.05
    """Share of the training persons or images that is held out."""
    every: int = 200
    """Steps between two checkpoints, each with a look at held-out images that decides nothing."""
    seed: int = 1
    """Seed of weights and patches; the held-out images do not depend on it."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    workers: int = 1
    """Threads that prepare patches."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "every", "workers"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "give 1 or more")
        _require(all(1 < rate <= 8 for rate in self.rates), "rates", self.rates, "give rates from 2 to 8")
        _require(all(8 <= side <= 256 and side % 8 == 0 for side in self.patch), "patch", self.patch,
                 "give multiples of 8, the attention window, from 8 to 256 pixels")  # fmt: skip
        _require(self.lr > 0, "lr", self.lr, "give a rate above 0")
        _require(self.warmup >= 0, "warmup", self.warmup, "give 0 or more")
        _require(0 <= self.ema < 1, "ema", self.ema, "give 0 or more and less than 1")
        _require(0 < self.held < 1, "held", self.held, "give a share between 0 and 1")
        _require(0 <= self.seed < 2**31, "seed", self.seed, "give 0 to 2147483647")


def _require(condition: bool, option: str, value: object, mend: str) -> None:
    if not condition:
        raise DrfmError(f"{option} = {value}: {mend}")

from dataclasses import dataclass

import pytest

from drfm.config import Config
from drfm.errors import DrfmError
from drfm.methods.options import own_options


@dataclass(frozen=True)
class Some:
    gap: float = 0.02
    """A number."""
    cameras: bool = False
    """Yes or no."""

    def __post_init__(self) -> None:
        if self.gap <= 0:
            raise DrfmError(f"options: gap = {self.gap}: give a number above 0")


def test_default_keeps_all():
    assert own_options(Config(), Some) == Some()


def test_named_ones_are_set():
    assert own_options(Config(options="cameras=true, gap=0.5"), Some) == Some(0.5, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gop=1", r"drfm has no option 'gop'; choose from gap, cameras. Did you mean gap\?"),
        ("gap=wide", r"gap = wide \(options of drfm\): give a number"),
        ("gap=0", r"gap = 0\.0: give a number above 0"),
        ("gap", r"gap =  \(options|gap = '' \(options"),
    ],
)
def test_refused(text, message):
    with pytest.raises(DrfmError, match=message):
        own_options(Config(options=text), Some)

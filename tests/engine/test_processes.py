"""Several processes on one machine (gloo) against one process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from drfm.config import Config, SamplerConfig, TrainConfig
from drfm.engine.checkpoint import load_checkpoint
from drfm.engine.journal import Journal
from drfm.engine.processes import Processes, share_out
from drfm.errors import DrfmError

SCRIPT = Path(__file__).with_name("tiny_run.py")
WORDS = ["train.iterations=5", "model.predictor=linear_bn"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_together(words: list[str], count: int) -> None:
    """Run one command in ``count`` processes that know of each other; all must end well."""
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = [
        subprocess.Popen(words, env={**os.environ, **shared, "RANK": str(rank), "OMP_NUM_THREADS": "1"})
        for rank in range(count)
    ]
    assert [process.wait(timeout=120) for process in started] == [0] * count


def together(run: Path, epochs: int, count: int) -> None:
    """Train in ``count`` processes."""
    start_together([sys.executable, str(SCRIPT), str(run), str(epochs), *WORDS], count)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoint.pt")["model"]


def labels(run: Path) -> torch.Tensor:
    return torch.as_tensor(load_checkpoint(run / "checkpoint.pt")["labels"]["labels"])


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """Two epochs of five steps in one process with two BatchNorm groups."""
    run = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, str(SCRIPT), str(run), "2", *WORDS], check=True)
    return run


def assert_same_weights(one: Path, other: Path) -> None:
    for name, value in weights(one).items():
        if name == "predictor.layers.0.bias":
            continue  # before a BatchNorm: its gradient is rounding alone, which Adam makes as large as any
        torch.testing.assert_close(value, weights(other)[name], rtol=1e-3, atol=2e-4, msg=name)
    assert torch.equal(labels(one), labels(other))


def test_two_processes_are_one_with_two_batchnorm_groups(alone, tmp_path):
    """Ten steps and a relabelling; gradients are summed in another order, which Adam shows at first."""
    together(tmp_path, 2, 2)
    assert_same_weights(alone, tmp_path)
    one, two = (Journal(run / "journal.jsonl").read() for run in (alone, tmp_path))
    assert [e["clusters"] for e in one] == [e["clusters"] for e in two]
    for name, value in one[-1]["loss"].items():
        assert two[-1]["loss"][name] == pytest.approx(value, rel=1e-4)


def test_a_run_goes_on_with_another_number_of_processes(alone, tmp_path):
    together(tmp_path, 1, 2)
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path), "2", *WORDS], check=True)
    assert_same_weights(alone, tmp_path)


LEAVE = """
import gc, weakref
import torch.distributed as dist
from drfm.engine.processes import joined
with joined("cpu"):
    import torch._dynamo  # Adam does at its first step
    group = weakref.ref(dist.group.WORLD)
    assert group() is not None
gc.collect()
assert group() is None, "the group and its threads outlive the run"
"""


def test_nothing_of_the_group_is_left_after_the_run():
    """Threads that are left abort a process at its end, now and then."""
    start_together([sys.executable, "-c", LEAVE], 2)


def test_parts_cover_all_rows_in_order():
    for count in (1, 2, 3, 5):
        rows = [r for rank in range(count) for r in range(17)[Processes(rank, count).part(17)]]
        assert rows == list(range(17))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(sampler=SamplerConfig(batch=63)), r"sampler\.batch = 63: give a multiple .* \(2\)"),
        (Config(train=TrainConfig(bn_groups=3)), r"train\.bn_groups = 3: give a multiple"),
        (Config(train=TrainConfig(bn_ambiguous="joint")), r"train\.bn_ambiguous = joint: 2 processes"),
    ],
)
def test_what_cannot_be_shared_evenly_is_refused(config, message):
    with pytest.raises(DrfmError, match=message):
        share_out(torch.nn.Identity(), config, Processes(0, 2))


def test_alone_nothing_is_asked_of_others():
    one = Processes()
    rows = torch.ones(3, 2)
    assert one.first
    assert one.gather(rows) is rows
    assert one.whole(rows, 3, torch.device("cpu")) is rows
    assert one.any(True)
    one.same("labels", b"x")
    one.wait()

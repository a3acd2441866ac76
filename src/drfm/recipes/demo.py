"""The main job on a machine with no data set: draw, build, train, report."""

from collections.abc import Callable
from pathlib import Path

from drfm.config.load import load_config
from drfm.data.build import build_benchmark
from drfm.data.choices import BuildChoices
from drfm.data.drawn import draw_dataset
from drfm.data.readers import read_dataset
from drfm.files import read_json
from drfm.recipes.reporting import report
from drfm.recipes.training import train

PERSONS, TEST_PERSONS, SHOTS = 60, 40, 6


def demo(out: Path, *, say: Callable[[str], None] = lambda line: None) -> Path:
    """Draw pedestrians, build a benchmark, train DRFM, and write a report; returns the report's path.

    Camera 1 is near, camera 2 far: the blurry images are small by nature and not made small. What is
    finished is not done again, so a demo that was cut goes on.
    """
    say("drawing pedestrians (drawn people are not people: this shows that the machinery learns, no more)")
    drawn = draw_dataset(out / "drawn", persons=PERSONS, shots=SHOTS, test_persons=TEST_PERSONS)
    choices = BuildChoices(name="Drawn pedestrians", lr_camera="fixed:2", downsample="never")
    folder = out / "benchmark"
    build_benchmark(read_dataset("market-style", drawn), folder, choices)
    run = out / "run"
    facts = train(folder, run, load_config("demo"), cache=out / "cache", say=say, extra={"drawn": True})
    untrained = read_json(run / "untrained.json")["rows"][0]["exact"]["rank1"]
    trained = facts["headline"]["rank1"]
    say(f"Rank-1 on {TEST_PERSONS} drawn test persons: untrained {untrained:.1%}, DRFM {trained:.1%}")
    return report(run)

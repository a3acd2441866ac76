"""What a wheel holds: the package, its presets, its search page and its type marker, and nothing else."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (path,) = out.glob("drfm-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    kinds = {".py", ".yaml", ".typed", ".html", ".css", ".js", ".svg"}
    source = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "drfm").rglob("*.*")}
    assert names == {name for name in source if "." + name.rpartition(".")[2] in kinds}
    assert {"drfm/py.typed", "drfm/config/presets/cpu.yaml", "drfm/data/drawn/worker.py"} <= names
    assert {
        f"drfm/serving/page/{name}" for name in ("index.html", "page.css", "page.js", "icon.svg")
    } <= names


def test_the_wheel_says_its_version_licence_and_command(wheel):
    (folder,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = wheel.read(f"{folder}/METADATA").decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"\nVersion: {project['version']}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "drfm = drfm.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()


def test_every_extra_that_a_message_names_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "src" / "drfm").rglob("*.py")]
    named = {part.partition("]")[0] for text in texts for part in text.split("drfm[")[1:]}
    assert named
    assert named <= extras.keys()


def test_no_dependency_brings_torchvision():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8") + (ROOT / "constraints.txt").read_text()
    assert "torchvision" not in text

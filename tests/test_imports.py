"""The map of docs/architecture.md, kept true: imports go one way, and light parts stay light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = (
    "config", "data", "video", "resolution", "models", "labels", "learning",
    "methods", "engine", "evaluation", "gallery", "serving", "recipes", "cli",
)  # fmt: skip
EXTRAS = (
    "matplotlib", "transformers", "h5py", "faiss", "huggingface_hub", "tensorboard", "pymilvus", "av",
    "onnxruntime", "trackers", "supervision",
)  # fmt: skip
LEAVES = ("errors", "files", "hub", "onnxfile", "progress")
SOURCE = Path(__file__).parents[1] / "src" / "drfm"
TORCH_FREE = ("config", "data", "video", "cli", *LEAVES)


def modules(room: str) -> list[Path]:
    return sorted([*SOURCE.glob(f"{room}.py"), *SOURCE.glob(f"{room}/**/*.py")])


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute names of all modules that a module imports, wherever in its text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            module = base + (node.module or "")
            yield module.rstrip(".")
            yield from (f"{module}.{alias.name}".replace("..", ".") for alias in node.names)


def rooms_of(path: Path) -> set[str]:
    package = ".".join(["drfm", *path.relative_to(SOURCE).parts[:-1]])
    names = imports(ast.parse(path.read_text(encoding="utf-8")), package)
    return {name.split(".")[1] for name in names if name.startswith("drfm.")} & {*ROOMS, *LEAVES}


def at_import(tree: ast.Module) -> Iterator[str]:
    """Names of modules that are imported when the module is, not inside a function or for types alone."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imports(node, "drfm")
        waiting.extend(ast.iter_child_nodes(node))


def test_the_map_names_every_room():
    found = {
        path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - {"__init__", "__main__"} == {*ROOMS, *LEAVES}
    text = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert " -> ".join(room for room in ROOMS) in text


@pytest.mark.parametrize("room", ROOMS)
def test_an_arrow_points_only_to_the_right(room):
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *LEAVES}
    for path in modules(room):
        assert rooms_of(path) <= allowed, path


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_imports_errors_alone(leaf):
    for path in modules(leaf):
        assert rooms_of(path) <= {"errors"}, path


def test_the_package_itself_imports_no_room():
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    assert not [name for name in at_import(tree) if name.startswith("drfm")]


def test_the_engine_sees_neither_evaluation_nor_a_method():
    for path in modules("engine"):
        names = set(imports(ast.parse(path.read_text(encoding="utf-8")), "drfm.engine"))
        assert not any(name.startswith("drfm.evaluation") for name in names), path
        assert {name for name in names if name.startswith("drfm.methods")} <= {
            "drfm.methods.base", "drfm.methods.base.Method",
        }, path  # fmt: skip


def test_extras_are_imported_late_and_torchvision_never():
    for path in SOURCE.glob("**/*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not {name.split(".")[0] for name in at_import(tree)} & {*EXTRAS}, path
        assert "torchvision" not in {name.split(".")[0] for name in imports(tree, "drfm")}, path


def test_torch_waits_until_a_command_runs():
    light = [path for room in TORCH_FREE for path in modules(room)]
    names = [".".join(("drfm", *path.relative_to(SOURCE).with_suffix("").parts)) for path in light]
    script = (
        "import importlib, sys\n"
        f"for name in {['drfm', *names]!r}:\n"
        "    importlib.import_module(name.removesuffix('.__init__'))\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr

from pathlib import Path


def detect_kind(root: Path) -> str:
    raise NotImplementedError

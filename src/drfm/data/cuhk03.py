from pathlib import Path
from drfm.data.records import Dataset


def read_cuhk03(root: Path) -> Dataset:
    raise NotImplementedError

from pathlib import Path
from drfm.data.records import Dataset


def read_msmt17(root: Path) -> Dataset:
    raise NotImplementedError

from pathlib import Path
from drfm.data.records import Dataset


def read_viper(root: Path) -> Dataset:
    raise NotImplementedError


read_prid2011 = read_grid = read_viper

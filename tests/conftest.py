"""Options and folders that all tests share."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: give --slow"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of research data sets, from DRFM_DATA; the test is skipped where there is none."""
    folder = Path(os.environ.get("DRFM_DATA", "../shared/data"))
    if not folder.is_dir():
        pytest.skip("no research data: set DRFM_DATA")
    return folder

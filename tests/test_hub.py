"""Files of the hub, without a hub."""

import sys
from pathlib import Path

import pytest

from drfm.hub import fetch

hub = pytest.importorskip("huggingface_hub")


class Client:
    """Stands for the hub's client: what is asked of it, and what it has."""

    def __init__(self, local=False, remote=False):
        self.local, self.remote, self.asked = local, remote, []

    def hf_hub_download(self, repository, file, local_files_only=False):
        self.asked.append("local" if local_files_only else "download")
        if not (self.local if local_files_only else self.remote):
            raise hub.errors.LocalEntryNotFoundError("no such file\nhere")
        return f"/cache/{repository}/{file}"

    def get_hf_file_metadata(self, url, timeout):
        self.asked.append("question")
        if not self.remote:
            raise RuntimeError("no network")


@pytest.mark.parametrize(
    ("local", "remote", "asked"),
    [
        (True, False, ["local"]),
        (True, True, ["local"]),
        (False, True, ["local", "question", "download"]),
        (False, False, ["local", "question"]),
    ],
)
def test_the_hub_is_asked_once_and_only_for_what_is_not_here(monkeypatch, local, remote, asked):
    client = Client(local, remote)
    monkeypatch.setattr(hub, "hf_hub_download", client.hf_hub_download)
    monkeypatch.setattr(hub, "get_hf_file_metadata", client.get_hf_file_metadata)
    if local or remote:
        assert fetch("a/b", "c.bin") == Path("/cache/a/b/c.bin")
    else:
        with pytest.raises(ConnectionError, match="RuntimeError"):
            fetch("a/b", "c.bin")
    assert client.asked == asked


def test_a_missing_client_is_an_import_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError):
        fetch("a/b", "c.bin")

"""Files of the Hugging Face hub; a machine that cannot reach it is told so within seconds."""

import contextlib
from pathlib import Path

_PATIENCE = 10.0
"""Seconds to wait for the hub's first answer."""


def fetch(repository: str, file: str) -> Path:
    """The local copy of a file of the hub, downloaded only where this machine has none.

    Args:
        repository: ``owner/name``.
        file: path in the repository.

    Raises:
        ImportError: huggingface_hub is not installed.
        ConnectionError: the hub cannot be reached, or has no such file for this user; the
            message is the name of the client's exception.
    """
    import huggingface_hub

    with contextlib.suppress(OSError, ValueError):
        return Path(huggingface_hub.hf_hub_download(repository, file, local_files_only=True))
    try:
        # A download repeats its first question for half a minute where there is no network.
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file), timeout=_PATIENCE)
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except Exception as error:  # HTTP clients have exceptions of their own
        raise ConnectionError(type(error).__name__) from error

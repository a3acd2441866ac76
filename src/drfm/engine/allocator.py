"""Memory that training frees and asks for again at every step, kept by the process."""

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Names of glibc's options in ``malloc.h``."""
_MB = 1 << 20


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, instead of giving it back and taking it again.

    By default glibc maps every large block anew, and the kernel fills each of its pages with zeros
    before the first write: more work than many a tensor operation. Blocks of up to 32 MB, the most that
    glibc allows, now come from memory that the process keeps, up to 2 GB of it. Results do not change.

    Returns:
        Whether the C library took the options: only glibc has them.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    wanted = ((_TRIM_THRESHOLD, 2048 * _MB - 1), (_TOP_PAD, 256 * _MB), (_MMAP_THRESHOLD, 32 * _MB))
    return all(library.mallopt(option, value) == 1 for option, value in wanted)

import platform
import subprocess
import sys
import textwrap

import pytest

PROBE = textwrap.dedent(
    """
    import resource, sys
    import numpy as np
    from drfm.engine.allocator import keep_freed_memory
    if sys.argv[1] == "kept":
        assert keep_freed_memory()
    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            [np.ones(250_000) for _ in range(40)]
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    faults()
    print(faults())
    """
)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_freed_memory_is_used_again_without_new_pages():
    """Twenty times forty arrays of 2 MB are 390,000 pages; hardly any is new where memory is kept."""
    plain, kept = (
        int(subprocess.run([sys.executable, "-c", PROBE, mode], check=True, capture_output=True).stdout)
        for mode in ("plain", "kept")
    )
    assert kept < 5000 < plain

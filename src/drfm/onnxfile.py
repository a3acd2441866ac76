"""Opening an ONNX file with ONNX Runtime, which is an extra."""

from pathlib import Path
from typing import Any

from drfm.errors import DrfmError


def open_onnx(file: Path, threads: int, *, user: str, missing: str) -> Any:
    """An ``InferenceSession`` on a GPU where the installed ONNX Runtime has one, else on the CPU.

    Args:
        file: the ONNX file.
        threads: of one operation on the CPU; 0 means one for each core.
        user: what needs it, for the message where ONNX Runtime is not installed.
        missing: what to do where there is no such file.

    Raises:
        DrfmError: ONNX Runtime is not installed, or the file is missing or no ONNX model.
    """
    try:
        import onnxruntime
    except ImportError:
        raise DrfmError(f"{user} needs onnxruntime: pip install 'drfm[onnx]'") from None
    if not file.is_file():
        raise DrfmError(f"{file}: no such file; {missing}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The library warns of every shape that it cannot foresee, and sizes of crops are such.
    options.log_severity_level = 3
    offered = onnxruntime.get_available_providers()
    chosen = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in offered]
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=chosen)
    except Exception as error:  # the library's exceptions have no common base
        reason = " ".join(str(error).split())[:120]
        raise DrfmError(f"{file}: cannot be opened as an ONNX model ({reason}); export it again") from None

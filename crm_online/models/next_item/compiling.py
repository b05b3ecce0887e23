"""Compile kernels with numba, keeping the machine code between runs wherever a folder allows it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a kernel at its first call, or load what an earlier run compiled.

    The machine code rests in ``__pycache__`` beside the source, else in the user's cache folder,
    else in the folder that ``NUMBA_CACHE_DIR`` names; where none of them can be written, each
    process compiles anew. Floating point stays as written (no ``fastmath``), so replicas on
    different machines agree.

    Parameters
    ----------
    function
        A function in the part of Python that numba compiles.

    Returns
    -------
    The same function, compiled.
    """
    import numba  # noqa: PLC0415 - only who makes a NextItem pays

    try:
        kernel = numba.njit(cache=True)(function)
    except RuntimeError:
        return cast("Function", numba.njit(function))
    _stamp_with_all_kernels(kernel)
    return cast("Function", kernel)


def _stamp_with_all_kernels(kernel: Any) -> None:
    """Let a change to any kernel outdate them all: numba looks at the caller's own file only."""
    files: Any = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if hasattr(files, "_source_stamp"):
        folder = Path(kernel.py_func.__code__.co_filename).parent
        files._source_stamp = _sources_digest(folder)  # noqa: SLF001 - numba offers no public way


@functools.cache
def _sources_digest(folder: Path) -> str:
    """Digest of all sources in a folder."""
    digest = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()

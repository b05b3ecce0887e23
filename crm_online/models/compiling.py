"""Compile kernels with numba, keeping the machine code between runs wherever a folder allows it."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

__all__ = ["compiled", "is_compiling"]

_log = logging.getLogger(__name__)

CONSTANTS = ("layout.py", "weights.py")
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a kernel at its first call, or load what an earlier run compiled.

    The machine code rests in ``__pycache__`` beside the source, else in the user's cache folder,
    else in the folder that ``NUMBA_CACHE_DIR`` names; where none of them can be written, each
    process compiles anew. Floating point stays as written (no ``fastmath``): free to take sums in
    another order, the compiler does so differently when it has just compiled what a kernel calls
    than when it has loaded it, and a learner that was restarted would differ from one that was
    not. Division by zero is not checked for, which would keep loops from being vectorised.

    Parameters
    ----------
    function
        A function in the part of Python that numba compiles.

    Returns
    -------
    The same function, compiled.
    """
    import numba  # noqa: PLC0415 - only who makes a NextItem pays

    _compiler.listen()
    try:
        kernel = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        return cast("Function", numba.njit(error_model="numpy")(function))
    _stamp_with_all_kernels(kernel)
    return cast("Function", kernel)


def is_compiling() -> bool:
    """Tell whether a kernel is being compiled, not loaded, which takes half a minute once.

    Examples
    --------
    >>> is_compiling()
    False
    """
    return _compiler.depth > 0


class _Compiler:
    """Listens to numba: how many kernels it is compiling, one within the other."""

    def __init__(self) -> None:
        self.depth = 0
        self._listens = False
        self._said = False

    def listen(self) -> None:
        if self._listens:
            return
        from numba.core import event  # noqa: PLC0415 - as above

        self._listens = True
        event.Listener.register(_Compiler)
        event.register("numba:compile", self)  # type: ignore[no-untyped-call]

    def notify(self, event: Any) -> None:
        self.depth += 1 if event.is_start else -1
        if not self._said:
            self._said = True
            _log.info("compiling, once per machine: this takes half a minute")


_compiler: Final = _Compiler()


def _stamp_with_all_kernels(kernel: Any) -> None:
    """Let a change to any kernel outdate them all: numba looks at the caller's own file only."""
    files: Any = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if hasattr(files, "_source_stamp"):
        folder = Path(kernel.py_func.__code__.co_filename).parent
        files._source_stamp = _sources_digest(folder)  # noqa: SLF001 - numba offers no public way


@functools.cache
def _sources_digest(folder: Path) -> str:
    """Digest of the kernels in a folder, and of the constants and arrays they work with."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for source in sorted(folder.glob("*.py")):
        content = source.read_bytes()
        if b"models.compiling import" in content or source.name in CONSTANTS:
            digest.update(source.name.encode() + content)
    return digest.hexdigest()

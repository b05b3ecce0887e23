"""How the C library hands out memory to a worker's threads."""

from __future__ import annotations

import ctypes
import platform
from typing import Final

__all__ = ["share_one_heap"]

_M_ARENA_MAX: Final = -8  # of glibc's malloc.h


def share_one_heap() -> None:
    """Let all threads allocate from one heap; call it before there are any others.

    glibc gives each thread a heap that grows by a page per system call: a restore, which has a
    thread of its own, asked for every four customers. The common one grows by 128 KB, and
    Python's lock lets no two threads allocate at once anyway. Elsewhere than on glibc this does
    nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)

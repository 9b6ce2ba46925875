"""Freed memory stays with the process: on the CPU every step takes again what the one before it gave back."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Tells glibc's malloc to keep what is freed; other systems are left as they are.

    Otherwise large tensors, gradients above all, come from the kernel page by page and go back to it in each step.
    """
    if platform.libc_ver()[0] == "glibc":
        malloc = ctypes.CDLL(None)
        malloc.mallopt(M_MMAP_MAX, 0)
        malloc.mallopt(M_TRIM_THRESHOLD, MOST)

"""Memory that a batch frees stays for the next one, instead of going back to the kernel page by page."""

import ctypes
import platform

# Of glibc's malloc.h. It puts nothing of more than 32 MB on the heap; and once one threshold is set, it does not raise
# the other by itself: the heap's free end would go back as soon as it had 128 KB.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_ON_HEAP, KEPT = 32 * 2**20, 128 * 2**20  # bytes


def keep_freed_memory() -> None:
    """Tells glibc's malloc to keep up to 128 MB that are free at the end of its heap; other systems stay as they are.

    Otherwise gradients and activations, some MB each, come from the kernel anew for each batch on the CPU. Larger
    tensors still come and go one by one, so that memory does not grow.
    """
    if platform.libc_ver()[0] == "glibc":
        malloc = ctypes.CDLL(None)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGEST_ON_HEAP)
        malloc.mallopt(M_TRIM_THRESHOLD, KEPT)

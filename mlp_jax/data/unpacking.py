"""Unpack compressed files, but no further than their headers say, than data sets go, and than memory allows.

Invariant: a small file never takes gigabytes: content larger than LARGE and than RATIO times its file is refused.
"""

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import psutil

from mlp_jax.data.errors import DataError

SHARE = 0.8  # of the free memory that a file may take
LARGE = 1 << 30  # bytes
RATIO = 200  # tables and images have ratios of a few dozen
CHUNK = 1 << 20


def check(what: object, packed: int, unpacked: int) -> None:
    """Raise a DataError unless `packed` bytes may unpack to `unpacked` bytes.

    Args:
        what: names the file in the message.
    """
    if unpacked > SHARE * psutil.virtual_memory().available:
        raise DataError(f"{what} unpacks to {unpacked / 1e9:,.1f} GB, more than there is memory; give a part of it")
    if unpacked > max(LARGE, RATIO * packed):
        raise DataError(
            f"{what} has {packed / 1e6:,.1f} MB and unpacks to {unpacked / 1e9:,.1f} GB or more, which no data set "
            "does; give it uncompressed"
        )


def check_gzip(path: Path) -> None:
    """Raise a DataError unless all of a gzip file may be unpacked; the check itself takes little memory.

    Raises:
        EOFError, gzip.BadGzipFile, zlib.error: the file is damaged.
    """
    packed, size = path.stat().st_size, 0
    with gzip.open(path) as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            check(path, packed, size)


def gunzip(content: bytes, size_of: Callable[[bytes], int], what: object) -> bytes:
    """Return the content of a gzip file, at most one byte more than the header of the content says.

    Args:
        size_of: returns the size of the content from its first bytes.

    Raises:
        DataError: it is not a complete gzip file, or too large.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            head = file.read(16)
            size = size_of(head)
            check(what, len(content), size)
            return head + file.read(max(0, size - len(head)) + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{what} is no whole gzip file ({error}); get it again") from error

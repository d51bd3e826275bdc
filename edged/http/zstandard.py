"""Zstandard as a content coding: the library, chosen in this place alone, and how it is used here.

From Python 3.14 on it is `compression.zstd` of the standard library, before that its backport, which is
the same code; both bind libzstd. A coder writes frames with a checksum, of the same octets for the same
body. A decoder takes one frame, with a window of WINDOW_BYTES at most, and no dictionary.

The decoder keeps the window and a block or two: 8.3 MiB at most, as soon as a frame has given so much.
Sources: RFC 8878, RFC 9659 3.
"""

import sys
from typing import Final

if sys.version_info >= (3, 14):
    from compression.zstd import (
        CompressionParameter,
        DecompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
        ZstdError,
    )
else:
    from backports.zstd import (
        CompressionParameter,
        DecompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
        ZstdError,
    )

__all__ = ["WINDOW_BYTES", "ZstdError", "zstd_compressor", "zstd_decompressor"]

_WINDOW_LOG: Final = 23
WINDOW_BYTES: Final = 1 << _WINDOW_LOG  # RFC 9659 3: who decodes supports as much, who encodes uses no more

_LEVEL: Final = 3  # as small as gzip at level 4 on DICOM JSON, in a quarter of its time
_TO_ENCODE: Final[dict[int, int]] = {
    CompressionParameter.compression_level: _LEVEL,
    CompressionParameter.checksum_flag: 1,
}
_TO_DECODE: Final[dict[int, int]] = {DecompressionParameter.window_log_max: _WINDOW_LOG}


def zstd_compressor() -> ZstdCompressor:
    """Return what encodes one body as one frame. Its window is 2 MiB, which every user agent supports."""
    return ZstdCompressor(options=_TO_ENCODE)


def zstd_decompressor() -> ZstdDecompressor:
    """Return what decodes one frame, or skips a skippable one; it raises ZstdError."""
    return ZstdDecompressor(options=_TO_DECODE)

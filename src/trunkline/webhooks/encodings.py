"""Bodies that arrive compressed, unpacked within a limit: a kilobyte may stand for a gigabyte."""

import zlib
from typing import Final

# RFC 9110 §8.4.1; x-gzip is gzip's older name.
_GZIP: Final = frozenset({"gzip", "x-gzip"})
# Those that exist but cannot be unpacked here; nobody asked for them.
_FOREIGN: Final = frozenset({"br", "zstd", "compress", "x-compress"})
# Whatever else a header says is taken for no encoding.
ENCODINGS: Final = _GZIP | _FOREIGN | {"deflate"}

_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
# The low four bits of a zlib stream's first byte (RFC 1950 §2.2).
_ZLIB_METHOD: Final = 8


class Inflater:
    """Unpack one body; broken data, and foreign ones, raise zlib.error."""

    def __init__(self, encoding: str) -> None:
        self._is_foreign = encoding in _FOREIGN
        self._unpacker = zlib.decompressobj(_GZIP_BITS) if encoding in _GZIP else None

    def inflate(self, data: bytes, size_max: int) -> bytes:
        """Return at most *size_max* bytes of what *data* stand for; the rest of *data* is lost."""
        if self._is_foreign:
            raise zlib.error("the encoding was not asked for")
        if self._unpacker is None:
            # Some servers mean a zlib stream by "deflate", as RFC 9110 does, and some do not.
            is_raw = data[0] & 0x0F != _ZLIB_METHOD
            self._unpacker = zlib.decompressobj(-zlib.MAX_WBITS if is_raw else zlib.MAX_WBITS)
        return self._unpacker.decompress(data, size_max)

    @property
    def is_whole(self) -> bool:
        """Whether the stream came to its end; one of no bytes at all has none."""
        return self._unpacker is None or self._unpacker.eof

"""The bytes of media in a bucket of an S3-compatible object store, under their SHA-256.

Rule: whoever puts bytes there writes them under a name that is this turn's own, so that whoever
removes the copies of earlier turns at the same moment does not meet it.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store
from sqlalchemy import Engine

from trunkline.store.media import IDLE_SECONDS, MediaFiles
from trunkline.store.media_rows import MediaRows


class MediaBucket(MediaFiles):
    """Content in a bucket; what was kept elsewhere *before* is found there still."""

    def __init__(self, bucket: S3Store, *, before: MediaFiles, now: Callable[[], float]) -> None:
        super().__init__(before.directory)
        self._bucket = bucket
        self._before = before
        self._now = now

    def put(self, content: bytes) -> str:
        """Keep *content* and return its digest; in the bucket when this returns. Blocks."""
        digest = hashlib.sha256(content).hexdigest()
        name = f"{_folder(digest)}{self._turn():08x}"
        with _explained():
            copies = self._copies(digest)
            if name not in copies:
                obstore.put(self._bucket, name, content)
                self._delete(self._old(copies))
        return digest

    def find(self, digest: str) -> Path | bytes | None:
        """Return the content with this digest; None where it is gone. Blocks."""
        for _ in range(2):  # A copy that goes while we look has left a newer one.
            with _explained():
                copies = self._copies(digest)
                if not copies:
                    break
                with contextlib.suppress(NotFoundError):
                    return bytes(obstore.get(self._bucket, copies[-1]).bytes())
        return self._before.find(digest)

    def shelf(self, number: int) -> list[str]:
        """Return the digests of what is on one of the SHELVES. Blocks."""
        with _explained():
            found = obstore.list_with_delimiter(self._bucket, f"{number:02x}/")
        here = {prefix.rpartition("/")[2] for prefix in found["common_prefixes"]}
        return sorted(here | set(self._before.shelf(number)))

    def discard(self, digests: Iterable[str]) -> set[str]:
        """Remove content that no medium names, as files are; return what is gone. Blocks."""
        wanted, gone = list(digests), set()
        with _explained():
            for digest in wanted:
                copies = self._copies(digest)
                old = self._old(copies)
                self._delete(old)
                if len(old) == len(copies):
                    gone.add(digest)
        return gone & self._before.discard(wanted)

    def discard_leftovers(self) -> int:
        """Remove what a crash left half written elsewhere: here, nothing is. Blocks."""
        return self._before.discard_leftovers()

    def _turn(self) -> int:
        return int(self._now() // IDLE_SECONDS)

    def _copies(self, digest: str) -> list[str]:
        """Return the names of the copies, the oldest first."""
        pages = obstore.list(self._bucket, _folder(digest))
        return sorted(meta["path"] for page in pages for meta in page)

    def _old(self, copies: Iterable[str]) -> list[str]:
        """Return the copies that were put there more than IDLE_SECONDS ago."""
        last = self._turn() - 2
        return [name for name in copies if int(name.rpartition("/")[2], 16) <= last]

    def _delete(self, names: list[str]) -> None:
        if names:
            obstore.delete(self._bucket, names)


def open_media(
    directory: Path, *, engine: Engine | None, bucket: str | None, now: Callable[[], float]
) -> MediaFiles:
    """Return where the bytes of media are: in files, in rows of *engine*, or in a bucket.

    Raises ConnectionError when the bucket cannot be used.
    """
    files = MediaFiles(directory) if engine is None else MediaRows(directory, engine)
    if bucket is None:
        return files
    media = MediaBucket(_open_bucket(bucket), before=files, now=now)
    media.shelf(0)
    return media


def _open_bucket(url: str) -> S3Store:
    """Return the bucket at https://KEY:SECRET@host/bucket/prefix?region=name.

    Without a key the machine's own role is asked for one, as Amazon's programs do it.
    """
    parts = urlsplit(url)
    name, _, prefix = parts.path.strip("/").partition("/")
    open_it = partial(
        S3Store,
        name,
        prefix=prefix or None,
        endpoint=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        region=parse_qs(parts.query).get("region", ["us-east-1"])[0],
        virtual_hosted_style_request=False,
        # A message waits while its media are put there; who asks for one waits, too.
        client_options={
            "connect_timeout": "5s",
            "timeout": "30s",
            "allow_http": parts.scheme == "http",
        },
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
    )
    if not parts.username:
        return open_it()
    return open_it(
        access_key_id=unquote(parts.username), secret_access_key=unquote(parts.password or "")
    )


def _folder(digest: str) -> str:
    return f"{digest[:2]}/{digest}/"


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise ConnectionError for whatever the object store does not do."""
    try:
        yield
    except NotFoundError as error:
        raise ConnectionError("the bucket for media is not there") from error
    except BaseError as error:
        # Its text may name the host and what was asked for, but never the keys.
        raise ConnectionError("the bucket for media cannot be used") from error

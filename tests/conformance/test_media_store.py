"""Where the bytes of media are kept: in files, in rows, in a bucket; the same for all of them."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from tests.harness import Trunkline
from trunkline.app import StartupError
from trunkline.store.media import IDLE_SECONDS, SHELVES, MediaFiles
from trunkline.store.media_bucket import open_media

PICTURE = b"\x89PNG a picture"
DIGEST = hashlib.sha256(PICTURE).hexdigest()
SHELF = int(DIGEST[:2], 16)


@contextmanager
def bucket_at(name: str = "pictures") -> Iterator[str]:
    """Yield the URL of a bucket on an S3 server that is gone in the end."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        place = f"{host}:{port}/{name}"
        with urlopen(Request(f"http://{place}", method="PUT")) as made:
            assert made.status == 200
        yield f"http://us:s%2Fecret@{place}/media"
        # What it keeps is the process's, and would be the next server's as well.
        with urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")) as reset:
            assert reset.status == 200
    finally:
        server.stop()


@dataclass
class Kept:
    """A place for bytes, and how its time is moved."""

    media: MediaFiles
    wait: Callable[[float], None]


@pytest.fixture(params=["files", "bucket"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """Yield a place for bytes."""
    if request.param == "files":
        files = MediaFiles(tmp_path)

        def age(seconds: float) -> None:
            for path in tmp_path.rglob("*"):
                before = path.stat().st_mtime
                os.utime(path, (before - seconds, before - seconds))

        yield Kept(files, age)
        return
    times = [1_800_000_000.0]

    def wait(seconds: float) -> None:
        times[0] += seconds

    with bucket_at() as url:
        yield Kept(open_media(tmp_path, engine=None, bucket=url, now=lambda: times[0]), wait)


def content(media: MediaFiles, digest: str = DIGEST) -> bytes | None:
    """Return what is kept under a digest."""
    found = media.find(digest)
    return found.read_bytes() if isinstance(found, Path) else found


def test_bytes_are_kept_once_and_found(kept: Kept) -> None:
    """Under their digest, on its shelf; nothing and much alike."""
    for octets in (PICTURE, b"", b"x" * 3_000_000):
        digest = hashlib.sha256(octets).hexdigest()
        assert kept.media.put(octets) == kept.media.put(octets) == digest
        assert content(kept.media, digest) == octets
        assert digest in kept.media.shelf(int(digest[:2], 16))
    assert content(kept.media, "0" * 64) is None
    assert sum(len(kept.media.shelf(number)) for number in range(SHELVES)) == 3
    found, number = [], 0
    while (shelf := kept.media.next_shelf(number)) is not None:
        found += kept.media.shelf(shelf)
        number = shelf + 1
    assert len(found) == 3


def test_what_was_put_there_lately_stays(kept: Kept) -> None:
    """However often it is to go; who puts it there once more has as long again."""
    kept.media.put(PICTURE)
    assert kept.media.discard([DIGEST]) == set()
    kept.wait(2 * IDLE_SECONDS)
    kept.media.put(PICTURE)
    assert kept.media.discard([DIGEST]) == set()
    assert content(kept.media) == PICTURE
    kept.wait(3 * IDLE_SECONDS)
    assert kept.media.discard([DIGEST, "0" * 64]) == {DIGEST, "0" * 64}
    assert content(kept.media) is None
    assert kept.media.shelf(SHELF) == []


@pytest.mark.sqlite
async def test_a_program_keeps_its_media_in_a_bucket(tmp_path: Path) -> None:
    """What was on disk before is still served; new media leave nothing there, and can go."""
    first = Trunkline(tmp_path / "data")
    first.receiver.script = lambda seen: (200, "image/png", b"old")
    old = (await first.send(MediaUrl="https://shop.example/old.png")).json
    await first.run_for(5)
    await first.close()
    with bucket_at() as url:
        program = Trunkline(tmp_path / "data", media_bucket=url)
        program.receiver.script = lambda seen: (200, "image/png", PICTURE)
        new = (await program.send(MediaUrl="https://shop.example/new.png")).json
        await program.run_for(5)
        assert (await program.message(new["sid"]))["status"] == "delivered"
        paths = []
        for message, octets in ((old, b"old"), (new, PICTURE)):
            listed = await program.request("GET", message["subresource_uris"]["media"])
            paths.append(listed.json["media_list"][0]["uri"])
            answer = await program.download(paths[-1].removesuffix(".json"), range="bytes=1-2")
            assert (answer.status, answer.body) == (206, octets[1:3])
        files = [path.name for path in (tmp_path / "data" / "media").rglob("*") if path.is_file()]
        assert files == [hashlib.sha256(b"old").hexdigest()]
        assert (await program.request("DELETE", paths[1])).status == 204
        media = program.app.platform.media_files
        for _ in range(5):  # What the server was too slow for is put off.
            await program.run_for(2 * IDLE_SECONDS)
            if not media.shelf(SHELF):
                break
        assert media.shelf(SHELF) == []
        await program.close()
    with pytest.raises(StartupError, match="media_bucket"):
        Trunkline(tmp_path / "data", media_bucket=url)

"""The bytes of media over HTTP: whole or in part, and so that a browser runs nothing of them."""

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from trunkline.domain.account import Media
from trunkline.domain.media import SHOWN_TYPES

# Bytes of strangers: no browser may take them for a page of ours, nor run what is in them.
_SAFE_HEADERS = {
    "accept-ranges": "bytes",
    "cache-control": "private",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "cross-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_CONTENT_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_OCTETS = "application/octet-stream"
# Phones and computers know by a file's name what to open it with.
_ENDINGS = {
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "audio/mpeg": ".mp3",
    "video/mp4": ".mp4",
    "video/3gpp": ".3gp",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "application/pdf": ".pdf",
    "application/vnd.apple.pkpass": ".pkpass",
}
# One range, of the first bytes or of the last; several are answered with the whole.
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def content_response(request: Request, media: Media, *, content: Path | bytes) -> Response:
    """Return an answer with the bytes of a medium, or the range of them that is asked for.

    What a browser can show is shown in place; everything else, HTML and SVG above all, is saved.
    """
    is_clean = _CONTENT_TYPE.fullmatch(media.content_type) is not None
    content_type = media.content_type if is_clean else _OCTETS
    kind = "inline" if content_type in SHOWN_TYPES else "attachment"
    name = media.sid + _ENDINGS.get(content_type, "")
    if isinstance(content, Path):
        return FileResponse(
            content,
            media_type=content_type,
            filename=name,
            content_disposition_type=kind,
            headers=_SAFE_HEADERS,
        )
    headers = {**_SAFE_HEADERS, "content-disposition": f'{kind}; filename="{name}"'}
    if media.digest:
        headers["etag"] = f'"{media.digest}"'
    return _ranged(request, content, content_type=content_type, headers=headers)


def _ranged(
    request: Request, content: bytes, *, content_type: str, headers: dict[str, str]
) -> Response:
    status, part, size = 200, content, len(content)
    condition = request.headers.get("if-range")
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked and any(asked.groups()) and condition in (None, headers.get("etag")):
        first, last = _bounds(asked[1], asked[2], size=size)
        if first >= size or last < first:
            return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
        status, part = 206, content[first : last + 1]
        headers["content-range"] = f"bytes {first}-{last}/{size}"
    headers["content-length"] = str(len(part))
    body = b"" if request.method == "HEAD" else part
    return Response(body, status_code=status, media_type=content_type, headers=headers)


def _bounds(first: str, last: str, *, size: int) -> tuple[int, int]:
    """Return the first and the last byte of a range as a client writes it."""
    if not first:
        return max(size - int(last), 0), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1

"""What is sent whole, under a tag, and compressed for who takes it."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

GZIP_MIN_BYTES = 1024
"""Below this a compressed body saves no packet."""

# Not the platform's registry: with `nosniff`, a host that calls `.js` text/plain shows no page.
_MEDIA_TYPES = mimetypes.MimeTypes(filenames=())
_MEDIA_TYPES.add_type("text/javascript", ".js")
_MEDIA_TYPES.add_type("image/svg+xml", ".svg")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, or a playlist, ready to send.

    Attributes:
        body: Its bytes.
        gzipped: The same, compressed, or None where that saves nothing.
        media_type: The Content-Type without its charset.
        digest: Names the content; the entity tags are made of it.
    """

    body: bytes
    gzipped: bytes | None
    media_type: str
    digest: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> Asset:
        """Return these bytes, ready to send. Takes a while for many: not for the loop."""
        small = gzip.compress(body, mtime=0) if len(body) >= GZIP_MIN_BYTES else body
        gzipped = small if len(small) < len(body) else None
        return cls(body, gzipped, media_type, hashlib.sha256(body).hexdigest()[:32])

    def respond(self, request: Request, status: int = 200, more: Mapping[str, str] = {}) -> Response:
        """Answer `request` with this, under `more` headers, or with 304 when the client has it already."""
        body, headers = self._negotiate(request)
        headers |= more
        tags = request.headers.get("if-none-match", "").split(",")
        if status == 200 and headers["etag"] in (tag.strip().removeprefix("W/") for tag in tags):
            return Response(status_code=304, headers=headers)
        return Response(body, status, headers, media_type=self.media_type)

    def _negotiate(self, request: Request) -> tuple[bytes, dict[str, str]]:
        # RFC 9110 §8.8.3: a strong entity tag names one representation, so gzip has its own.
        headers = {"cache-control": "no-cache", "vary": "accept-encoding"}
        if self.gzipped is None or not accepts_gzip(request):
            return self.body, headers | {"etag": f'"{self.digest}"'}
        return self.gzipped, headers | {"etag": f'"{self.digest}-gz"', "content-encoding": "gzip"}


def accepts_gzip(request: Request) -> bool:
    """Tell whether the client names gzip in Accept-Encoding and does not refuse it by `q=0`."""
    for coding in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = coding.replace(" ", "").partition(";")
        if name == "gzip":
            return weight.rstrip("0.") != "q="
    return False


def load_assets(root: Path) -> dict[str, Asset]:
    """Read every file below `root`, keyed by its path with forward slashes."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): _load_asset(path) for path in files}


def _load_asset(path: Path) -> Asset:
    media_type, _ = _MEDIA_TYPES.guess_type(path.name)
    return Asset.of(path.read_bytes(), media_type or "application/octet-stream")

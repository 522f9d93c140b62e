"""Content-Type by file name."""

from __future__ import annotations

import mimetypes

_MORE = {
    ".avif": "image/avif",
    ".cjs": "text/javascript",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".jsonld": "application/ld+json",
    ".log": "text/plain",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mkv": "video/x-matroska",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".toml": "application/toml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}

_TEXT = frozenset({b"application/json", b"application/javascript", b"application/xml"})


class MediaTypes:
    """The interpreter's own table with today's additions; the machine's files are not read, so that
    the same site answers alike on every machine."""

    def __init__(self) -> None:
        self._types = mimetypes.MimeTypes()
        for ending, kind in _MORE.items():
            self._types.add_type(kind, ending)
        # An archive is sent as what it is: nobody has asked to have it unpacked on the way.
        self._types.encodings_map = {}
        self._types.suffix_map = {}

    def of(self, name: str) -> bytes:
        kind, _ = self._types.guess_type("/" + name)
        if kind is None:
            return b"application/octet-stream"
        # HTML, XML and CSS say in themselves what they are encoded in; other text cannot.
        if kind.startswith("text/") and kind not in ("text/html", "text/xml", "text/css"):
            kind += "; charset=utf-8"
        return kind.encode()


def is_text(kind: bytes) -> bool:
    """Whether what has this Content-Type is text, which compresses well. A font, a wasm module and
    an image are not, but SVG is: it is XML."""
    essence = kind.partition(b";")[0].strip().lower()
    return essence.startswith(b"text/") or essence in _TEXT or essence.endswith((b"+json", b"+xml"))

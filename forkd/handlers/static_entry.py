"""What is known of a file that is served: its representations, and how they are made.

A file has one representation as it is, and one for each content coding: a file beside it (`.br`,
`.zst`, `.gz`), or what `compress` made of it. All are made when the file is first asked for.
"""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from forkd.config.settings import StaticRoute
from forkd.handlers.base import Headers, Response, apply_rules
from forkd.handlers.files import Follow, Found, locate, open_checked
from forkd.handlers.media_types import MediaTypes, is_text
from forkd.handlers.open_files import OpenFiles
from forkd.loop.stream import FileRange
from forkd.proto.http1.dates import http_date
from forkd.proto.http1.negotiation import choose_coding
from forkd.proto.http1.response import make_prefix

KEPT_SIZE = 64 * 1024
"""Files up to this size are kept in memory."""
FRESH_S = 1.0
COMPRESSED_FROM = 256
"""Below this the head outweighs what compression saves."""

_BESIDE = MappingProxyType({b"br": b".br", b"zstd": b".zst", b"gzip": b".gz"})
"""Codings with the endings of their files. First what saves most."""
_MOST_CHOICES = 32
_LONGEST_CHOICE = 256


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how it is reached, to be opened."""

    root: bytes
    found: Found
    follow: Follow

    def open(self) -> int:
        """Raises OSError where it is not what it was."""
        return open_checked(self.root, self.found, self.follow)

    def is_unchanged(self) -> bool:
        """Whether what lies there is what was found."""
        try:
            return self.found.is_same(os.stat(self.found.path))
        except OSError:
            return False


class Opener:
    """Opens a range of a file for one response after another."""

    __slots__ = ("_count", "_files", "_found", "_identity", "_offset", "_open")

    def __init__(self, files: OpenFiles, source: Source, offset: int, count: int) -> None:
        self._files = files
        self._found = source.found
        self._open = source.open
        self._identity = (source.found.device, source.found.inode)
        self._offset = offset
        self._count = count

    def __call__(self) -> FileRange:
        """Raises OSError where the file is not what was found."""
        if not self._found.is_same(os.stat(self._found.path)):
            raise FileNotFoundError(errno.ENOENT, "changed meanwhile", self._found.path)
        file = self._files.take(self._identity, self._open)
        return FileRange(file, self._offset, self._count)


@dataclass(frozen=True, slots=True)
class Representation:
    """The bytes that one client gets of a file, with what does not change while they do not."""

    source: Source
    coding: bytes
    """Empty: the file as it is."""
    size: int
    etag: bytes
    last_modified: int
    kind: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    """Those that 200 and 206 share, without the Content-Type."""
    whole: Response
    not_modified: Response

    @property
    def is_kept(self) -> bool:
        """Whether the body is in memory."""
        return self.whole.open_file is None


@dataclass(slots=True)
class Entry:
    """A file with its representations; `beside` is what was there in other codings."""

    source: Source
    beside: dict[bytes, Source]
    original: Representation
    encoded: dict[bytes, Representation]
    """By coding, in the order of our preference."""
    fresh_until: float = 0.0
    _choices: dict[bytes, Representation] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Bytes of bodies in memory."""
        return sum(len(one.whole.body) for one in (self.original, *self.encoded.values()))

    def choose(self, accepted: bytes | None) -> Representation:
        """The representation for an Accept-Encoding header."""
        if accepted is None or not self.encoded:
            return self.original
        chosen = self._choices.get(accepted)
        if chosen is None:
            coding = choose_coding(accepted, tuple(self.encoded))
            chosen = self.encoded.get(coding, self.original)
            if len(self._choices) < _MOST_CHOICES and len(accepted) <= _LONGEST_CHOICE:
                self._choices[accepted] = chosen
        return chosen

    def checked(self, now: float) -> None:
        """It has been looked at. What is not in memory is looked at again for each response: when
        it is opened, or else before each."""
        self.fresh_until = now + FRESH_S
        for one in (self.original, *self.encoded.values()):
            one.whole.fresh_until = self.fresh_until
            if one.is_kept:
                one.not_modified.fresh_until = self.fresh_until


class Maker:
    """Makes the entries of one route."""

    def __init__(
        self, settings: StaticRoute, types: MediaTypes, root: bytes, files: OpenFiles
    ) -> None:
        self._settings = settings
        self._files = files
        self._types = types
        self._root = root
        self._follow = Follow(settings.follow_symlinks)
        self._common: tuple[tuple[bytes, bytes], ...] = ()
        if settings.cache_control is not None:
            self._common = ((b"Cache-Control", settings.cache_control.encode()),)

    def make(self, found: Found) -> Entry:
        """Raises OSError where the file may not be read; what lies beside it is then left out."""
        source = Source(self._root, found, self._follow)
        kind = self._types.of(os.fsdecode(os.path.basename(found.path)))
        body = _read(source)
        beside = self.beside(found)
        bodies = dict(self._encoded(source, kind, body, beside))
        encoded = {
            coding: self._represent(one, packed, kind, coding, varies=True)
            for coding, (one, packed) in bodies.items()
        }
        original = self._represent(source, body, kind, b"", varies=bool(encoded))
        return Entry(source, beside, original, encoded)

    def _encoded(
        self, source: Source, kind: bytes, body: bytes | None, beside: dict[bytes, Source]
    ) -> Iterator[tuple[bytes, tuple[Source, bytes | None]]]:
        """By coding, in the order of preference, the file and its content where that is kept."""
        for coding in _BESIDE:
            if (other := beside.get(coding)) is not None:
                with suppress(OSError):
                    yield coding, (other, _read(other))
            elif coding == b"gzip" and self._settings.compress and body is not None:
                packed = _compressed(kind, body)
                if packed is not None:
                    yield coding, (source, packed)

    def beside(self, found: Found) -> dict[bytes, Source]:
        """By coding, the files that hold the same in that coding. One that is older does not."""
        return dict(self._look_beside(found))

    def is_unchanged(self, entry: Entry) -> bool:
        """Whether a file and what lies beside it are what they were."""
        source = entry.source
        return source.is_unchanged() and self.beside(source.found) == entry.beside

    def _look_beside(self, found: Found) -> Iterator[tuple[bytes, Source]]:
        path = found.path[len(self._root) :]
        for coding, ending in _BESIDE.items():
            # A route of one file has its path as the root: what lies beside has another root.
            root, rest = (self._root, path + ending) if path else (self._root + ending, b"")
            other = locate(root, rest, self._follow)
            if not isinstance(other, Found) or other.is_directory:
                continue
            if other.mtime_ns >= found.mtime_ns:
                yield coding, Source(root, other, self._follow)

    def _represent(
        self,
        source: Source,
        body: bytes | None,
        kind: bytes,
        coding: bytes,
        *,
        varies: bool,
    ) -> Representation:
        found = source.found
        last_modified = found.mtime_ns // 1_000_000_000
        mark = b"-" + coding if coding else b""
        etag = b'"%x-%x%b"' % (found.mtime_ns, found.size, mark)
        size = found.size if body is None else len(body)
        lasting = [
            (b"Last-Modified", http_date(last_modified)),
            (b"ETag", etag),
            *self._common,
        ]
        if varies:
            lasting.append((b"Vary", b"Accept-Encoding"))
        headers = [*lasting, (b"Accept-Ranges", b"bytes")]
        if coding:
            headers.append((b"Content-Encoding", coding))
        length = (b"Content-Length", b"%d" % size)
        prefix = self._prefix(200, [(b"Content-Type", kind), *headers, length])
        opener = Opener(self._files, source, 0, size) if body is None else None
        return Representation(
            source,
            coding,
            size,
            etag,
            last_modified,
            kind,
            tuple(headers),
            Response(200, prefix, body or b"", opener, size),
            Response(304, self._prefix(304, lasting)),
        )

    def _prefix(self, status: int, headers: Headers) -> bytes:
        return make_prefix(status, apply_rules(headers, self._settings.headers))


def _read(source: Source) -> bytes | None:
    """The content of a file that is kept, None of one that is not. Raises OSError."""
    descriptor = source.open()
    try:
        size = source.found.size
        if size > KEPT_SIZE:
            return None
        body = os.read(descriptor, KEPT_SIZE + 1)
    finally:
        os.close(descriptor)
    # It may have grown since, or shrunk: then it is opened anew, and found to have changed.
    return body[:size] if len(body) >= size else None


def _compressed(kind: bytes, body: bytes) -> bytes | None:
    """A text by gzip, which takes a few milliseconds at most; None where that saves nothing."""
    if len(body) < COMPRESSED_FROM or not is_text(kind):
        return None
    # Without the time of day all workers make the same bytes, as a strong ETag says.
    packed = gzip.compress(body, mtime=0)
    return packed if len(packed) < len(body) else None

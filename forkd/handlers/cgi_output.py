"""What a program's output becomes: an answer by the header in it, or its own bytes (nph-).

The header is read here, and what it asks for is done. The pipe that it comes from, and what
becomes of the program, are the job's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from forkd.config.settings import HeaderChanges
from forkd.errors import ProtocolError
from forkd.handlers.base import Exchange, Request
from forkd.handlers.header_rules import with_rules
from forkd.handlers.sent_file import SentFile, find_file
from forkd.proto.cgi import CgiHead, ResponseParser
from forkd.proto.http1.raw_response import RawResponse

_KEPT_BACK = 16384
_RAW = "nph-"
"""Names of scripts that write a whole response begin so (RFC 3875 section 5)."""

Begun = Callable[[], None]
Elsewhere = Callable[[Exchange], None]
"""Answers in the program's place. The job has no more to do with the exchange by then."""


class Output(Protocol):
    """Of one program, on its way to the client. What it raises is ProtocolError(502)."""

    has_head: bool
    """The header has been read: the request cannot fail for want of it any more."""

    def put(self, exchange: Exchange, data: bytes, begun: Begun) -> Elsewhere | None:
        """Take what the program wrote, and send what of it can be sent.

        begun: is told of an answer that is kept back for a moment, when it has begun after all.
        """

    def check_end(self) -> None:
        """The output has ended, after its header: raise where the answer cannot be whole."""

    def finish(self, exchange: Exchange) -> None:
        """The output has ended, and that was checked: so does the answer."""

    def eof(self) -> ProtocolError:
        """Why output that ended before its header did is no answer."""


def output_of(
    script: str,
    directories: tuple[Path, ...],
    request: Request,
    warn: Callable[[str], None],
) -> Output:
    """For what script writes. directories: those below which X-Sendfile may name a file."""
    if script.rpartition("/")[2].startswith(_RAW):
        return RawOutput(request, warn)
    return ParsedOutput(script, tuple(map(os.fsencode, directories)), request, warn)


class ParsedOutput:
    """A header of CGI and a body (RFC 3875 section 6)."""

    def __init__(
        self,
        script: str,
        directories: tuple[bytes, ...],
        request: Request,
        warn: Callable[[str], None],
    ) -> None:
        self.has_head = False
        self._script = script
        self._directories = directories
        self._request = request
        self._warn = warn
        self._parser = ResponseParser()
        self._held: CgiHead | None = None
        """With an X-Sendfile that is not heeded: it goes out with the body, if there is one."""
        self._answer: CgiHead | None = None
        """Kept back for a moment with the beginning of its body: most programs are over by then,
        and the answer is one packet with a known length."""
        self._body = b""

    def put(self, exchange: Exchange, data: bytes, begun: Begun) -> Elsewhere | None:
        if not self.has_head:
            head = self._parser.feed(data)
            if head is None:
                return None
            self.has_head = True
            if (target := head.local_redirect) is not None:
                return lambda exchange: exchange.redirect(target)
            if head.send_file is not None and self._directories:
                return self._file(head, head.send_file)
            data = self._parser.rest
            if head.send_file is None:
                self._keep_back(exchange, head, begun)
            else:
                self._held = head
        if self._held is not None:
            if not data and self._request.head.method != "HEAD":
                return None
            self._warn("X-Sendfile is dropped, since the route has no x_sendfile")
            self._keep_back(exchange, self._held, begun)
            self._held = None
        if self._answer is None:
            exchange.write(data)
            return None
        self._body += data
        if len(self._body) > _KEPT_BACK:
            self._begin(exchange)
        return None

    def _keep_back(self, exchange: Exchange, head: CgiHead, begun: Begun) -> None:
        self._answer = head
        exchange.loop.call_shortly(partial(self._begin_late, exchange, begun))

    def _begin_late(self, exchange: Exchange, begun: Begun) -> None:
        if self._answer is not None:
            self._begin(exchange)
            begun()

    def _begin(self, exchange: Exchange, length: int | None = None) -> None:
        """Let go of what was kept back, if it was not let go of before."""
        head, self._answer = self._answer, None
        if head is not None:
            length = length if head.content_length is None else head.content_length
            exchange.begin(head.status, head.reason, head.headers, length, self._body)
            self._body = b""

    def _file(self, head: CgiHead, name: bytes) -> Elsewhere:
        directory = os.fsencode(os.path.dirname(self._script))
        return SentFile(head, find_file(name, directory, self._directories), self._request).give

    def check_end(self) -> None:
        if self._held is not None:
            # Nobody would notice an empty answer with status 200.
            raise ProtocolError(
                502,
                "the script left its body to X-Sendfile, and the route has no x_sendfile "
                "(the directories below which files may be sent)",
            )

    def finish(self, exchange: Exchange) -> None:
        answer = self._answer
        if answer is not None:
            # What a program writes for HEAD does not say how long its answer to GET would be.
            bodiless = self._request.head.method == "HEAD" or answer.status in (204, 304)
            self._begin(exchange, None if bodiless else len(self._body))
        exchange.finish()

    def eof(self) -> ProtocolError:
        return self._parser.eof()


class RawOutput:
    """A whole response, sent as it is. What it says of the connection is believed only where it
    cannot harm the next request."""

    def __init__(self, request: Request, warn: Callable[[str], None]) -> None:
        self.has_head = False
        self._rules = request.match.route.rules
        self._warn = warn
        self._response = RawResponse(request.head.method, request.head.version)

    def put(self, exchange: Exchange, data: bytes, begun: Begun) -> Elsewhere | None:  # noqa: ARG002 nothing is kept back here
        response = self._response
        try:
            body = response.feed(data)
        except ProtocolError as error:
            raise _of_the_script(error) from None
        if self.has_head:
            exchange.write(body)
        elif (head := response.head) is not None:
            self.has_head = True
            whole = _ruled(head.data, self._rules)
            exchange.begin_raw(head.status, whole, head.length, not head.keeps, body)
        return None

    def check_end(self) -> None:
        head = self._response.head
        if head is not None and head.chunked and not self._response.complete:
            raise ProtocolError(502, "the script wrote no last chunk")

    def finish(self, exchange: Exchange) -> None:
        if self._response.cut:
            self._warn("wrote more than its response: the rest is cut off")
            exchange.close_after()
        exchange.finish()

    def eof(self) -> ProtocolError:
        return _of_the_script(self._response.eof())


def _ruled(head: bytes, rules: HeaderChanges | None) -> bytes:
    changes = rules is not None and (rules.add or rules.set or rules.remove)
    return with_rules(head, rules) if rules is not None and changes else head


def _of_the_script(error: ProtocolError) -> ProtocolError:
    return ProtocolError(error.status, f"the script {error.reason}")

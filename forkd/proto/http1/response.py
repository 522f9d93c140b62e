"""Response heads, chunks and error pages, as bytes.

Names and values are written as they are given: whoever takes them from a program has checked them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from string import Template
from types import MappingProxyType

# RFC 9110 section 15, and those of RFC 4918, 5842, 6585, 7725, 8297 and 8470 that applications use.
REASONS: Mapping[int, str] = MappingProxyType(
    {
        100: "Continue",
        101: "Switching Protocols",
        102: "Processing",
        103: "Early Hints",
        200: "OK",
        201: "Created",
        202: "Accepted",
        203: "Non-Authoritative Information",
        204: "No Content",
        205: "Reset Content",
        206: "Partial Content",
        207: "Multi-Status",
        208: "Already Reported",
        226: "IM Used",
        300: "Multiple Choices",
        301: "Moved Permanently",
        302: "Found",
        303: "See Other",
        304: "Not Modified",
        305: "Use Proxy",
        307: "Temporary Redirect",
        308: "Permanent Redirect",
        400: "Bad Request",
        401: "Unauthorized",
        402: "Payment Required",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        407: "Proxy Authentication Required",
        408: "Request Timeout",
        409: "Conflict",
        410: "Gone",
        411: "Length Required",
        412: "Precondition Failed",
        413: "Content Too Large",
        414: "URI Too Long",
        415: "Unsupported Media Type",
        416: "Range Not Satisfiable",
        417: "Expectation Failed",
        418: "I'm a Teapot",
        421: "Misdirected Request",
        422: "Unprocessable Content",
        423: "Locked",
        424: "Failed Dependency",
        425: "Too Early",
        426: "Upgrade Required",
        428: "Precondition Required",
        429: "Too Many Requests",
        431: "Request Header Fields Too Large",
        451: "Unavailable For Legal Reasons",
        500: "Internal Server Error",
        501: "Not Implemented",
        502: "Bad Gateway",
        503: "Service Unavailable",
        504: "Gateway Timeout",
        505: "HTTP Version Not Supported",
        506: "Variant Also Negotiates",
        507: "Insufficient Storage",
        508: "Loop Detected",
        510: "Not Extended",
        511: "Network Authentication Required",
    }
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FINAL_CHUNK = b"0\r\n\r\n"


def make_prefix(status: int, headers: Iterable[tuple[bytes, bytes]], reason: bytes = b"") -> bytes:
    """The status line, Server, and header lines of a response, each with its CRLF.

    What changes from moment to moment and the empty line follow. `reason` takes the place of the
    usual phrase; a status without either has an empty one. An HTTP/1.0 client gets HTTP/1.1 as
    well: the version is the server's own (RFC 9110 section 6.2).
    """
    reason = reason or REASONS.get(status, "").encode()
    lines = [b"HTTP/1.1 %d %b\r\nServer: forkd\r\n" % (status, reason)]
    lines += [b"%b: %b\r\n" % header for header in headers]
    return b"".join(lines)


def chunk(data: bytes) -> bytes:
    """`data` as one chunk, and nothing for nothing: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


# No outside file and no script, so that it shows under any Content-Security-Policy that allows
# inline style, and plain where none is allowed.
_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$status $reason</title>
<style>
:root { color-scheme: light dark; --back: #f6f7f9; --text: #1d2430; --soft: #5b6576;
  --line: #d9dee6; --mark: #a8341c; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171c; --text: #e7eaf0; --soft: #9aa4b4; --line: #2c323c; --mark: #f2876c; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; align-items: center; justify-content: center;
  padding: 2rem; background: var(--back); color: var(--text);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 34rem; width: 100%; }
.status { margin: 0; color: var(--mark); font-size: 1.125rem; font-weight: 600;
  font-variant-numeric: tabular-nums; letter-spacing: .04em; }
h1 { margin: .25rem 0 0; font-size: 2.25rem; line-height: 1.2; letter-spacing: -.015em;
  text-wrap: balance; }
.detail { margin: 1rem 0 0; color: var(--soft); overflow-wrap: anywhere; }
footer { margin-top: 2rem; padding-top: .75rem; border-top: 1px solid var(--line);
  color: var(--soft); font-size: .875rem; }
</style>
</head>
<body>
<main>
<p class="status">$status</p>
<h1>$reason</h1>
$detail<footer>forkd</footer>
</main>
</body>
</html>
""")


def error_page(status: int, detail: str = "") -> bytes:
    """A small HTML page for a status, in UTF-8. `detail` is text, and is escaped."""
    paragraph = f'<p class="detail">{escape(detail)}</p>\n' if detail else ""
    page = _PAGE.substitute(
        status=status, reason=escape(REASONS.get(status, "Error")), detail=paragraph
    )
    return page.encode("utf-8", "replace")

"""The words of sites and routes: hosts, patterns, methods, header fields, variables.

Pure. Each function gives the value as the server compares it, or raises a ValueError that says
what was expected.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, unquote

from forkd.config.words import describe, parse_text

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_ENDING = re.compile(r"\.[^./\x00-\x20]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CONTROL_OR_TAB = re.compile(r"[\x00-\x1f\x7f]")

# RFC 9111 section 5.2: a name, and perhaps a token or a quoted text.
_DIRECTIVE = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|\"[^\"\\]*\"))?"
_CACHE_CONTROL = re.compile(rf"{_DIRECTIVE}(?:[ \t]*,[ \t]*{_DIRECTIVE})*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

OWN_FIELDS = frozenset({"content-length", "transfer-encoding", "connection", "date"})
"""Header fields that frame a response, or that only the server can know."""


def parse_host(value: object) -> str:
    """A host of a site: lower case, no trailing dot, IPv6 in brackets, `*.` for a wildcard."""
    text = parse_text(value)
    host = text.lower().removesuffix(".")
    if host == "*":
        raise ValueError("expected a host, not '*' (leave host out to answer for any host)")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        pass
    else:
        return f"[{address}]" if address.version == 6 else str(address)
    name, colon, _ = host.rpartition(":")
    if colon:
        raise ValueError(f"expected a host without a port (write {name})")
    if not host.isascii():
        raise ValueError(f"expected a host in ASCII, not {describe(text)} (write its xn-- form)")
    labels = host.removeprefix("*.").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            f"expected a host such as example.org or *.example.org, not {describe(text)}"
        )
    return host


def parse_pattern(value: object) -> str:
    """A route's pattern: `/exact`, `/prefix/` or `*.ext`, as a decoded, normalised path."""
    text = parse_text(value)
    if "%" in text:
        raise ValueError("a pattern is a decoded path, without % (write the character itself)")
    if text.startswith("*."):
        if len(text) < 3 or "/" in text or "*" in text[1:]:
            raise ValueError(f"expected an ending such as *.php, not {describe(text)}")
    elif not text.startswith("/"):
        raise ValueError(f"expected /exact, /prefix/ or *.ext, not {describe(text)}")
    if "?" in text or "#" in text:
        raise ValueError("a pattern is a path, without a query (?) or a fragment (#)")
    if "//" in text:
        raise ValueError("a pattern has no empty segments (write one slash for //)")
    if any(segment in (".", "..") for segment in text.split("/")):
        raise ValueError("a pattern has no dot segments (write the path that they lead to)")
    if _CONTROL_OR_TAB.search(text):
        raise ValueError("a pattern has no control characters")
    return text


def parse_method(value: object) -> str:
    """A method token, RFC 9110 section 9.1. Methods are case-sensitive, so get is refused."""
    text = parse_text(value)
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"expected a method such as GET, not {describe(text)}")
    if text != text.upper():
        raise ValueError(f"expected a method in upper case (write {text.upper()})")
    return text


def parse_field_name(value: object) -> str:
    """The name of a response header that a route may change, as it is written."""
    text = parse_text(value)
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"expected the name of a header, not {describe(text)}")
    if text.lower() in OWN_FIELDS:
        raise ValueError(f"{text} is written by forkd itself and cannot be changed")
    return text


def parse_field_value(value: object) -> str:
    """A header's value: no control characters but tabs (RFC 9110 section 5.5), trimmed."""
    text = parse_text(value)
    if _CONTROL.search(text):
        raise ValueError("expected a header value without line ends or control characters")
    if not text.isascii():
        raise ValueError("expected a header value in ASCII (encode other characters)")
    return text.strip(" \t")


def parse_variable(value: object) -> str:
    """The name of an environment variable."""
    text = parse_text(value)
    if not _VARIABLE.fullmatch(text):
        raise ValueError(
            "expected the name of a variable, of letters, digits and _ and not beginning with a "
            f"digit, not {describe(text)}"
        )
    return text


def parse_ending(value: object) -> str:
    """The ending of a file's name: a dot and what follows the last one."""
    text = parse_text(value)
    if not _ENDING.fullmatch(text):
        raise ValueError(f"expected the ending of a file's name such as .pl, not {describe(text)}")
    return text


def parse_index(value: object) -> str:
    """The name of an index file: one plain segment."""
    text = parse_text(value)
    if text in ("", ".", "..") or "/" in text:
        raise ValueError(f"expected the name of a file without a slash, not {describe(text)}")
    return text


def parse_target(value: object) -> str:
    """Where a redirect leads: a path or an http(s) URL, ready for a Location header."""
    text = parse_text(value)
    if not text.lower().startswith(("/", "http://", "https://")):
        raise ValueError(
            f"expected a target that begins with /, http:// or https://, not {describe(text)}"
        )
    if _CONTROL_OR_TAB.search(text):
        raise ValueError("expected a target without line ends or control characters")
    encoded = quote(text, safe="".join(chr(code) for code in range(0x21, 0x7F)))
    if encoded != text:
        raise ValueError(f"expected a target without spaces, in ASCII (write {encoded})")
    return text


def parse_cache_control(value: object) -> str:
    """The value of a Cache-Control header: directives with commas between them."""
    text = parse_field_value(value)
    if not _CACHE_CONTROL.fullmatch(text):
        raise ValueError(
            "expected the directives of Cache-Control such as public, max-age=3600, "
            f"not {describe(text)}"
        )
    return text


def parse_own_target(value: object) -> str:
    """A path of the same site, perhaps with a query, encoded as in a request."""
    text = parse_text(value)
    if not text.startswith("/") or text.startswith("//"):
        raise ValueError(f"expected a path of this site such as /index.html, not {describe(text)}")
    if "#" in text:
        raise ValueError("expected a path without a fragment (#)")
    if _BAD_ESCAPE.search(text):
        raise ValueError("expected two hexadecimal digits after each % (write %25 for % itself)")
    path = unquote(text.partition("?")[0])
    if any(segment in (".", "..") for segment in path.split("/")):
        raise ValueError("expected a path without dot segments (write the path they lead to)")
    if "\0" in path:
        raise ValueError("expected a path without %00")
    return parse_target(text)

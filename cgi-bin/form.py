#!/usr/bin/env python3
"""Shows the fields of a form, sent by GET or POST. Standard library only."""

import os
import sys
from html import escape
from urllib.parse import parse_qsl

MAX_BODY = 64 * 1024
MAX_FIELDS = 200

PAGE = """\
Content-Type: text/html; charset=utf-8

<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Form in Python · forkd</title>
  <link rel="icon" href="/logo.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<h1>The fields, in Python</h1>
<p class="lead">As this program understood them. <a href="/forms.html">Back to the forms</a></p>
<div class="scroll" tabindex="0" role="region" aria-label="Fields">
<table>
<thead><tr><th scope="col">Field</th><th scope="col">Value</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
</main>
</body>
</html>
"""
ROW = '<tr><th scope="row">{}</th><td class="value">{}</td></tr>'
NOTHING = '<tr><td colspan="2">No field was sent.</td></tr>'


class Refused(Exception):
    """A request that is answered with a status, a reason and perhaps more header lines."""

    def __init__(self, status: str, reason: str, *headers: str) -> None:
        self.head = "\n".join([f"Status: {status}", *headers])
        self.reason = reason


def encoded_fields() -> str:
    """Return the fields as they were sent: in the query of a GET, in the body of a POST."""
    method = os.environ.get("REQUEST_METHOD", "GET")
    if method in ("GET", "HEAD"):
        return os.environb.get(b"QUERY_STRING", b"").decode(errors="replace")
    if method != "POST":
        raise Refused(
            "405 Method Not Allowed", "Send the form by GET or POST.", "Allow: GET, HEAD, POST"
        )
    media_type = os.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise Refused("415 Unsupported Media Type", "Send application/x-www-form-urlencoded.")
    length = int(os.environ.get("CONTENT_LENGTH") or 0)
    if length > MAX_BODY:
        raise Refused("413 Content Too Large", "The form is larger than 64 KiB.")
    body = sys.stdin.buffer.read(length)
    if len(body) < length:
        raise Refused("400 Bad Request", "The body ends too early.")
    return body.decode(errors="replace")


def fields() -> list[tuple[str, str]]:
    """Return names and values as text; what is no UTF-8 becomes U+FFFD."""
    try:
        return parse_qsl(encoded_fields(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refused("400 Bad Request", f"More than {MAX_FIELDS} fields.") from None


def main() -> None:
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        rows = [ROW.format(escape(name), escape(value)) for name, value in fields()]
    except Refused as refusal:
        print(refusal.head)
        print("Content-Type: text/plain; charset=utf-8\n")
        print(refusal.reason)
    else:
        print(PAGE.format(rows="\n".join(rows) or NOTHING), end="")


if __name__ == "__main__":
    main()

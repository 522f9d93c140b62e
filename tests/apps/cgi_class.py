"""forkd's CGI class for CPython's tests; CGI_DIRECTORIES is what they have set on theirs."""

from __future__ import annotations

import os

from forkd.compat import CGIHTTPRequestHandler


class Handler(CGIHTTPRequestHandler):
    cgi_directories = os.environ["CGI_DIRECTORIES"].split()

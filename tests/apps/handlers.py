"""Request handler classes as tutorials have them; SIGNALS is where tests wait for them."""

from __future__ import annotations

import functools
import os
import time
from http.server import BaseHTTPRequestHandler, CGIHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path

SIGNALS = Path(os.environ["SIGNALS"])
STARTED = time.monotonic()


class Site(BaseHTTPRequestHandler):
    """HTTP/1.0, and no Content-Length."""

    def do_GET(self):
        match self.path.partition("?")[0]:
            case "/":
                self.page("<h1>Hello</h1>")
            case "/stats.html":
                self.page(f"<p>up for {time.monotonic() - STARTED:.1f} seconds</p>")
            case "/headers":
                self.page(str(self.headers), "text/plain")
            case "/slow":
                (SIGNALS / "slow").touch()
                while not (SIGNALS / "go").exists():
                    time.sleep(0.01)
                self.page("slow")
            case "/halves":
                self.page("one half")
                while not (SIGNALS / "second").exists():
                    time.sleep(0.01)
                self.wfile.write(b", another half")
            case "/fault":
                raise RuntimeError("a fault of the handler")
            case "/fault-later":
                self.page("half of it")
                raise RuntimeError("a fault of the handler")
            case "/garbage":
                self.wfile.write(b"no response at all")
            case "/nothing":
                pass
            case "/log":
                self.log_message("said by %s", "the handler")
                self.page("logged")
            case other:
                self.file(other)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("X-Only", "the head")
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.page(f"{len(body)} {body[:20].decode()}", "text/plain")

    def do_SHOUT(self):
        self.page(self.path.upper(), "text/plain")

    def page(self, text, kind="text/html"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def file(self, path):
        try:
            with open("html" + path, encoding="utf-8") as page:
                self.page(page.read())
        except OSError:
            self.send_error(404, f"File Not Found: {self.path}")


class Modern(BaseHTTPRequestHandler):
    """HTTP/1.1 with lengths."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.path} from {self.client_address[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        total = 0
        while left and (piece := self.rfile.read(min(left, 65536))):
            left -= len(piece)
            total += len(piece)
        body = str(total).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_STREAM(self):
        self.send_response(200)
        self.send_header("Content-Length", str(20_000_000))
        self.end_headers()
        for _ in range(200):
            self.wfile.write(b"x" * 100_000)


class Cgi(CGIHTTPRequestHandler):
    cgi_directories = ["/cgi/scripts"]

    def do_GET(self):
        super().do_GET()


class Outer:
    class Inner(Modern):
        pass


Files = functools.partial(SimpleHTTPRequestHandler, directory="html")

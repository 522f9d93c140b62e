"""Code that takes too long, each path in its way. What waits does so until the file RELEASE is
there, and for half a minute at most: also when nobody ends it, it ends."""

from __future__ import annotations

import ctypes
import os
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

DIRECTORY = Path(os.environ["SLOW"])
RELEASE = DIRECTORY / "release"
FIFO = DIRECTORY / "release-interpreter"
PATIENCE_S = 30

HOLD = DIRECTORY / "hold-imports"
"""While it is there the import does not end."""


def held(pause_s=0.01):
    end = time.monotonic() + PATIENCE_S
    while not RELEASE.exists() and time.monotonic() < end:
        if pause_s:
            time.sleep(pause_s)


def spinning():
    held(0)


def holding_the_interpreter():
    # To open a FIFO waits for who writes to it. PyDLL: other than by CDLL, the interpreter is not
    # let go of meanwhile.
    os.mkfifo(FIFO)
    libc = ctypes.PyDLL(None)
    libc.close(libc.open(os.fsencode(FIFO), os.O_RDONLY))


class Closing:
    """A result that says when it is closed."""

    def __init__(self, pieces):
        self._pieces = pieces

    def __iter__(self):
        return iter(self._pieces)

    def close(self):
        (DIRECTORY / "closed").touch()


def chunks():
    for _ in range(10):
        time.sleep(0.2)
        yield b"chunk\n"


def stops_in_the_middle():
    yield b"one\n"
    held()
    yield b"two\n"


def application(environ, start_response):
    body = [f"{os.getpid()}\n".encode()]
    match environ["PATH_INFO"]:
        case "/held":
            held()
        case "/spins":
            spinning()
        case "/holds":
            holding_the_interpreter()
        case "/streams":
            body = chunks()
        case "/begins":
            body = stops_in_the_middle()
        case "/large":
            body = (bytes(100_000) for _ in range(200))
        case "/reads":
            body = [b"%d\n" % len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Closing(body)


class Handler(BaseHTTPRequestHandler):
    """Answers when it is let."""

    def do_GET(self):
        held()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"late\n")


while HOLD.exists():
    time.sleep(0.01)

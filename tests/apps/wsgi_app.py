"""What the tests of WSGI ask of an application. Files in $SIGNALS are how it and a test meet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], None]]

DEADLINE_S = 20.0
VERSION = "1"


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """/NAME is answered by the function of that name."""
    answer = ANSWERS.get(environ["PATH_INFO"])
    if answer is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such answer\n"]
    headers = [("Content-Type", "application/octet-stream")]
    start_response("200 OK", headers)
    return answer(environ)


def create_app() -> Callable[..., Iterable[bytes]]:
    return application


def tell(name: str) -> None:
    """Let the test know."""
    (Path(os.environ["SIGNALS"]) / name).touch()


def wait(name: str) -> None:
    """Until the test says so."""
    deadline = time.monotonic() + DEADLINE_S
    while not (Path(os.environ["SIGNALS"]) / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.01)


def version(_environ: Environ) -> Iterable[bytes]:
    return [VERSION.encode()]


def process(_environ: Environ) -> Iterable[bytes]:
    return [f"{os.getcwd()} {os.environ.get('MODE')}".encode()]


def blocked(environ: Environ) -> Iterable[bytes]:
    """Waits for the file that the query names."""
    name = environ["QUERY_STRING"]
    tell(f"{name}-begun")
    wait(name)
    return [b"at last"]


def echo(environ: Environ) -> Iterable[bytes]:
    return iter(lambda: environ["wsgi.input"].read(65536), b"")


def early(environ: Environ) -> Iterable[bytes]:
    """Reads a byte, says so, and reads the rest."""
    first = environ["wsgi.input"].read(1)
    tell("first")
    rest = len(environ["wsgi.input"].read())
    return [b"%d" % (len(first) + rest)]


class Endless:
    """Tells when it is closed. With a name it takes its time, and tells that."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 65536
            if self._name:
                time.sleep(0.05)

    def close(self) -> None:
        tell(self._name or "closed")


def endless(environ: Environ) -> Iterable[bytes]:
    return Endless(environ["QUERY_STRING"])


def megabytes(environ: Environ) -> Iterable[bytes]:
    return (b"%07d\n" % number * 8192 for number in range(int(environ["QUERY_STRING"]) * 16))


def printed(_environ: Environ) -> Iterable[bytes]:
    print("printed by the application")
    return [b"printed"]


ANSWERS: dict[str, Callable[[Environ], Iterable[bytes]]] = {
    f"/{answer.__name__}": answer
    for answer in (*(version, process, blocked, echo, early, endless, megabytes, printed),)
}

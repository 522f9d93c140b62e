"""The source of a program is never sent, however its path is written."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.system.daemon import Daemon, started
from tests.system.wire import Answer, Wire

MARKER = b"stands in the source only"
RAN = b"it ran"
SCRIPT = b"#!/bin/sh\n# " + MARKER + b"\nprintf 'Content-Type: text/plain\\n\\nit ran'\n"

PATHS = (
    b"/programs/tool.sh",
    b"/programs/locked.sh",
    b"/programs/broken.sh",
    b"/tool.cgi",
    b"/inner/tool.cgi",
    b"/inner/locked.cgi",
)
"""In a directory of programs below the static root, and by a suffix. Some cannot be run."""
MUTATIONS = 100
"""Of each path."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    root = tmp_path_factory.mktemp("source")
    for path in PATHS:
        file = root / "html" / path.decode()[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        source = SCRIPT.replace(b"/bin/sh", b"/missing") if b"broken" in path else SCRIPT
        file.write_bytes(source)
        file.chmod(0o644 if b"locked" in path else 0o755)
    (root / "html" / "other").mkdir()
    (root / "html" / "copy.txt").write_bytes(SCRIPT)
    routes = {
        "/": "{static: html, listing: true}",
        "/other/": "{static: html/other}",
        "/programs/": "{cgi: html/programs}",
        "*.cgi": "{cgi: html}",
    }
    with started(root, routes, workers="{count: 1}", level="error") as daemon:
        yield daemon


def percent(path: bytes, *, times: int = 1, upper: bool = True) -> bytes:
    """All of it, percent-encoded so many times."""
    for _ in range(times):
        path = b"".join((b"%%%02X" if upper else b"%%%02x") % byte for byte in path)
    return path


ENDS = (
    *(
        b"/",
        b"//",
        b"/.",
        b"/..",
        b"/../",
        b"/x/..",
        b"/x",
        b".",
        b"..",
        b"./",
        b" ",
        b"%20",
        b"%09",
    ),
    *(
        b"%00",
        b"%00.txt",
        b"%00/",
        b"%0a",
        b"%0d%0a",
        b"%2500",
        b";",
        b";x",
        b";x=1",
        b"%3b",
        b"%3Bx",
    ),
    *(b"::$DATA", b"%3a%3a$DATA", b":", b"~", b"%7e", b".bak", b".old", b".orig", b".swp", b".txt"),
    *(
        b"?",
        b"??",
        b"?/../x.txt",
        b"?x=%00",
        b"%3f",
        b"%3fx",
        b"%23",
        b"%23x",
        b"\\",
        b"%5c",
        b"%5c..",
    ),
    *(
        b"%2f",
        b"%2f.",
        b"%2f..",
        b"%2e",
        b"%2e%2e",
        b"%252e",
        b"%252f",
        b"/%2e",
        b"/%2e%2e/x",
        b"%ff",
    ),
    *(
        b"%c0%80",
        b"%c0%ae",
        b"%e0%80%ae",
        b"%u002e",
        b"%",
        b"%g0",
        b"%1",
        b"&",
        b"|",
        b"*",
        b"'",
        b"%22",
    ),
)
STARTS = (
    *(
        b"/",
        b"//",
        b"/.",
        b"/./",
        b"/%2e/",
        b"/%2e",
        b"/..",
        b"/../",
        b"/%2e%2e/",
        b"/.%2e/",
        b"/x/..",
    ),
    *(
        b"/x/../",
        b"/other/..",
        b"/other/../",
        b"/other/%2e%2e",
        b"/other/..%2f",
        b"/other%2f..",
        b"/;",
    ),
    *(
        b"/;/",
        b"/.;/",
        b"/..;/",
        b"/x;/..",
        b"/other/..;/",
        b"\\",
        b"/\\",
        b"/%5c",
        b"/%5c..",
        b"/%2f",
    ),
    *(
        b"/%252e%252e/",
        b"/other/%252e%252e",
        b"/other/..%252f",
        b"/%c0%ae%c0%ae/",
        b"/other/..%c0%af",
    ),
    *(b"/%00", b"/%20", b"/copy.txt", b"/copy.txt/..", b"/copy.txt/../", b"/tool.cgi/..", b"/html"),
    *(b"http://test", b"http://test/", b"http://test/other/..", b"/http://test", b"HTTP://test:80"),
)
BETWEEN = (
    *(
        b"//",
        b"/./",
        b"/.//",
        b"/x/../",
        b"%2f",
        b"%2F",
        b"%2f%2f",
        b"/%2e/",
        b"%2f.%2f",
        b"\\",
        b"%5c",
    ),
    *(
        b"%252f",
        b"/%252e/",
        b"%c0%af",
        b"%e0%80%af",
        b"/;/",
        b";/",
        b";x/",
        b"/;x/",
        b"%00/",
        b"/%00",
    ),
    *(b"/ ", b"/%20", b"./", b"/.", b"/..;/x/", b"%ef%bc%8f", b"%e2%88%95", b":", b"/\t", b"+/"),
)


def mutations(path: bytes, count: int) -> list[bytes]:
    """Other ways to write a path, some of which mean it; always the same ones."""
    chance = random.Random(path)
    before, _, last = path.rpartition(b"/")
    found = dict.fromkeys([path, percent(path[1:]), b"/" + percent(path[1:]), path.upper()])
    found |= dict.fromkeys(b"/" + percent(path[1:], times=2, upper=False) for _ in range(1))
    found |= dict.fromkeys(path.replace(b".", dot) for dot in (b"%2e", b"%252e", b"%c0%ae", b".."))
    makers = (
        lambda: path + chance.choice(ENDS),
        lambda: chance.choice(STARTS) + path,
        lambda: before + chance.choice(BETWEEN) + last,
        lambda: some_encoded(path, chance),
        lambda: some_encoded(chance.choice(STARTS) + path + chance.choice(ENDS), chance),
        lambda: some_in_upper_case(path, chance) + chance.choice((b"", *ENDS)),
        lambda: (
            chance.choice(STARTS) + before + chance.choice(BETWEEN) + last + chance.choice(ENDS)
        ),
    )
    while len(found) < count:
        found[chance.choice(makers)()] = None
    return list(found)[:count]


def some_encoded(path: bytes, chance: random.Random) -> bytes:
    return b"".join(
        percent(path[at : at + 1], times=chance.choice((1, 1, 2)), upper=chance.random() < 0.5)
        if at and chance.random() < 0.3
        else path[at : at + 1]
        for at in range(len(path))
    )


def some_in_upper_case(path: bytes, chance: random.Random) -> bytes:
    return bytes(ord(chr(byte).upper()) if chance.random() < 0.3 else byte for byte in path)


METHODS = (b"GET", b"GET", b"GET", b"HEAD", b"POST", b"OPTIONS", b"PROPFIND")
HEADERS = (b"", b"", b"Range: bytes=0-\r\n", b"Accept-Encoding: gzip, br\r\n", b"Translate: f\r\n")


class Client:
    """Keeps its connection where the answer lets it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._wire = Wire(port)

    def ask(self, method: bytes, target: bytes, header: bytes = b"") -> Answer:
        try:
            self._wire.send(b"%b %b HTTP/1.1\r\nHost: test\r\n%b\r\n" % (method, target, header))
            answer = self._wire.answer(method.decode())
        except ConnectionError:
            self.close()
            self._wire = Wire(self._port)
            return self.ask(method, target, header)
        if answer.headers.get("connection") == "close":
            self.close()
            self._wire = Wire(self._port)
        return answer

    def close(self) -> None:
        self._wire.close()


def test_no_way_to_write_a_path_shows_the_source(daemon: Daemon) -> None:
    client = Client(daemon.port)
    chance = random.Random(0)
    seen: Counter[object] = Counter()
    for path in PATHS:
        for target in mutations(path, MUTATIONS):
            method, header = chance.choice(METHODS), chance.choice(HEADERS)
            answer = client.ask(method, target, header)
            told = b"%b %b %b" % (method, target, header)
            assert MARKER not in answer.body, told
            assert MARKER not in str(answer.headers).encode(), told
            seen[RAN if RAN in answer.body else answer.status] += 1
    # It could be seen, and the paths are near enough to what is there.
    assert MARKER in client.ask(b"GET", b"/copy.txt").body
    client.close()
    assert seen.total() == len(PATHS) * MUTATIONS >= 500
    assert seen[RAN] > 30
    assert min(seen[status] for status in (400, 403, 404, 500)) > 10, seen

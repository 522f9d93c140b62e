"""The access log tells how long a connection had waited to be accepted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.system.daemon import eventually, started, write_config
from tests.system.stalled import accepted_late

HELLO = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_the_first_request_of_a_connection_has_the_time_in_the_queue(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"/": "{respond: hi}"}, workers="{count: 1}")
    access = "access: {file: access.log, format: json}"
    config.write_text(config.read_text().replace("access: {file: access.log}", access))
    with started(tmp_path) as daemon:
        with accepted_late(daemon, HELLO, seconds=0.3) as sock:
            assert sock.recv(65536).endswith(b"hi")
            sock.sendall(HELLO)
            assert sock.recv(65536).endswith(b"hi")
        eventually(lambda: daemon.access_log.count("\n") == 2, "both are logged")
        first, second = (json.loads(line)["queue_ms"] for line in daemon.access_log.splitlines())
        assert 300 <= first < 20_000
        assert second is None

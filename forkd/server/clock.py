"""The time as it is written in responses and logs, made once a second."""

from __future__ import annotations

import time

from forkd.proto.http1.dates import http_date

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Clock:
    """The ends of response heads and the time of log lines, right until `until` (monotonic).

    `keeping`, `closing` and `keeping_1_0` are what follows a Response's prefix: Date, Connection
    where it has something to say, and the empty line.
    """

    __slots__ = ("closing", "date", "keeping", "keeping_1_0", "log_time", "until")

    def __init__(self, now: float) -> None:
        self.refresh(now)

    def tick(self, now: float) -> None:
        """Make the texts anew if they are not right any more."""
        if now >= self.until:
            self.refresh(now)

    def refresh(self, now: float) -> None:
        wall = time.time()
        self.until = now + 1.0 - wall % 1.0
        second = int(wall)
        self.date = http_date(second)
        self.keeping = b"Date: %b\r\n\r\n" % self.date
        self.closing = b"Date: %b\r\nConnection: close\r\n\r\n" % self.date
        # HTTP/1.0 closes unless it is told otherwise (RFC 9112 C.2.2).
        self.keeping_1_0 = b"Date: %b\r\nConnection: keep-alive\r\n\r\n" % self.date
        self.log_time = log_time(second)


def log_time(second: int) -> bytes:
    """`20/Nov/2026:14:05:31 +0100`, in local time, whatever the locale."""
    local = time.localtime(second)
    zone = time.strftime("%z", local)
    return (
        f"{local.tm_mday:02d}/{_MONTHS[local.tm_mon - 1]}/{local.tm_year}:"
        f"{local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d} {zone}"
    ).encode()

#!/usr/bin/env python3
"""Writes a line each half second; each is on its way as soon as it is made."""

import signal
import time

LINES = 10
PAUSE_S = 0.5


def main() -> None:
    # A client that goes ends this program as it ends any in a pipe, without a traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print("Content-Type: text/plain; charset=utf-8")
    # Without it a browser waits for more text in order to guess what it is.
    print("X-Content-Type-Options: nosniff")
    print("Cache-Control: no-store\n", flush=True)
    for number in range(1, LINES + 1):
        if number > 1:
            time.sleep(PAUSE_S)
        print(f"Line {number} of {LINES}, made at {time.strftime('%H:%M:%S')}", flush=True)


if __name__ == "__main__":
    main()

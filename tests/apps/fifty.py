#!/usr/bin/env python3
"""Writes 50 MB, and how far it has come into the file that PROGRESS names."""

import os

PIECE = bytes(range(256)) * 256

os.write(1, b"Content-Type: application/octet-stream\n\n")
progress = os.open(os.environ["PROGRESS"], os.O_WRONLY | os.O_CREAT, 0o644)
for number in range(800):
    written = 0
    while written < len(PIECE):
        written += os.write(1, PIECE[written:])
        os.pwrite(progress, b"%010d" % (number * len(PIECE) + written), 0)

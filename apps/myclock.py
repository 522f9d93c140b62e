"""The time of day for telnet: a class for `protocol: tcp` and one for `protocol: udp`.

Served by listeners such as
`{address: 127.0.0.1:8765, protocol: tcp, handler: "myclock:TimeHandler", path: [apps]}`.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from socketserver import DatagramRequestHandler, StreamRequestHandler

HELP = "commands: asctime, seconds, rfc822, help, quit"


def answer(command: str) -> str:
    """The line that answers a command."""
    match command:
        case "asctime" | "":
            return time.asctime()
        case "seconds":
            return f"{time.time():.3f}"
        case "rfc822":
            return formatdate(localtime=True)
        case _:
            return HELP


class TimeHandler(StreamRequestHandler):
    """Answers line by line until `quit`, or until nobody has written for a minute."""

    timeout = 60

    def handle(self) -> None:
        self.say(f"Hello. {HELP}")
        try:
            # A command is short; a longer line is read in parts and answered with help.
            while line := self.rfile.readline(80):
                command = line.decode("ascii", "replace").strip().lower()
                if command == "quit":
                    self.say("Goodbye.")
                    return
                self.say(answer(command))
        except TimeoutError:
            self.say("Goodbye: you are silent.")

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class UdpHandler(DatagramRequestHandler):
    """Answers the command that a datagram holds; an empty one asks for asctime."""

    def handle(self) -> None:
        command = self.rfile.read(80).decode("ascii", "replace").strip().lower()
        self.wfile.write(answer(command).encode() + b"\n")

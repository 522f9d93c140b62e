"""Classes of socketserver that do what tests of listeners need."""

from __future__ import annotations

import os
from pathlib import Path
from socketserver import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler


class Talk(StreamRequestHandler):
    """Answers commands, line by line, until `quit` or the end."""

    def handle(self) -> None:
        self.wfile.write(b"%d\n" % os.getpid())
        for line in self.rfile:
            match line.split():
                case [b"quit"]:
                    return
                case [b"fail"]:
                    raise ValueError("asked to fail")
                case [b"exit"]:
                    raise SystemExit(7)
                case [b"server"]:
                    self.wfile.write(f"{self.server.server_address}\n".encode())
                case [b"client"]:
                    self.wfile.write(f"{self.client_address}\n".encode())
                case [b"directory"]:
                    self.wfile.write(f"{os.getcwd()}\n".encode())
                case words:
                    self.wfile.write(b" ".join(words) + b"\n")

    def finish(self) -> None:
        super().finish()
        with Path("finished").open("a") as file:
            file.write(f"{os.getpid()}\n")


class Other(StreamRequestHandler):
    """Says one line."""

    def handle(self) -> None:
        self.wfile.write(b"other\n")


class Short(StreamRequestHandler):
    """Waits for a client no longer than its timeout."""

    timeout = 0.05

    def handle(self) -> None:
        self.rfile.readline()


class Echo(DatagramRequestHandler):
    """Sends back what came, or fails."""

    def handle(self) -> None:
        data = self.rfile.read()
        if data == b"fail":
            raise ValueError("asked to fail")
        self.wfile.write(data)


class Base(BaseRequestHandler):
    """For datagrams: answers by itself, after a gate has been opened."""

    def handle(self) -> None:
        data, sock = self.request
        if data.startswith(b"gate "):
            Path("begun").touch()
            with open(data[5:].decode(), "rb"):  # a FIFO: opening it waits for the other side
                pass
        sock.sendto(data, self.client_address)


class NoHandler:
    """Derived from nothing that a listener can use."""

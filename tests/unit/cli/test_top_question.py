"""Questions that do not wait."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.cli.top.question import Question


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "control.sock"))
        sock.listen()
        yield sock


def test_an_answer_comes_in_pieces(listener: socket.socket) -> None:
    question = Question(Path(listener.getsockname()), {"command": "status"}, 5.0)
    peer, _ = listener.accept()
    assert peer.recv(100) == b'{"command": "status"}\n'
    assert question.read() is None
    peer.sendall(b'{"ok": ')
    assert question.read() is None
    peer.sendall(b"true}\n")
    assert question.read() == {"ok": True}
    question.close()
    assert peer.recv(100) == b""
    peer.close()


@pytest.mark.parametrize(
    ("said", "error"), [(b"", OSError), (b"[]\n", ValueError), (b"x\n", ValueError)]
)
def test_what_is_no_answer_is_an_error(
    listener: socket.socket, said: bytes, error: type[Exception]
) -> None:
    question = Question(Path(listener.getsockname()), {}, 5.0)
    peer, _ = listener.accept()
    peer.recv(100)
    peer.sendall(said)
    peer.close()
    with pytest.raises(error):
        question.read()
    question.close()


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_where_nobody_listens_nothing_is_left_open(tmp_path: Path) -> None:
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            Question(tmp_path / "none.sock", {}, 5.0)

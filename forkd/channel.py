"""What the master and a child say to each other, over one socket pair for each child.

The child says READY once, or FAILED with the reason, DRAINING when it has stopped accepting,
CHANGED where it watches its sources, RETIRE when it wants to be replaced, and ASK for what only the
master knows. One that the template has forked says BORN first.

The master says DRAIN, STOP, TELL with what was asked for, STACKS, and REOPEN with the new
descriptors of the log files; to a template also FORK. The end of the channel tells each side that
the other is gone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from forkd.system import messages


class Word(Enum):
    """The first field of each message."""

    READY = b"ready"
    FAILED = b"failed"
    DRAINING = b"draining"
    """No new connection reaches this child any more."""
    CHANGED = b"changed"
    """A source has changed; the field is its path."""
    IMPORTING = b"importing"
    """The field is what the child imports next, before it is ready."""
    BORN = b"born"
    """Here is the child that was ordered by FORK; the kernel tells the master its pid."""
    RETIRE = b"retire"
    """Replace this child, for the reason in the field; it serves until that is done."""
    ASK = b"ask"
    """The field is what about: `status`."""
    TELL = b"tell"
    """The answer, of any size, in a file in memory; the field is what it is about."""
    FORK = b"fork"
    """Fork a worker: the field is its slot, the descriptors its end of the channel and the file for
    its stacks."""
    STACKS = b"stacks"
    """Write the stacks of all threads into the file for them."""
    DRAIN = b"drain"
    """Serve what is here and what is on its way, then leave: others have taken over."""
    STOP = b"stop"
    """The same, but nobody takes over: idle connections are not waited for."""
    REOPEN = b"reopen"


@dataclass(frozen=True, slots=True)
class Said:
    """One message: a word, its text fields, its descriptors (the receiver's from now on)."""

    word: Word
    fields: tuple[str, ...] = ()
    descriptors: tuple[int, ...] = ()
    pid: int = 0
    """Of who has said it, as the kernel knows it; only the master is told."""


class Channel:
    """One end of the channel."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @property
    def fd(self) -> int:
        return self._sock.fileno()

    def say(self, word: Word, fields: Iterable[str] = (), descriptors: Iterable[int] = ()) -> bool:
        """Send; False where the other side is gone or does not read."""
        encoded = [os.fsencode(field).replace(b"\0", b"") for field in fields]
        try:
            messages.send(self._sock, [word.value, *encoded], descriptors)
        except OSError:
            return False
        return True

    def tell(self, topic: str, data: bytes) -> bool:
        """Send what was asked for; False where the other side is gone or does not read."""
        # Each answer has a file of its own: whoever is told may do with it what it likes.
        descriptor = os.memfd_create(f"forkd-{topic}", os.MFD_CLOEXEC)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            return self.say(Word.TELL, [topic], [descriptor])

    def say_importing(self, what: str) -> None:
        """Should this take too long, the master can tell people what it was."""
        self.say(Word.IMPORTING, [what])

    def hear(self) -> Said | None:
        """The next message; None at the end. Raises BlockingIOError where nothing was said."""
        try:
            message = messages.receive(self._sock)
        except ConnectionError:
            return None
        if message is None:
            return None
        word, *fields = message.fields
        texts = tuple(map(os.fsdecode, fields))
        return Said(Word(word), texts, tuple(message.descriptors), message.pid)

    def close(self) -> None:
        self._sock.close()


def told(said: Said) -> bytes:
    """What TELL has brought. Call it once: it closes the file."""
    (descriptor,) = said.descriptors
    with open(descriptor, "rb") as file:
        file.seek(0)  # the sender has left it at the end
        return file.read()


def channel_pair() -> tuple[Channel, Channel]:
    """The master's end and the child's."""
    master, child = messages.message_pair()
    messages.tell_senders(master)
    return Channel(master), Channel(child)

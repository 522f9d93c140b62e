"""Messages that do not fit."""

from __future__ import annotations

import errno

import pytest

from forkd.system import messages


def test_a_message_that_would_be_cut_is_not_sent() -> None:
    ours, theirs = messages.message_pair(4 * messages.MAX_SIZE)
    with ours, theirs:
        with pytest.raises(OSError) as refused:
            messages.send(ours, [bytes(messages.MAX_SIZE + 1)])
        assert refused.value.errno == errno.EMSGSIZE
        with pytest.raises(BlockingIOError):
            messages.receive(theirs)

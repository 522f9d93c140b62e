"""Messages between processes."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.system.messages import MAX_DESCRIPTORS, MAX_SIZE, Message, message_pair, receive, send

Ends = tuple[socket.socket, socket.socket]
FIELD = st.binary(max_size=200).map(lambda data: data.replace(b"\0", b""))


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = message_pair()
    yield both
    for end in both:
        end.close()


@given(fields=st.lists(FIELD, min_size=1, max_size=20).filter(any))
def test_fields_arrive_as_they_were_sent(fields: list[bytes]) -> None:
    one, other = message_pair()
    with one, other:
        send(one, fields)
        assert receive(other) == Message(fields, [])


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_descriptors_arrive_close_on_exec_and_in_order(ends: Ends) -> None:
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(MAX_DESCRIPTORS // 2)]
    send(ends[0], [b"take"], [end for pipe in pipes for end in pipe])
    message = receive(ends[1])
    assert message is not None
    assert len(message.descriptors) == MAX_DESCRIPTORS
    assert not any(os.get_inheritable(number) for number in message.descriptors)
    for number, (read_end, _) in enumerate(pipes):
        os.write(message.descriptors[2 * number + 1], b"%d" % number)
        assert os.read(read_end, 5) == b"%d" % number
    for descriptor in [*message.descriptors, *(end for pipe in pipes for end in pipe)]:
        os.close(descriptor)


def test_no_message_yet_and_no_message_any_more_are_told_apart(ends: Ends) -> None:
    with pytest.raises(BlockingIOError):
        receive(ends[1])
    send(ends[0], [b"last"])
    ends[0].close()
    assert receive(ends[1]) == Message([b"last"], [])
    assert receive(ends[1]) is None


def test_sending_to_nobody_is_an_error_and_no_signal(ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(BrokenPipeError):
        send(ends[0], [b"x"])


def test_a_message_that_could_not_arrive_whole_is_not_sent() -> None:
    one, other = message_pair(4 * MAX_SIZE)
    with one, other:
        with pytest.raises(OSError) as caught:
            send(one, [b"x" * (MAX_SIZE + 1)])
        assert caught.value.errno == errno.EMSGSIZE
        with pytest.raises(BlockingIOError):
            receive(other)


def test_a_receiver_that_is_behind_does_not_block_the_sender() -> None:
    one, other = message_pair(1 << 20)
    with one, other:
        sent = 0
        try:
            while sent < 1_000_000:
                send(one, [b"%d" % sent, b"x" * 4000])
                sent += 1
        except BlockingIOError:
            pass
        assert 0 < sent < 1_000_000
        for number in range(sent):
            message = receive(other)
            assert message is not None
            assert message.fields[0] == b"%d" % number


def test_a_larger_buffer_holds_more() -> None:
    def capacity(size: int) -> int:
        one, other = message_pair(size)
        with one, other:
            for number in range(1_000_000):
                try:
                    send(one, [b"x" * 4000])
                except BlockingIOError:
                    return number
        raise AssertionError("the kernel takes everything")

    if int(Path("/proc/sys/net/core/wmem_max").read_text()) < 200_000:
        pytest.skip("net.core.wmem_max does not allow a larger buffer here")
    assert capacity(200_000) > capacity(20_000)

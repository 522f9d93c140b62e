"""What master and child say to each other."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from forkd.channel import Channel, Said, Word, channel_pair, told

Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = channel_pair()
    yield both
    for end in both:
        end.close()


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        (Word.READY, ()),
        (Word.FAILED, ("the port is taken", "and: ünïcode")),
        (Word.FAILED, ("not UTF-8: \udcff",)),
        (Word.FAILED, ("",)),
        (Word.DRAIN, ()),
        (Word.STOP, ()),
    ],
)
def test_a_word_arrives_as_it_was_said(ends: Ends, word: Word, fields: tuple[str, ...]) -> None:
    assert ends[1].say(word, fields)
    assert ends[0].hear() == Said(word, fields, pid=os.getpid())


def test_messages_come_one_by_one_and_in_order(ends: Ends) -> None:
    for number in range(5):
        assert ends[0].say(Word.FAILED, [str(number)])
    heard = [ends[1].hear() for _ in range(5)]
    assert [said.fields for said in heard if said] == [(str(n),) for n in range(5)]


def test_nothing_said_yet_is_not_the_end(ends: Ends) -> None:
    with pytest.raises(BlockingIOError):
        ends[0].hear()


def test_the_end_of_the_channel_is_told_after_the_last_word(ends: Ends) -> None:
    ends[1].say(Word.FAILED, ["why"])
    ends[1].close()
    assert ends[0].hear() == Said(Word.FAILED, ("why",), pid=os.getpid())
    assert ends[0].hear() is None
    assert ends[0].say(Word.DRAIN) is False


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_descriptors_arrive_close_on_exec_and_belong_to_the_receiver(ends: Ends) -> None:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    assert ends[0].say(Word.REOPEN, ["/var/log/access.log"], [write_end])
    os.close(write_end)
    said = ends[1].hear()
    assert said is not None
    assert (said.word, said.fields) == (Word.REOPEN, ("/var/log/access.log",))
    (descriptor,) = said.descriptors
    assert not os.get_inheritable(descriptor)
    os.write(descriptor, b"through")
    os.close(descriptor)
    assert os.read(read_end, 10) == b"through"
    os.close(read_end)


def test_a_side_that_never_reads_does_not_block_the_other(ends: Ends) -> None:
    said = 0
    while ends[0].say(Word.REOPEN, ["x" * 1000]):
        said += 1
        assert said < 10_000
    assert said > 10


def test_a_nul_in_a_reason_does_not_break_the_message(ends: Ends) -> None:
    ends[0].say(Word.FAILED, ["a\0b", "c"])
    assert ends[1].hear() == Said(Word.FAILED, ("ab", "c"))


def test_the_master_is_told_who_speaks_and_the_child_is_not(ends: Ends) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(not ends[1].say(Word.BORN))
    os.waitpid(pid, 0)
    said = ends[0].hear()
    assert said is not None
    assert (said.word, said.pid) == (Word.BORN, pid)
    ends[0].say(Word.DRAIN)
    answer = ends[1].hear()
    assert answer is not None
    assert answer.pid == 0


def test_descriptors_arrive_beside_the_sender(ends: Ends) -> None:
    ends[1].say(Word.FORK, ["3"], [0] * 16)
    said = ends[0].hear()
    assert said is not None
    assert (said.fields, len(said.descriptors), said.pid) == (("3",), 16, os.getpid())
    for descriptor in said.descriptors:
        os.close(descriptor)


@pytest.mark.usefixtures("no_descriptor_leaks")
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_an_answer_may_have_any_size(ends: Ends, size: int) -> None:
    assert ends[0].tell("status", b"x" * size)
    said = ends[1].hear()
    assert said is not None
    assert (said.word, said.fields) == (Word.TELL, ("status",))
    assert told(said) == b"x" * size

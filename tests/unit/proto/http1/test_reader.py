from __future__ import annotations

import pytest

from forkd.errors import ProtocolError
from forkd.proto.http1.head import Head
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.reader import END_OF_BODY, HeadMemo, RequestReader

LIMITS = HeadLimits()
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def reader(memo: HeadMemo | None = None) -> RequestReader:
    return RequestReader(LIMITS, HeadMemo() if memo is None else memo)


def next_head(source: RequestReader) -> Head:
    event = source.next_event()
    assert isinstance(event, Head)
    return event


def test_a_reader_that_received_nothing_has_no_event() -> None:
    source = reader()
    assert source.next_event() is None
    assert (source.buffered, source.partial) == (0, False)


def test_the_same_bytes_give_the_same_head() -> None:
    memo: HeadMemo = HeadMemo()
    first, second = reader(memo), reader(memo)
    first.receive(GET)
    second.receive(bytes(bytearray(GET)))
    assert next_head(first) is next_head(second)


def test_a_remembered_head_is_found_among_pipelined_ones() -> None:
    source = reader()
    source.receive(GET)
    head = next_head(source)
    source.receive(POST + b"hello" + GET + GET[:5])
    assert next_head(source).method == "POST"
    assert [source.next_event(), source.next_event()] == [b"hello", END_OF_BODY]
    assert source.next_event() is head
    assert source.next_event() is None
    assert source.partial


def test_a_remembered_head_with_a_body_is_followed_by_it() -> None:
    source = reader()
    for _ in range(2):
        source.receive(POST)
        assert next_head(source).has_body
        assert source.next_event() is None
        source.receive(b"hel")
        assert source.next_event() == b"hel"
        source.receive(b"lo")
        assert source.next_event() == b"lo"
        assert source.next_event() is END_OF_BODY
        assert source.next_event() is None


def test_a_head_that_two_reads_bring_before_an_event_is_asked_for() -> None:
    source = reader()
    source.receive(GET[:9])
    source.receive(GET[9:])
    assert next_head(source).path == "/"


def test_each_remembered_head_may_have_an_empty_line_before_it() -> None:
    source = reader()
    for _ in range(3):
        source.receive(b"\r\n")
        assert (source.next_event(), source.partial) == (None, False)
        source.receive(GET)
        assert next_head(source).path == "/"


def test_a_head_over_4096_bytes_is_not_remembered() -> None:
    memo: HeadMemo = HeadMemo()
    source = reader(memo)
    source.receive(GET[:-2] + b"X: " + b"a" * 4096 + b"\r\n\r\n")
    assert next_head(source).path == "/"
    assert memo == {}


def test_a_full_memo_is_emptied() -> None:
    known: dict[bytes, str] = {}
    memo = HeadMemo(known)
    source = reader(memo)
    most = 0
    lines = b"a:\r\n" * 90
    for number in range(1000):
        source.receive(b"GET /%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (number, lines))
        head = next_head(source)
        assert head.path == f"/{number}"
        known[head.raw] = head.path
        most = max(most, len(memo))
    assert 480 < most < 530
    assert set(known) == set(memo), "what depends on heads is forgotten with them"


def test_a_refused_head_is_not_remembered() -> None:
    memo: HeadMemo = HeadMemo()
    for _ in range(2):
        source = reader(memo)
        source.receive(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ProtocolError, match="400"):
            source.next_event()
    assert memo == {}


def test_a_failed_reader_stays_failed_and_keeps_nothing() -> None:
    source = reader()
    source.receive(b"GET /\r\n")
    for _ in range(3):
        with pytest.raises(ProtocolError, match="has no version"):
            source.next_event()
        source.receive(GET)
        assert source.buffered == 0
    assert not source.partial


def test_partial_is_said_of_heads_only() -> None:
    source = reader()
    source.receive(POST[:20])
    assert (source.next_event(), source.partial) == (None, True)
    source.receive(POST[20:] + b"he")
    assert next_head(source).has_body
    assert source.next_event() == b"he"
    assert (source.next_event(), source.partial) == (None, False)
    source.receive(b"llo" + GET[:3])
    assert source.next_event() == b"llo"
    assert source.next_event() is END_OF_BODY
    assert (source.next_event(), source.partial) == (None, True)


def test_what_is_read_ahead_is_counted() -> None:
    source = reader()
    source.receive(GET * 3)
    assert source.buffered == 3 * len(GET)
    source.next_event()
    assert source.buffered == 2 * len(GET)
    source.receive(GET[:4])
    assert source.buffered == 2 * len(GET) + 4
    assert [isinstance(source.next_event(), Head) for _ in range(3)] == [True, True, False]
    assert source.buffered == 4


def test_a_body_that_announces_too_much_is_refused_by_its_limit() -> None:
    source = reader()
    source.receive(POST + b"hello")
    source.next_event()
    with pytest.raises(ProtocolError, match="413"):
        source.limit_body(4)
    with pytest.raises(ProtocolError, match="413"):
        source.next_event()


def test_a_limit_is_no_matter_for_a_head_without_body() -> None:
    source = reader()
    source.receive(GET + GET)
    source.next_event()
    source.limit_body(0)
    assert next_head(source).path == "/"


def test_what_came_before_a_fault_is_given_before_it() -> None:
    source = reader()
    source.receive(CHUNKED + b"2\r\nok\r\n2\r\nokX")
    source.next_event()
    assert source.next_event() == b"okok"
    with pytest.raises(ProtocolError, match="does not end with CRLF"):
        source.next_event()


def test_an_empty_read_changes_nothing() -> None:
    source = reader()
    source.receive(b"")
    assert source.next_event() is None
    source.receive(GET)
    assert next_head(source).path == "/"


def test_a_head_of_30000_bytes_that_come_one_by_one_is_looked_at_once() -> None:
    """Each byte is searched, and copied, a bounded number of times; see the calls that count."""
    data = GET[:-2] + b"X: " + b"a" * 30000 + b"\r\n\r\n"
    source = reader()
    for at in range(len(data)):
        source.receive(data[at : at + 1])
        event = source.next_event()
        # The search resumes where it stopped: no more than the CR that may be half of a CRLF.
        assert source.buffered - source._scanned <= 1
    assert isinstance(event, Head)

"""Properties of the HTTP/1 reader that no table can cover."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from forkd.errors import ProtocolError
from forkd.proto.cgi import ResponseParser
from forkd.proto.http1.body import ChunkedDecoder
from forkd.proto.http1.head import parse_head
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.reader import HeadMemo
from forkd.proto.http1.response import FINAL_CHUNK, chunk
from tests.unit.proto.http1.wire import cut, play
from tests.unit.test_corpus_http1 import ALL

FAST = settings(max_examples=300, deadline=None)
SMALL = HeadLimits(request_line=40, header_size=80, headers=4)

TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcXYZ", min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=20).map(
    lambda data: bytes(byte for byte in data if byte >= 0x20 and byte != 0x7F).strip(b" \t")
)

# Fragments of requests, good and bad: put together at random, they come near the grammar's edges.
FRAGMENTS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b HTTP/1.1\r\n",
        b"GET /",
        b" HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"Upgrade: x\r\nConnection: upgrade\r\n",
        b"X: y\r\n",
        b"X" * 30,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n",
        b"3\r\nabc\r\n",
        b"2;a=b\r\n",
        b"0\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b":",
        b"a",
        b"\x00",
        b"\xff",
    ]
)
WIRE = st.lists(FRAGMENTS, max_size=14).map(b"".join) | st.binary(max_size=200)
# One case of the corpus after another, damaged: bytes put in, bytes taken out.
DAMAGE = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 2),
        st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b":", b"\0", b"0", b",", b";", b"\xff"]),
    ),
    max_size=4,
)
SHORT = [case.wire for case in ALL if len(case.wire) < 400]
PLACES = st.lists(st.integers(0, 250), max_size=8)


@FAST
@given(WIRE, st.sampled_from([SMALL, HeadLimits()]), st.none() | st.integers(0, 5), PLACES)
@example(b"GET /" + b"a" * 26 + b" HTTP/1.1\r\n\r\n", SMALL, None, [])
@example(b"\r\nGET / HTTP/1.0\r\n\r\n", SMALL, None, [1])
def test_the_same_bytes_give_the_same_events_however_they_arrive(
    wire: bytes, limits: HeadLimits, max_body: int | None, places: list[int]
) -> None:
    whole = play([wire], limits, max_body).signature()
    assert play(cut(wire, [min(at, len(wire)) for at in places]), limits, max_body).signature() == (
        whole
    )
    bytewise = [wire[at : at + 1] for at in range(len(wire))]
    assert play(bytewise, limits, max_body).signature() == whole


@FAST
@given(st.lists(st.sampled_from(SHORT), min_size=1, max_size=2), DAMAGE, st.booleans(), PLACES)
def test_damaged_requests_of_the_corpus_give_the_same_events_however_they_arrive(
    cases: list[bytes], damage: list[tuple[int, int, bytes]], small: bool, places: list[int]
) -> None:
    wire = b"".join(cases)
    for at, removed, added in damage:
        place = at % (len(wire) + 1)
        wire = wire[:place] + added + wire[place + removed :]
    limits = SMALL if small else HeadLimits()
    whole = play([wire], limits, 5).signature()
    assert play(cut(wire, [min(at, len(wire)) for at in places]), limits, 5).signature() == whole
    assert play([wire[at : at + 1] for at in range(len(wire))], limits, 5).signature() == whole


@FAST
@given(WIRE)
def test_a_memo_changes_nothing(wire: bytes) -> None:
    memo: HeadMemo = HeadMemo()
    first = play([wire], memo=memo).signature()
    assert play([wire], memo=memo).signature() == first


@FAST
@given(WIRE | st.binary(max_size=60).map(lambda data: b"GET / HTTP/1.1\r\n" + data + b"\r\n\r\n"))
def test_a_head_of_any_bytes_is_parsed_or_refused(data: bytes) -> None:
    status = 0
    try:
        parse_head(data, SMALL)
    except ProtocolError as error:
        status = error.status
    assert status in (0, 400, 404, 414, 417, 431, 501, 505)


@FAST
@given(WIRE)
def test_a_chunked_body_of_any_bytes_is_decoded_or_refused(data: bytes) -> None:
    decoder = ChunkedDecoder(SMALL, max_body=10)
    content, status = b"", 0
    try:
        content = decoder.feed(data)
        if not decoder.complete:
            decoder.feed(b"")
    except ProtocolError as error:
        status = error.status
    assert status in (0, 400, 413, 431)
    assert len(content) <= 10


@FAST
@given(st.lists(st.binary(max_size=40), max_size=8), st.binary(max_size=10), PLACES)
def test_what_is_written_in_chunks_is_read_back(
    pieces: list[bytes], rest: bytes, places: list[int]
) -> None:
    wire = b"".join(map(chunk, pieces)) + FINAL_CHUNK
    decoder = ChunkedDecoder(HeadLimits())
    parts = cut(wire, [min(at, len(wire)) for at in places])
    parts[-1] += rest
    read = b""
    followed = b""
    for part in parts:
        if decoder.complete:
            followed += part
        else:
            read += decoder.feed(part)
            followed += decoder.rest
    assert (read, decoder.complete, followed) == (b"".join(pieces), True, rest)


RESERVED = {b"host", b"content-length", b"transfer-encoding", b"expect"}


@FAST
@given(
    TOKEN.filter(lambda token: token != b"CONNECT"),
    st.text("abc-._~/!$&'()*+,;=:@", max_size=20).map(str.encode),
    st.binary(max_size=20).map(lambda data: bytes(b for b in data if 0x21 <= b < 0x7F and b != 35)),
    st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in RESERVED), VALUE), max_size=6),
)
def test_a_head_is_read_as_it_was_written(
    method: bytes, path: bytes, query: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    target = b"/" + path.replace(b".", b"x") + (b"?" + query if query else b"")
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    wire = b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method, target, lines)
    head = parse_head(wire, HeadLimits())
    assert head.method.encode() == method
    assert head.target == target
    assert head.query == query
    assert head.headers == (
        (b"host", b"a"),
        *((name.lower(), value) for name, value in fields),
    )


@FAST
@given(st.text("ab./%2eEfF", max_size=24))
def test_a_path_has_no_dot_segment_and_no_run_of_slashes(text: str) -> None:
    path, status = "/", 0
    try:
        path = parse_head(f"GET /{text} HTTP/1.0\r\n\r\n".encode(), HeadLimits()).path
    except ProtocolError as error:
        status = error.status
    assert status in (0, 400, 404)
    assert path.startswith("/")
    assert "//" not in path
    assert not {".", ".."} & set(path.split("/"))


@FAST
@given(
    st.lists(
        st.sampled_from(
            [
                b"Content-Type: a/b\n",
                b"Status: 404 No\r\n",
                b"Location: /x\n",
                b"\n",
                b"\r",
                b"X: y",
                b"a",
                b":",
                b"\x00",
            ]
        ),
        max_size=10,
    ).map(b"".join)
    | st.binary(max_size=100),
    PLACES,
)
def test_the_output_of_a_script_is_read_alike_however_it_arrives(
    output: bytes, places: list[int]
) -> None:
    def read(parts: list[bytes]) -> object:
        parser = ResponseParser()
        head = None
        body = b""
        try:
            for part in parts:
                if head is not None:
                    body += part
                else:
                    head = parser.feed(part)
                    body += parser.rest
        except ProtocolError as error:
            return str(error)
        return head, body

    assert read(cut(output, [min(at, len(output)) for at in places])) == read([output])

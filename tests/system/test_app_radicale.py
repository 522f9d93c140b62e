"""Radicale: a calendar is made, filled, asked and emptied as CalDAV clients do it (RFC 4791)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.system.applications import Client, need_package, wsgi_route
from tests.system.daemon import Daemon, started

HOME = "/dav/anna/"
CALENDAR = f"{HOME}work/"
EVENT = f"{CALENDAR}meeting.ics"

MKCALENDAR = """\
<?xml version="1.0" encoding="utf-8"?>
<C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
  <D:set><D:prop><D:displayname>B\u00fcro</D:displayname></D:prop></D:set>
</C:mkcalendar>
"""
PROPFIND = """\
<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:">
  <D:prop><D:displayname/><D:resourcetype/><D:getetag/></D:prop>
</D:propfind>
"""
REPORT = """\
<?xml version="1.0" encoding="utf-8"?>
<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
  <D:prop><D:getetag/><C:calendar-data/></D:prop>
  <C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">
    <C:time-range start="{start}" end="{end}"/>
  </C:comp-filter></C:comp-filter></C:filter>
</C:calendar-query>
"""
MEETING = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//forkd//tests//EN
BEGIN:VEVENT
UID:meeting
DTSTAMP:20300101T000000Z
DTSTART:20300102T100000Z
DTEND:20300102T110000Z
SUMMARY:Caf\u00e9 {number}
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    need_package("radicale")
    directory = tmp_path_factory.mktemp("radicale")
    (directory / "data").mkdir()
    (directory / "users").write_text("anna:one\nbert:two\n")
    route = wsgi_route(
        "radicale_app:application",
        RADICALE_DATA=directory / "data",
        RADICALE_USERS=directory / "users",
    )
    with started(directory, {"/dav/": route}) as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    """Anna, who has an empty calendar."""
    with Client(daemon.url) as session:
        session.auth = ("anna", "one")
        made = session.request("MKCALENDAR", CALENDAR, data=MKCALENDAR.encode())
        assert made.status_code == 201, made.text
        yield session
        assert session.delete(CALENDAR).status_code == 200


def put(client: Client, number: int, **headers: str) -> int:
    """Store the event; the status."""
    data = MEETING.format(number=number).encode()
    headers["Content-Type"] = "text/calendar; charset=utf-8"
    return client.put(EVENT, data=data, headers=headers).status_code


def events(client: Client, start: str, end: str) -> list[str]:
    """The summaries of the events between two times."""
    query = REPORT.format(start=start, end=end)
    answer = client.request("REPORT", CALENDAR, data=query.encode(), headers={"Depth": "1"})
    assert answer.status_code == 207, answer.text
    return re.findall(r"SUMMARY:(.*?)\s*$", answer.content.decode(), re.MULTILINE)


def test_the_server_says_what_it_can(client: Client) -> None:
    options = client.options(CALENDAR)
    assert options.status_code == 200
    assert "calendar-access" in options.headers["DAV"]
    assert {"MKCALENDAR", "PROPFIND", "REPORT"} <= set(options.headers["Allow"].split(", "))


@pytest.mark.parametrize("in_chunks", [False, True])
def test_propfind_lists_the_calendar_below_the_prefix(client: Client, in_chunks: bool) -> None:
    query = PROPFIND.encode()
    data = iter([query[:50], query[50:]]) if in_chunks else query
    answer = client.request("PROPFIND", HOME, data=data, headers={"Depth": "1"})
    assert answer.status_code == 207
    text = answer.content.decode()
    assert re.findall(r"<href>([^<]*)</href>", text) == [HOME, CALENDAR]
    assert "<displayname>B\u00fcro</displayname>" in text


def test_an_event_is_stored_found_changed_and_deleted(client: Client) -> None:
    january = ("20300101T000000Z", "20300201T000000Z")
    assert put(client, 1) == 201
    assert events(client, *january) == ["Caf\u00e9 1"]
    assert events(client, "20300201T000000Z", "20300301T000000Z") == []

    stored = client.get(EVENT)
    assert stored.headers["Content-Type"].startswith("text/calendar")
    assert "SUMMARY:Caf\u00e9 1" in stored.content.decode()

    assert put(client, 2, **{"If-None-Match": "*"}) == 412
    assert put(client, 2, **{"If-Match": '"other"'}) == 412
    assert put(client, 2, **{"If-Match": stored.headers["ETag"]}) == 204
    assert events(client, *january) == ["Caf\u00e9 2"]

    assert client.delete(EVENT).status_code == 200
    assert client.get(EVENT).status_code == 404
    assert events(client, *january) == []


def test_a_calendar_is_its_owners_alone(daemon: Daemon, client: Client) -> None:
    assert put(client, 1) == 201
    with Client(daemon.url) as other:
        refused = other.get(EVENT)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic ")
        assert other.get(EVENT, auth=("anna", "two")).status_code == 401
        assert other.get(EVENT, auth=("bert", "two")).status_code == 403

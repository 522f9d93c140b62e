"""A record says which request it was. What is run, and as whom, the configuration says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forkd.config.load import load_text
from forkd.config.policy import policies
from forkd.errors import OperationError
from forkd.explain import records
from forkd.explain.records import OF_REQUEST, list_records, prepare
from forkd.explain.serving import Serving
from forkd.handlers.black_box import BlackBox, record_name
from forkd.handlers.programs import Ended, Program
from forkd.proto.cgi import Meta, environment
from forkd.spawner.orders import decode_order
from forkd.system.credentials import Identity

ID = "0123456789abcdef"
META = Meta(
    method="POST",
    scheme="https",
    protocol="HTTP/1.1",
    server_name="example.org",
    server_port=443,
    remote_addr="192.0.2.9",
    remote_port=51000,
    script_name=b"/cgi-bin/run.sh",
    path_info=b"/info",
    path_translated=b"/elsewhere/info",
    query=b"x=1",
    request_uri=b"/cgi-bin/run.sh/info?x=1",
    document_root=b"/elsewhere",
    script_filename=b"/elsewhere/run.sh",
    content_length=3,
    headers=((b"content-type", b"text/plain"), (b"x-one", b"caf\xe9")),
    request_id=ID.encode(),
)


class Place:
    """A configuration with two routes, and one record of the first."""

    def __init__(self, directory: Path) -> None:
        self.cgi = directory / "cgi-bin"
        self.cgi.mkdir()
        self.records = directory / "records"
        self.script = self.cgi / "run.sh"
        for script in (self.script, self.cgi / "run.pl", self.cgi / "other.sh"):
            script.write_text("#!/bin/sh\n")
        (self.cgi / ".git").mkdir()
        (self.cgi / ".git" / "hook").write_text("#!/bin/sh\n")
        (directory / "html" / "uploads").mkdir(parents=True)
        for name in ("evil", "fine.cgi"):
            (directory / "html" / "uploads" / name).write_text("#!/bin/sh\n")
        routes = {
            "/cgi-bin/": {
                "cgi": "cgi-bin",
                "record": "records",
                "env": {"ROUTE": "as it is now"},
                "limits": {"open_files": 40},
                "interpreters": {".pl": "/bin/sh"},
            },
            "/other/": {"cgi": "cgi-bin", "record": "elsewhere"},
            "/cgi-bin/other.sh": {"cgi": "cgi-bin/other.sh"},
            "*.cgi": {"cgi": "html", "record": "records", "pass_authorization": True},
            "/mine/": {"cgi": "cgi-bin", "record": "records", "env": {"SCRIPT_NAME": "/elsewhere"}},
            "/one/": {"cgi": "cgi-bin/run.sh", "record": "records"},
        }
        text = json.dumps({"root": str(directory), "sites": [{"routes": routes}]})
        settings = load_text(text, str(directory / "forkd.yaml"), {})
        of_routes = policies(settings)
        self.serving = Serving(settings, None, of_routes, dict.fromkeys(of_routes.values()))
        self.record()

    def record(self, request_id: str = ID, script: Path | None = None) -> None:
        environ = environment(META) | {b"LD_PRELOAD": b"/tmp/evil.so", b"HTTP_PROXY": b"x"}
        path = str(script or self.script)
        recorder = BlackBox(self.records, 0, "/cgi-bin/").recorder(request_id, path)
        recorder.ordered(Program((b"/bin/rm", b"-rf"), environ, b"/"))
        recorder.body(b"a=1")
        recorder.failed(502, "why")
        recorder.ended(Ended(0, 0.0, 0))

    def file(self, request_id: str = ID) -> Path:
        return self.records / record_name(request_id)

    def change(self, **parts: object) -> None:
        self.file().write_text(json.dumps(json.loads(self.file().read_text()) | parts))

    def change_variables(self, **variables: str) -> None:
        environ = json.loads(self.file().read_text())["environ"]
        self.change(environ=environ | variables)

    def prepare(self, request_id: object = ID) -> tuple[Program, dict[str, Any]]:
        found = prepare(self.serving, {"id": request_id})
        return decode_order(found["order"]), found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_every_variable_of_a_request_is_given_again(place: Place) -> None:
    of_us = {"SCRIPT_FILENAME", "DOCUMENT_ROOT", "PATH_TRANSLATED", "PATH"}
    for name in environment(META):
        text = name.decode()
        assert text in OF_REQUEST or text in of_us or text.startswith("HTTP_")
    program, _ = place.prepare()
    assert program.environ[b"QUERY_STRING"] == b"x=1"
    assert program.environ[b"HTTP_X_ONE"] == b"caf\xe9"
    assert program.environ[b"CONTENT_LENGTH"] == b"3"


def test_what_is_run_and_with_what_is_said_by_the_configuration(place: Place) -> None:
    program, found = place.prepare()
    root, script = os.fsencode(place.cgi.parent), os.fsencode(place.script)
    assert program.argv == (script,)
    assert program.directory == os.fsencode(place.cgi)
    assert program.environ[b"ROUTE"] == b"as it is now"
    assert program.environ[b"PATH"] == b"/usr/local/bin:/usr/bin:/bin"
    assert program.environ[b"SCRIPT_FILENAME"] == script
    assert program.environ[b"DOCUMENT_ROOT"] == root
    assert program.environ[b"PATH_TRANSLATED"] == root + b"/info"
    assert b"LD_PRELOAD" not in program.environ
    assert b"HTTP_PROXY" not in program.environ
    assert [number for _, number in program.limits] == [40]
    assert found["key"] == (0, "/cgi-bin/")
    assert found["record"]["body"] == {"text": "a=1"}


def test_an_interpreter_of_the_route_runs_it_again(place: Place) -> None:
    place.change(script=str(place.cgi / "run.pl"))
    place.change_variables(SCRIPT_NAME="/cgi-bin/run.pl")
    program, _ = place.prepare()
    assert program.argv == (b"/bin/sh", os.fsencode(place.cgi / "run.pl"))


@pytest.mark.parametrize("script", ["/bin/rm", "{}/../rm", "{}/./run.sh", "{}-more/x", ""])
def test_only_a_program_of_the_route_is_run(place: Place, script: str) -> None:
    place.change(script=script.replace("{}", str(place.cgi)))
    with pytest.raises(OperationError, match="is no program of"):
        place.prepare()


@pytest.mark.parametrize(
    ("route", "name", "info", "script"),
    [
        ("/cgi-bin/", "/cgi-bin/.git/hook", "", "cgi-bin/.git/hook"),
        ("/cgi-bin/", "/cgi-bin/gone.sh", "", "cgi-bin/gone.sh"),
        ("/cgi-bin/", "/cgi-bin/../html/uploads/evil", "", "cgi-bin/../html/uploads/evil"),
        ("/cgi-bin/", "/cgi-bin/run.sh", "/../../etc", "cgi-bin/run.sh"),
        ("/cgi-bin/", "/cgi-bin/other.sh", "", "cgi-bin/other.sh"),
        ("/cgi-bin/", "", "", "cgi-bin/run.sh"),
        ("*.cgi", "/uploads/evil", "", "html/uploads/evil"),
        ("*.cgi", "/uploads/evil", "/x.cgi", "html/uploads/evil"),
        ("/one/", "/one", "", "cgi-bin/other.sh"),
        ("/one/", "/cgi-bin/run.sh", "", "cgi-bin/run.sh"),
    ],
)
def test_only_what_a_request_could_reach_is_run(
    place: Place, route: str, name: str, info: str, script: str
) -> None:
    place.change(route=route, script=f"{place.cgi.parent}/{script}")
    place.change_variables(SCRIPT_NAME=name, PATH_INFO=info)
    with pytest.raises(OperationError, match=r"is no program of .* would reach: "):
        place.prepare()


@pytest.mark.parametrize(
    ("route", "name", "info", "script"),
    [
        ("/cgi-bin/", "/cgi-bin/run.sh", "", "cgi-bin/run.sh"),
        ("/cgi-bin/", "/cgi-bin/run.sh", "/50%/.x/", "cgi-bin/run.sh"),
        ("*.cgi", "/uploads/fine.cgi", "/x", "html/uploads/fine.cgi"),
        ("/one/", "/one", "/x", "cgi-bin/run.sh"),
    ],
)
def test_what_a_request_reaches_is_run(
    place: Place, route: str, name: str, info: str, script: str
) -> None:
    place.change(route=route, script=f"{place.cgi.parent}/{script}")
    place.change_variables(SCRIPT_NAME=name, PATH_INFO=info)
    program, _ = place.prepare()
    assert program.argv == (os.fsencode(place.cgi.parent / script),)
    assert program.environ[b"SCRIPT_NAME"] == name.encode()
    assert program.environ.get(b"PATH_INFO", b"") == info.encode()


def test_a_name_that_the_route_sets_says_nothing_of_the_request(place: Place) -> None:
    place.change(route="/mine/")
    place.change_variables(SCRIPT_NAME="/elsewhere")
    program, _ = place.prepare()
    assert program.argv == (os.fsencode(place.script),)
    assert program.environ[b"SCRIPT_NAME"] == b"/elsewhere"
    assert program.environ[b"PATH_INFO"] == b"/info"
    place.change(script=str(place.cgi / ".git" / "hook"))
    with pytest.raises(OperationError, match="is hidden"):
        place.prepare()


def test_who_has_logged_in_is_not_for_a_record_to_say(place: Place) -> None:
    credentials = {"HTTP_AUTHORIZATION": "Basic x", "HTTP_PROXY_AUTHORIZATION": "Basic y"}
    forged = {"REMOTE_USER": "root", "AUTH_TYPE": "Basic"}
    place.change_variables(
        **credentials, **forged, **{"HTTP_AUTHORIZATION=Basic z": "", "HTTP_a": ""}
    )
    program, _ = place.prepare()
    assert not {name.decode() for name in program.environ} & (credentials.keys() | forged.keys())
    assert b"HTTP_a" not in program.environ
    place.change(route="*.cgi", script=f"{place.cgi.parent}/html/uploads/fine.cgi")
    place.change_variables(SCRIPT_NAME="/uploads/fine.cgi", PATH_INFO="")
    program, _ = place.prepare()
    assert program.environ[b"HTTP_AUTHORIZATION"] == b"Basic x"
    assert program.environ[b"HTTP_PROXY_AUTHORIZATION"] == b"Basic y"
    assert not {name.decode() for name in program.environ} & forged.keys()


@pytest.mark.parametrize(
    "parts",
    [
        {"script": "/srv/\ud800"},
        {"environ": {"QUERY_STRING": "\ud800"}},
        {"environ": {"HTTP_\ud800": ""}},
        {"body": {"text": "\ud800"}},
    ],
)
def test_half_a_character_is_told(place: Place, parts: dict[str, object]) -> None:
    place.change(**parts)
    with pytest.raises(OperationError, match=r"is no record: .* half of a character"):
        place.prepare()


def test_what_is_listed_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.change(reason="r" * 100_000, script="s" * 100_000, time="t" * 100_000)
    (listed,) = list_records(place.serving)["records"]
    assert (len(listed["reason"]), len(listed["script"]), len(listed["time"])) == (1000, 4096, 40)
    monkeypatch.setattr("forkd.explain.records.MOST_RECORDS", 3)
    for number in range(5):
        place.record(f"{number:016x}")
        os.utime(place.file(f"{number:016x}"), (number, number))
    place.file("d" * 16).mkdir()
    ids = {one["id"] for one in list_records(place.serving)["records"]}
    assert ids == {ID, f"{4:016x}", f"{3:016x}"}


def test_records_are_read_as_the_workers_user(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    worn: list[Identity | None] = []

    @contextmanager
    def wearing(identity: Identity | None) -> Iterator[None]:
        worn.append(identity)
        yield
        worn.append(None)

    workers = Identity("somebody", 4711, 4711, ())
    serving = replace(place.serving, workers=workers)
    read = records._read

    def looked(path: Path) -> dict[str, Any]:
        assert worn[-1] is workers
        return read(path)

    monkeypatch.setattr(records, "wearing", wearing)
    monkeypatch.setattr(records, "_read", looked)
    assert list_records(serving)["records"]
    prepare(serving, {"id": ID})
    assert worn == [workers, None, workers, None]


@pytest.mark.parametrize(
    "parts", [{"route": "/gone/"}, {"route": "/other/"}, {"site": 1}, {"site": -1}]
)
def test_a_record_belongs_to_the_route_that_records_there(
    place: Place, parts: dict[str, object]
) -> None:
    place.change(**parts)
    with pytest.raises(OperationError, match="not in the configuration any more"):
        place.prepare()


@pytest.mark.parametrize(
    "parts",
    [
        {"version": 2},
        {"id": "f" * 16},
        {"environ": []},
        {"environ": {"A": 1}},
        {"body": {"base64": "?"}},
        {"body": {"text": 1}},
        {"body": {}},
        {"script": None},
        {"at": "now"},
        {"at": True},
        {"at": float("nan")},
        {"at": float("inf")},
        {"status": True},
        {"status": 10**100},
        {"body": {"text": "x" * 65537}},
        {"stderr": {"text": "x" * 65537}},
    ],
)
def test_what_is_no_record_is_told_and_not_listed(place: Place, parts: dict[str, object]) -> None:
    place.change(**parts)
    with pytest.raises(OperationError, match="is no record: "):
        place.prepare()
    assert list_records(place.serving) == {"records": [], "notes": []}


def test_a_variable_with_a_nul_is_refused(place: Place) -> None:
    place.change(environ={"QUERY_STRING": "a\0LD_PRELOAD=x"})
    with pytest.raises(OperationError, match="NUL"):
        place.prepare()


@pytest.mark.parametrize("name", [None, 3, "", "x", "../" + ID, ID.upper(), ID + "\n"])
def test_an_id_is_sixteen_digits(place: Place, name: object) -> None:
    with pytest.raises(OperationError, match="no id of a request"):
        place.prepare(name)


def test_links_and_fifos_are_neither_followed_nor_waited_for(place: Place) -> None:
    place.file("a" * 16).symlink_to(place.file())
    os.mkfifo(place.file("b" * 16))
    place.file("c" * 16).mkdir()
    place.file("d" * 16).write_text("[" * 100_000)
    for letter in "abcd":
        with pytest.raises(OperationError):
            place.prepare(letter * 16)
    (listed,) = list_records(place.serving)["records"]
    assert listed["id"] == ID


def test_the_newest_record_is_listed_first(place: Place) -> None:
    place.record("f" * 16)
    place.change(at=5)
    assert [one["id"] for one in list_records(place.serving)["records"]] == ["f" * 16, ID]


def test_a_record_that_is_not_there_is_told(place: Place) -> None:
    with pytest.raises(OperationError, match=f"no record {'f' * 16} in .*records"):
        place.prepare("f" * 16)


def test_without_a_directory_it_is_said_how_to_record() -> None:
    text = json.dumps({"sites": [{"routes": {"/": {"respond": "x"}}}]})
    settings = load_text(text, "/forkd.yaml", {})
    for ask in (list_records, lambda serving: prepare(serving, {"id": ID})):
        with pytest.raises(OperationError, match="no route has `record`"):
            ask(Serving(settings, None, {}, {}))

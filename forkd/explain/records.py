"""The records of failed CGI requests: which there are, and the order that runs one again.

Records are written by workers, into a directory that is their user's. So are programs of that user,
who could put anything there: a record says which request it was, and no more. The program is the
one that the request's path leads to. User, sandbox, limits and the route's own variables are those
of the configuration as it is now.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from forkd.config.policy import cgi_routes
from forkd.config.settings import CgiRoute
from forkd.errors import OperationError, ProtocolError
from forkd.explain.serving import Serving
from forkd.explain.sites import Sites
from forkd.handlers.base import Peer, Request
from forkd.handlers.black_box import (
    KEPT_BODY,
    KEPT_STDERR,
    MOST_RECORDS,
    RECORD_ID,
    VERSION,
    record_name,
    unpack,
)
from forkd.handlers.cgi import SEARCH_PATH, Cgi
from forkd.handlers.cgi_scripts import Script, Unusable
from forkd.handlers.factory import document_root
from forkd.handlers.programs import NoLauncher
from forkd.logs.error import one_line
from forkd.proto.http1.head import parse_head
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.target import resolve_path
from forkd.spawner.orders import encode_order
from forkd.system.credentials import current_user
from forkd.system.impersonation import wearing

_MOST_BYTES: Final = 4 << 20
"""A record is bounded by what is kept of a request: this is no record."""
_LONGEST: Final = {"time": 40, "exit": 200, "reason": 1000, "route": 1000, "script": 4096}
"""Characters of what is shown. The master holds the answer, so that scripts must not fill it."""
_LONGEST_SHOWN: Final = 8192
"""Characters of a variable that is shown."""
_LARGEST_NUMBER: Final = 1 << 53

OF_REQUEST: Final = frozenset(
    {
        *("CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "HTTPS", "PATH_INFO"),
        *("QUERY_STRING", "REDIRECT_STATUS", "REMOTE_ADDR", "REMOTE_PORT", "REQUEST_ID"),
        *("REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI", "SCRIPT_NAME", "SERVER_NAME"),
        *("SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE"),
    }
)
"""Variables that a client's request says, beside HTTP_...; what others mean to a program is not for
a record to say (LD_PRELOAD). Nor is who has logged in (REMOTE_USER, AUTH_TYPE): forkd asks nobody,
so that a program may believe these where the route sets them."""
_HEADER = re.compile(r"HTTP_[A-Z0-9_]+")
_NEVER: Final = frozenset({"HTTP_PROXY"})
_CREDENTIALS: Final = frozenset({"HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"})


def list_records(serving: Serving) -> dict[str, Any]:
    """The newest records of each directory, the newest first, and notes on directories that cannot
    be read.

    Raises OperationError where no route keeps any.
    """
    with wearing(serving.workers):
        return _list(serving)


def _list(serving: Serving) -> dict[str, Any]:
    found: list[dict[str, object]] = []
    notes: list[str] = []
    for directory in _directories(serving):
        try:
            paths = _files(directory)
        except OSError as error:
            notes.append(f"user {current_user()} cannot read {directory}: {error.strerror}")
            continue
        for path in paths:
            try:
                record = _read(path)
            except (OSError, ValueError):
                continue  # it has gone meanwhile, or is nothing that a worker has written
            found.append(
                {
                    "id": record["id"],
                    "at": record["at"],
                    "time": record["time"],
                    "status": record["status"],
                    "script": record["script"],
                    "reason": record["reason"],
                }
            )
    found.sort(key=lambda one: str(one["id"]))
    found.sort(key=lambda one: float(str(one["at"])), reverse=True)
    return {"records": found, "notes": notes}


def prepare(serving: Serving, request: Mapping[str, object]) -> dict[str, Any]:
    """The order for the record with the `id` of the request, its route, and what a person sees.

    Raises OperationError where it cannot be run again.
    """
    name = request.get("id")
    if not isinstance(name, str) or RECORD_ID.fullmatch(name) is None:
        raise OperationError(f"{name!r} is no id of a request: 16 hexadecimal digits")
    with wearing(serving.workers):
        path, record = _find(serving, name)
        key = (record["site"], record["route"])
        route = _route(serving, key, path)
        handler = _handler(serving, key[0], route)
        script = _script(serving, key, handler, record["script"], _path(route, key[1], record))
    if not isinstance(script, Script):
        raise OperationError(
            f"{path}: {one_line(record['script'])} is no program of {route.cgi} that the recorded "
            f"request would reach: {one_line(script.reason)}"
        )
    variables = _variables(_root(serving, key[0]), route, record["environ"], script)
    program = handler.again(script.path, variables)
    policy = serving.policies[key]
    identity = serving.programs[policy]
    shown = {name: record[name] for name in _SHOWN}
    shown["environ"] = {
        name: record["environ"].get(name, "")[:_LONGEST_SHOWN]
        for name in ("REQUEST_METHOD", "REQUEST_URI")
    }
    shown["user"] = identity.name if identity is not None else current_user()
    shown["timeout"] = route.timeout
    return {"key": key, "order": encode_order(program), "record": shown}


_SHOWN: Final = (
    *("id", "time", "status", "reason", "script", "exit", "body", "body_size", "stderr"),
)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the parts of a record are."""

    kinds: Mapping[str, type | tuple[type, ...]]

    def check(self, found: object) -> dict[str, Any]:
        """Raises ValueError."""
        if not isinstance(found, dict):
            raise ValueError("no record")
        for name, kind in self.kinds.items():
            value = found.get(name)
            # To Python true is a number.
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{name} is missing, or is something else")
            if isinstance(value, int | float) and not abs(value) < _LARGEST_NUMBER:
                raise ValueError(f"{name} is too large")
        return found


_RECORD: Final = _Shape(
    {
        **dict.fromkeys(("id", "time", "reason", "route", "script"), str),
        **dict.fromkeys(("version", "status", "site", "body_size", "stderr_size"), int),
        **dict.fromkeys(("environ", "body", "stderr"), dict),
        "exit": (str, type(None)),
        "at": (int, float),
    }
)


def _directories(serving: Serving) -> list[Path]:
    found = {route.record for _, _, route in cgi_routes(serving.settings) if route.record}
    if not found:
        raise OperationError("nothing is recorded: no route has `record` (cgi: ..., record: DIR)")
    return sorted(found)


def _files(directory: Path) -> list[Path]:
    """The newest ones: whoever writes here may have made any number. Raises OSError."""
    try:
        with os.scandir(directory) as entries:
            newest = heapq.nlargest(MOST_RECORDS, _dated(entries))
    except FileNotFoundError:
        return []  # nothing has failed yet
    return [directory / name for _, name in newest]


def _dated(entries: Iterator[os.DirEntry[str]]) -> Iterator[tuple[float, str]]:
    for entry in entries:
        if not entry.name.endswith(".json"):
            continue
        if RECORD_ID.fullmatch(entry.name.removesuffix(".json")) is None:
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # a worker has tidied up meanwhile
        if stat.S_ISREG(found.st_mode):
            yield found.st_mtime, entry.name


def _find(serving: Serving, name: str) -> tuple[Path, dict[str, Any]]:
    directories = _directories(serving)
    why = ""
    for directory in directories:
        path = directory / record_name(name)
        try:
            return path, _read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            # It may lie in another one.
            why = f"; {path} cannot be read: {error.strerror}"
        except ValueError as error:
            raise OperationError(f"{path} is no record: {error}") from None
    where = ", ".join(map(str, directories))
    raise OperationError(f"no record {name} in {where} (forkd replay lists what there is){why}")


def _read(path: Path) -> dict[str, Any]:
    """Raises OSError, or ValueError for what is no record."""
    # Who writes here may put anything here: neither is a link followed, nor a FIFO waited for.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a file")
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError("it is too large")
    try:
        record = _RECORD.check(json.loads(data))
        _check_texts(record)
    except UnicodeError:
        raise ValueError("it is not written in UTF-8, or half of a character is in it") from None
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("its parts are not what they should be") from None
    if record["version"] != VERSION or record["id"] != path.stem:
        raise ValueError("it was written by another version, or has another name")
    for name, longest in _LONGEST.items():
        if record[name] is not None:
            record[name] = record[name][:longest]
    return record


def _check_texts(record: Mapping[str, Any]) -> None:
    """Raises ValueError, and what comes of parts that are of other kinds."""
    if len(unpack(record["body"])) > KEPT_BODY or len(unpack(record["stderr"])) > KEPT_STDERR:
        raise ValueError("it has more of a body or of stderr than is kept")
    environ = record["environ"]
    if not all(isinstance(value, str) for value in environ.values()):
        raise ValueError("a variable is no text")
    for text in (record["script"], record["route"], *environ, *environ.values()):
        if b"\0" in _bytes(text):
            raise ValueError("there is a NUL in its script, its route or a variable")


def _route(serving: Serving, key: tuple[int, str], path: Path) -> CgiRoute:
    number, pattern = key
    sites = serving.settings.sites
    route = sites[number].routes.get(pattern) if 0 <= number < len(sites) else None
    if not isinstance(route, CgiRoute) or route.record != path.parent:
        raise OperationError(
            f"{path} is of the route {one_line(pattern)} of sites.{number}, which is not in the "
            f"configuration any more, or is recorded in another place"
        )
    return route


def _root(serving: Serving, number: int) -> str:
    return document_root(serving.settings, serving.settings.sites[number])


def _handler(serving: Serving, number: int, route: CgiRoute) -> Cgi:
    return Cgi(route, _root(serving, number), NoLauncher(), os.environ)


def _script(
    serving: Serving, key: tuple[int, str], handler: Cgi, recorded: str, path: str
) -> Script | Unusable:
    """What a worker would find for the path of the recorded request, if it is what is recorded."""
    if not _is_path(path):
        return Unusable(404, f"no request has the path {path[:_LONGEST_SHOWN]!r}")
    number, pattern = key
    match = Sites(serving.settings).routes[number].find(path)
    if match is None or match.route.pattern != pattern:
        return Unusable(404, f"{path[:_LONGEST_SHOWN]} does not belong to the route {pattern}")
    # Only the match is looked at.
    found = handler.script(Request(_NO_HEAD, match, Peer("", 0, "", 80, "http"), 0.0, 0))
    if isinstance(found, Script) and found.path != recorded:
        return Unusable(404, f"{path[:_LONGEST_SHOWN]} leads to {found.path}")
    return found


_NO_HEAD: Final = parse_head(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", HeadLimits(100, 100, 10))


def _path(route: CgiRoute, pattern: str, record: Mapping[str, Any]) -> str:
    """SCRIPT_NAME with PATH_INFO: a request that was redirected within its site names another path
    in REQUEST_URI. What the route itself sets says nothing of the request."""
    ours = {*route.env, *route.pass_env}
    prefix = "" if pattern.startswith("*") else pattern.rstrip("/")
    told = {"SCRIPT_NAME": prefix + record["script"].removeprefix(str(route.cgi)), "PATH_INFO": ""}
    environ = record["environ"]
    return "".join(usual if name in ours else environ.get(name, "") for name, usual in told.items())


def _is_path(path: str) -> bool:
    """Whether it is spelled as paths are once they are decoded and resolved."""
    try:
        return path.startswith("/") and resolve_path(_bytes(path.replace("%", "%25"))) == path
    except ProtocolError:
        return False


def _variables(
    root: str, route: CgiRoute, recorded: Mapping[str, str], script: Script
) -> dict[bytes, bytes]:
    """The environment, without what the route adds."""
    never = _NEVER if route.pass_authorization else _NEVER | _CREDENTIALS
    variables = {
        name: value
        for name, value in recorded.items()
        # By the whole name: with an "=" in it, it would be that of another variable.
        if (name in OF_REQUEST or _HEADER.fullmatch(name)) and name not in never
    }
    variables |= {"DOCUMENT_ROOT": root, "SCRIPT_FILENAME": script.path, "SCRIPT_NAME": script.name}
    if script.path_info:
        variables |= {"PATH_INFO": script.path_info, "PATH_TRANSLATED": root + script.path_info}
    else:
        variables.pop("PATH_INFO", None)
    encoded = {_bytes(name): _bytes(value) for name, value in variables.items()}
    return {**encoded, b"PATH": SEARCH_PATH}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

"""The records of failed CGI requests: which there are, and the order that runs one again.

Records are written by workers, into a directory that is their user's. So are programs of that user,
who could put anything there: a record says which request it was, and no more. Program, user,
sandbox, limits and the route's own variables are those of the configuration as it is now.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from forkd.config.policy import cgi_routes
from forkd.config.settings import CgiRoute
from forkd.errors import OperationError
from forkd.explain.programs import NoLauncher
from forkd.explain.serving import Serving
from forkd.handlers.black_box import RECORD_ID, VERSION, record_name, unpack
from forkd.handlers.cgi import SEARCH_PATH, Cgi
from forkd.handlers.factory import document_root
from forkd.spawner.orders import encode_order
from forkd.system.credentials import current_user

_MOST_BYTES: Final = 4 << 20
"""A record is bounded by what is kept of a request: this is no record."""

OF_REQUEST: Final = frozenset(
    {
        *("AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "HTTPS"),
        *("PATH_INFO", "QUERY_STRING", "REDIRECT_STATUS", "REMOTE_ADDR", "REMOTE_PORT"),
        *("REMOTE_USER", "REQUEST_ID", "REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI"),
        *("SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE"),
    }
)
"""Variables that a client's request says, beside HTTP_...; what others mean to a program is not for
a record to say (LD_PRELOAD)."""
_NEVER: Final = frozenset({"HTTP_PROXY"})


def list_records(serving: Serving) -> dict[str, Any]:
    """All records, the newest first, and notes on directories that cannot be read.

    Raises OperationError where no route keeps any.
    """
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
    path, record = _find(serving, name)
    key = (record["site"], record["route"])
    route = _route(serving, key, path)
    script = record["script"]
    if os.path.normpath(script) != script or not _is_of(script, str(route.cgi)):
        raise OperationError(f"{path}: {script} is no program of {route.cgi}")
    program = _handler(serving, key[0], route).again(
        script, _variables(serving, key[0], record["environ"], script)
    )
    policy = serving.policies[key]
    identity = serving.programs[policy]
    shown = {name: record[name] for name in _SHOWN}
    shown["environ"] = {
        name: record["environ"].get(name, "") for name in ("REQUEST_METHOD", "REQUEST_URI")
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
            if not isinstance(found.get(name), kind):
                raise ValueError(f"{name} is missing, or is something else")
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
    """Raises OSError."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []  # nothing has failed yet
    return [
        directory / name
        for name in names
        if name.endswith(".json") and RECORD_ID.fullmatch(name.removesuffix(".json"))
    ]


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
        unpack(record["body"])
        unpack(record["stderr"])
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("its parts are not what they should be") from None
    if record["version"] != VERSION or record["id"] != path.stem:
        raise ValueError("it was written by another version, or has another name")
    if not all(isinstance(value, str) for value in record["environ"].values()):
        raise ValueError("a variable is no text")
    return record


def _route(serving: Serving, key: tuple[int, str], path: Path) -> CgiRoute:
    number, pattern = key
    sites = serving.settings.sites
    route = sites[number].routes.get(pattern) if 0 <= number < len(sites) else None
    if not isinstance(route, CgiRoute) or route.record != path.parent:
        raise OperationError(
            f"{path} is of the route {pattern} of sites.{number}, which is not in the "
            f"configuration any more, or is recorded in another place"
        )
    return route


def _is_of(script: str, cgi: str) -> bool:
    return script == cgi or script.startswith(cgi.rstrip("/") + "/")


def _handler(serving: Serving, number: int, route: CgiRoute) -> Cgi:
    root = document_root(serving.settings, serving.settings.sites[number])
    return Cgi(route, root, NoLauncher(), os.environ)


def _variables(
    serving: Serving, number: int, recorded: Mapping[str, str], script: str
) -> dict[bytes, bytes]:
    """The environment, without what the route adds."""
    variables = {
        name: value
        for name, value in recorded.items()
        if (name in OF_REQUEST or name.startswith("HTTP_")) and name not in _NEVER
    }
    root = document_root(serving.settings, serving.settings.sites[number])
    variables |= {"DOCUMENT_ROOT": root, "SCRIPT_FILENAME": script}
    if info := variables.get("PATH_INFO"):
        variables["PATH_TRANSLATED"] = root + info
    encoded = {_bytes(name): _bytes(value) for name, value in variables.items()}
    if any(b"\0" in part for pair in encoded.items() for part in pair):
        raise OperationError("the record has a variable with a NUL in it")
    return {**encoded, b"PATH": SEARCH_PATH}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

"""What can be written: one model for each block, the home of every default and description.

A new key is a field here, and one of the same name in settings.py: what processes are given.

Fields are in the order in which they must be read: some look at what stands before them. What
concerns several blocks at once is in conflicts.py, so that it is said beside all other mistakes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.functional_validators import BeforeValidator

from forkd.config import fields, machine, names, targets
from forkd.config.access_format import SCHEMA, parse_format
from forkd.config.address import Address, UnixAddress, of_protocol
from forkd.config.fields import MAY_BE_BLANK, Block, OneOrMany, default, required
from forkd.config.route_options import ROUTE_LATER, Networks, Switch
from forkd.config.routes import RouteField
from forkd.config.settings import MAX_WORKERS
from forkd.config.targets import Target
from forkd.config.words import describe, parse_text, text_of

MAX_THREADS: Final = 1024
_OCTAL: Final = re.compile(r"(?:0o)?([0-7]{1,4})")


def _read_mode(value: object) -> int:
    """A file mode. Its digits are octal however they are written, as in chmod(1)."""
    match = _OCTAL.fullmatch(parse_text(value))
    mode = int(match[1], 8) if match else -1
    if not 0 <= mode <= 0o777:
        raise ValueError(f"expected a mode such as 0660, not {describe(value)}")
    return mode


class Listen(Block):
    """One listener. A text or a port alone is its address."""

    later: ClassVar[frozenset[str]] = frozenset({"tls", "proxy_protocol"})

    protocol: Annotated[
        Literal["http", "tcp", "udp"],
        fields.choice("http", "tcp", "udp", later=("fastcgi", "scgi")),
    ] = default("http", "What clients speak: http, or what the class of `handler` makes of it.")
    address: Annotated[
        Address, fields.PlacedKind(machine.listen_address, {"type": ["string", "integer"]})
    ] = required("IP:port, *:port, unix:/path or fd:NAME, the name of a systemd socket.")
    mode: Annotated[int, fields.Kind(_read_mode, {"type": ["string", "integer"]})] = Field(
        default=0o660,
        description="Permissions of a unix socket, in octal digits.",
        json_schema_extra={"default": "0660"},
    )
    owner: Annotated[str, fields.USER] | None = Field(
        default=None, description="Owner of a unix socket; left out, the user of the workers."
    )
    group: Annotated[str, fields.GROUP] | None = Field(
        default=None, description="Group of a unix socket; left out, the group of the workers."
    )
    handler: (
        Annotated[Target, fields.named(targets.parse_class, type="string", pattern=targets.PATTERN)]
        | None
    ) = Field(
        default=None,
        validate_default=True,
        description="For tcp and udp: a subclass of socketserver's request handlers, module:Class.",
    )
    path: Annotated[tuple[Annotated[Path, fields.DIRECTORY], ...], OneOrMany("a directory")] = (
        Field(
            default=(),
            description="Directories in which the module of the handler is looked for first.",
        )
    )

    @model_validator(mode="before")
    @classmethod
    def _text_is_address(cls, data: object) -> object:
        if isinstance(data, list):
            raise ValueError("expected an address, or a mapping with an address, not a list")
        return {"address": data} if text_of(data) is not None else data

    @field_validator("mode", "owner", "group", mode="after")
    @classmethod
    def _only_files_have_owners(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(info.data.get("address", UnixAddress("")), UnixAddress):
            raise ValueError("only for an address that begins with unix:")
        return value

    @field_validator("address", mode="after")
    @classmethod
    def _udp_has_ports_of_its_own(cls, address: Address, info: ValidationInfo) -> Address:
        return of_protocol(address, info.data.get("protocol"))

    @field_validator("handler", mode="after")
    @classmethod
    def _who_answers(cls, handler: Target | None, info: ValidationInfo) -> Target | None:
        protocol = info.data.get("protocol")
        if handler is not None and protocol == "http":
            raise ValueError("only with protocol: tcp or udp (for http, write it into a route)")
        if handler is None and protocol in ("tcp", "udp"):
            raise ValueError(f'protocol {protocol} needs a handler such as "mymodule:MyHandler"')
        return handler

    @field_validator("path", mode="after")
    @classmethod
    def _only_handlers_are_imported(
        cls, path: tuple[Path, ...], info: ValidationInfo
    ) -> tuple[Path, ...]:
        if info.data.get("handler", True) is None:
            raise ValueError("only with a handler")
        return path


_SOME_WORKERS: Final = fields.whole(1, MAX_WORKERS, f"a number of workers from 1 to {MAX_WORKERS}")


class Workers(Block):
    """The pool of processes that serve."""

    count: Annotated[
        int | Literal["auto"],
        fields.whole_or_auto(
            1, MAX_WORKERS, f"a number of workers from 1 to {MAX_WORKERS}, or auto"
        ),
    ] = default("auto", f"How many workers run, 1 to {MAX_WORKERS}; auto: one for each CPU.")
    min: Annotated[int, _SOME_WORKERS] | None = Field(
        default=None, description="Fewest workers; with max, in place of count."
    )
    max: Annotated[int, _SOME_WORKERS] | None = Field(
        default=None,
        description="Most workers; with min, in place of count: as many run as the load needs.",
    )
    idle_timeout: Annotated[float, fields.duration()] = default(
        "60s", "Seconds that a worker above min is kept after it was last needed."
    )
    threads: Annotated[
        int, fields.whole(1, MAX_THREADS, f"a number of threads from 1 to {MAX_THREADS}")
    ] = default(8, "Threads for blocking application code; static files and programs need none.")
    preload: Switch = default(
        False,
        "Whether applications are imported once, in a template that workers are forked from.",
    )
    dev: Switch = default(
        False, "Whether a change to the source of an application reloads, for development."
    )
    max_requests: Annotated[int, fields.whole(0, 2**31 - 1)] = default(
        0, "Requests after which a worker is replaced; 0: never."
    )
    max_requests_jitter: Annotated[int, fields.whole(0, 2**31 - 1)] = default(
        0, "Up to how many more requests, at random, so that not all are replaced at once."
    )
    max_rss: Annotated[int, fields.size()] = default(
        0, "Resident memory in bytes above which a worker is replaced; 0: never."
    )
    request_timeout: Annotated[float, fields.duration()] = default(
        "60s", "Seconds that an application may take for a request; then the client gets 504."
    )
    boot_timeout: Annotated[float, fields.duration()] = default(
        "30s", "Seconds from the start of a worker until it must be ready."
    )
    hang_timeout: Annotated[float, fields.duration()] = default(
        "15s", "Seconds that a worker's loop may stand still; then the worker is replaced."
    )
    shutdown_timeout: Annotated[float, fields.duration(low=0)] = default(
        "30s", "Seconds that requests in flight are given when a worker or forkd stops."
    )


class Limits(Block):
    """What a client may ask for, and how long it may take."""

    header_timeout: Annotated[float, fields.duration()] = default(
        "10s", "Seconds within which the whole request head must arrive."
    )
    body_timeout: Annotated[float, fields.duration()] = default(
        "30s", "Seconds between two reads of a request body."
    )
    write_timeout: Annotated[float, fields.duration()] = default(
        "60s", "Seconds between two writes that make progress."
    )
    keepalive_timeout: Annotated[float, fields.duration()] = default(
        "60s", "Seconds that a connection may be idle between two requests."
    )
    keepalive_requests: Annotated[int, fields.whole(0, 2**31 - 1)] = default(
        0, "Requests that one connection may make; 0: no limit."
    )
    max_request_line: Annotated[int, fields.size(128, 1 << 20)] = default(
        "8K", "Largest request line in bytes."
    )
    max_header_size: Annotated[int, fields.size(128, 16 << 20)] = default(
        "32K", "Largest request header in bytes, all lines together."
    )
    max_headers: Annotated[int, fields.whole(1, 10_000)] = default(
        100, "Most header lines of a request."
    )
    max_body: Annotated[int, fields.size()] = default(
        "100M", "Largest request body in bytes; a route may set its own."
    )
    max_connections: Annotated[int, fields.whole(1, 1_000_000)] = default(
        10_000, "Most connections of one worker; above it the listeners are paused."
    )


class AccessLog(Block):
    """A line for each request."""

    file: Annotated[Path | Literal["stdout", "stderr"], fields.LOG_FILE] = default(
        "stdout", "Where the lines go: stdout, stderr or a file."
    )
    format: Annotated[str, fields.Kind(parse_format, SCHEMA)] = default(
        "combined", "The format of a line: common, combined, json, or a template."
    )


class ErrorLog(Block):
    """What happened, and what a person must do."""

    file: Annotated[Path | Literal["stdout", "stderr"], fields.LOG_FILE] = default(
        "stderr", "Where the lines go: stderr, stdout or a file."
    )
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        fields.choice("debug", "info", "warning", "error"),
    ] = default("info", "The least important level that is logged.")


def _off_or_block(value: object) -> object:
    text = text_of(value)
    if text is None or isinstance(value, AccessLog):
        return {} if value is None else value
    if text.lower() in ("off", "false", "no"):
        return None
    raise ValueError(f"expected off, or a mapping with file and format, not {describe(value)}")


class Log(Block):
    """The two logs."""

    access: Annotated[
        AccessLog | None,
        fields.AlsoWritten(({"enum": ["off", False, "no"]},)),
        BeforeValidator(_off_or_block),
    ] = default({}, "The access log, or off.")
    error: Annotated[ErrorLog, MAY_BE_BLANK] = default({}, "The error log.")


class Site(Block):
    """Hosts and what is served under them."""

    later: ClassVar[frozenset[str]] = ROUTE_LATER | {"tls", "errors", "log", "methods", "headers"}

    host: Annotated[
        tuple[Annotated[str, fields.named(names.parse_host)], ...], OneOrMany("a host")
    ] = Field(default=(), description="Hosts; left out, any host that no other site names.")
    max_body: Annotated[int, fields.size()] | None = Field(
        default=None,
        description="Largest request body in bytes, for routes that set none of their own.",
    )
    allow: Networks = Field(
        default=(), description="Clients that are answered, for routes that do not say."
    )
    deny: Networks = Field(
        default=(), description="Clients that are refused, for routes that do not say."
    )
    routes: Annotated[
        dict[Annotated[str, fields.named(names.parse_pattern)], RouteField],
        fields.NotEmpty("route"),
    ] = required("Path patterns (/exact, /prefix/ or *.ext) and their routes.")


class Settings(Block):
    """The configuration of forkd."""

    later: ClassVar[frozenset[str]] = frozenset({"pools", "trusted_proxies"})

    root: Annotated[
        Path,
        fields.PlacedKind(
            lambda value, context: machine.find_root(value, context.directory),
            {"type": "string", "minLength": 1},
        ),
    ] = default(".", "Directory that relative paths start from; itself relative to this file.")
    user: Annotated[str, fields.USER] | None = Field(
        default=None, description="User of the workers, by name or number; needs a start as root."
    )
    group: Annotated[str, fields.GROUP] | None = Field(
        default=None, description="Group of the workers; left out, the user's own."
    )
    pid_file: Annotated[Path, fields.PATH] | None = Field(
        default=None, description="File that holds the process id of the master; left out, none."
    )
    control: Annotated[
        Path, fields.PlacedKind(machine.control_path, {"type": ["string", "null"]})
    ] = default(
        None,
        "The control socket; left out, $RUNTIME_DIRECTORY/control.sock, else run/control.sock.",
    )
    listen: Annotated[
        tuple[
            Annotated[Listen, fields.AlsoWritten(({"type": "string"}, {"type": "integer"}))], ...
        ],
        OneOrMany("an address"),
    ] = default("127.0.0.1:8080", "Where clients connect: one address or a list.")
    workers: Annotated[Workers, MAY_BE_BLANK] = default({}, "The worker processes.")
    limits: Annotated[Limits, MAY_BE_BLANK] = default({}, "Limits of clients.")
    log: Annotated[Log, MAY_BE_BLANK] = default({}, "The logs.")
    sites: Annotated[tuple[Site, ...], fields.NotEmpty("site")] = required(
        "The sites, found by the host of a request."
    )

"""The route of CGI programs, as it can be written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from forkd.config import fields, names
from forkd.config.fields import Block, OneOrMany, default, required
from forkd.config.route_options import ROUTE_LATER, RouteOptions, Switch, Text, Variable

Ending = Annotated[str, fields.named(names.parse_ending)]


class CgiLimits(Block):
    """What each program may use, setrlimit(2). What is left out has no limit."""

    cpu: Annotated[float, fields.duration(low=1.0)] | None = Field(
        default=None, description="Seconds of CPU time, rounded up; then SIGXCPU, and SIGKILL."
    )
    memory: Annotated[int, fields.size(low=1)] | None = Field(
        default=None, description="Bytes of address space."
    )
    processes: Annotated[int, fields.whole(1, 1_000_000)] | None = Field(
        default=None,
        description="Processes and threads of the route's user, or of the program's cgroup.",
    )
    file_size: Annotated[int, fields.size()] | None = Field(
        default=None, description="Bytes of a file that is written; then SIGXFSZ."
    )
    open_files: Annotated[int, fields.whole(3, 1_000_000)] | None = Field(
        default=None, description="Open descriptors."
    )


class Sandbox(Block):
    """What programs may reach, Landlock. Beside what is listed: what they need to run at all."""

    read: Annotated[
        tuple[Annotated[Path, fields.EXISTING], ...], OneOrMany("a path", or_none=True)
    ] = Field(default=(), description="Files and directories that may be read and executed.")
    write: Annotated[
        tuple[Annotated[Path, fields.EXISTING], ...], OneOrMany("a path", or_none=True)
    ] = Field(
        default=(), description="Files and directories that may be read, written, made and removed."
    )
    network: Switch = default(False, "Whether there is a network.")
    best_effort: Switch = default(
        False, "Whether to go on with what the kernel has where it cannot do all of this."
    )


class CgiRoute(RouteOptions):
    """Programs, RFC 3875."""

    action = "cgi"
    later = ROUTE_LATER - {"timeout"} | {"preload"}

    cgi: Annotated[Path, fields.EXISTING] = required("The directory of programs, or one program.")
    timeout: Annotated[float, fields.duration()] = default(
        "60s", "Seconds that a program is waited for without progress; then it is ended (504)."
    )
    env: dict[Variable, Text] = default({}, "Variables that are added to a program's environment.")
    pass_env: Annotated[tuple[Variable, ...], OneOrMany("the name of a variable")] = Field(
        default=(), description="Variables that are copied from the environment of the master."
    )
    pass_authorization: Switch = default(
        False, "Whether a program is given the Authorization header."
    )
    on_disconnect: Annotated[Literal["kill", "finish"], fields.choice("kill", "finish")] = default(
        "kill", "What becomes of a program whose client is gone."
    )
    no_new_privileges: Switch = default(
        True, "Whether set-user-ID programs such as sudo are without effect."
    )
    user: Annotated[str, fields.USER] | None = Field(
        default=None,
        description="Whom programs run as; left out, as the workers. Only when started as root.",
    )
    group: Annotated[str, fields.GROUP] | None = Field(
        default=None, description="The group of programs; left out, that of the user."
    )
    interpreters: dict[Ending, Annotated[Path, fields.PROGRAM]] = default(
        {}, "Programs that run the files of an ending, such as .pl, run bit or not."
    )
    limits: Annotated[CgiLimits, fields.MAY_BE_BLANK] = default(
        {}, "What each program may use; left out, what the workers may."
    )
    sandbox: Annotated[Sandbox | None, fields.SWITCHED] = Field(
        default=None, description="What programs may reach; left out, all that their user may."
    )
    max_concurrent: Annotated[int, fields.whole(1, 100_000)] | None = Field(
        default=None, description="Programs of this route at a time; left out, any number."
    )
    max_queued: Annotated[int, fields.whole(0, 10_000)] = default(
        100, "Requests that may wait for max_concurrent; the next one is answered with 503."
    )
    x_sendfile: Annotated[
        tuple[Annotated[Path, fields.DIRECTORY], ...], OneOrMany("a directory")
    ] = Field(
        default=(), description="Directories whose files a program may have sent by X-Sendfile."
    )
    record: Annotated[Path, fields.PATH] | None = Field(
        default=None, description="The directory in which failed requests are kept for replay."
    )
    warm: Annotated[Literal[False], fields.only_false()] = default(
        False, "Whether programs are started from an interpreter that is already running."
    )

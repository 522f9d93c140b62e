"""`cgi: DIR` or one program: finds it, builds its environment, gives a job that runs it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial

from forkd.config.policy import resource_limits
from forkd.config.settings import CgiRoute
from forkd.handlers.base import Request, Response, make_response
from forkd.handlers.black_box import BlackBox
from forkd.handlers.cgi_job import CgiJob
from forkd.handlers.cgi_scripts import (
    Script,
    Unusable,
    check_program,
    check_rights,
    find_script,
)
from forkd.handlers.programs import Launcher, Program
from forkd.logs.error import one_line
from forkd.proto.cgi import Meta, environment
from forkd.proto.http1.response import error_page

log = logging.getLogger("forkd.cgi")

SEARCH_PATH = b"/usr/local/bin:/usr/bin:/bin"


class Cgi:
    """Answers to any method: what a script makes of one is its own affair."""

    methods = None

    def __init__(
        self,
        settings: CgiRoute,
        document_root: str,
        launcher: Launcher,
        environ: Mapping[str, str],
        box: BlackBox | None = None,
    ) -> None:
        """box: where failed requests are recorded; None: nowhere."""
        self._settings = settings
        self._target = str(settings.cgi)
        self._is_directory = settings.cgi.is_dir()
        self._document_root = document_root
        self._launcher = launcher
        self._box = box
        self._interpreters = {
            ending: os.fsencode(program) for ending, program in settings.interpreters.items()
        }
        self._limits = resource_limits(settings.limits)
        passed = {name: environ[name] for name in settings.pass_env if name in environ}
        self._extra = {
            os.fsencode(name): os.fsencode(value)
            for name, value in (passed | dict(settings.env)).items()
        }

    def answer(self, request: Request) -> Response | CgiJob:
        script = self.script(request)
        problem = script if isinstance(script, Unusable) else self.problem(script)
        if problem is not None:
            return _refuse(request, problem)
        assert isinstance(script, Script)
        order = partial(self.program, request, script)
        recorder = None if self._box is None else self._box.recorder(request.id, script.path)
        return CgiJob(self._settings, script.path, self._launcher, order, recorder)

    def script(self, request: Request) -> Script | Unusable:
        """The program that a request means; not whether it can be run."""
        match = request.match
        if not self._is_directory:
            return Script(self._target, match.prefix, match.rest)
        if match.segment_end:
            # A suffix route: the script's place is known by the segment that ends so.
            path, info = match.rest[: match.segment_end], match.rest[match.segment_end :]
            if "/." in path:
                return Unusable(404, f"{self._target}{path} is hidden")
            return Script(self._target + path, path, info)
        return find_script(self._target, match.prefix, match.rest)

    def problem(self, script: Script) -> Unusable | None:
        """Why it cannot be run, as far as this process can tell: another user may have rights that
        this one has not, and an interpreter needs others. Then its spawner looks."""
        if self._settings.user is not None or self._interpreter(script.path) is not None:
            return None
        return check_rights(script.path) if script.was_found else check_program(script.path)

    def _interpreter(self, path: str) -> bytes | None:
        if not self._interpreters:
            return None
        return self._interpreters.get(os.path.splitext(path)[1])

    def program(self, request: Request, script: Script, content_length: int | None) -> Program:
        """The order for the spawner. RFC 3875 7.2: a program runs in its own directory."""
        head, peer = request.head, request.peer
        path = script.path.encode("utf-8", "surrogateescape")
        info = script.path_info.encode("utf-8", "surrogateescape")
        root = os.fsencode(self._document_root)
        meta = Meta(
            server_name=_host_name(head.authority) or peer.server_address or "localhost",
            server_port=peer.server_port,
            remote_addr=peer.address,
            remote_port=peer.port,
            scheme=peer.scheme,
            method=head.method,
            protocol="HTTP/1.1" if head.version == 11 else "HTTP/1.0",
            script_name=script.name.encode("utf-8", "surrogateescape"),
            path_info=info,
            path_translated=root + info if info else b"",
            query=head.query,
            request_uri=head.target,
            document_root=root,
            script_filename=path,
            content_length=content_length,
            headers=head.headers,
            pass_authorization=self._settings.pass_authorization,
            request_id=request.id.encode(),
            path=SEARCH_PATH,
            extra=self._extra,
        )
        return self._started(path, environment(meta))

    def again(self, script: str, variables: Mapping[bytes, bytes]) -> Program:
        """The order for a script with the variables that it had in another request. What the route
        says counts as it is now."""
        return self._started(os.fsencode(script), {**variables, **self._extra})

    def _started(self, path: bytes, environ: Mapping[bytes, bytes]) -> Program:
        interpreter = self._interpreter(os.fsdecode(path))
        argv = (path,) if interpreter is None else (interpreter, path)
        return Program(argv, environ, path.rpartition(b"/")[0] or b"/", self._limits)


def _host_name(authority: bytes) -> str:
    """The host of an authority, without its port, with the brackets of an IPv6 address."""
    host, colon, port = authority.decode("latin-1").rpartition(":")
    return host if colon and (port.isdecimal() or not port) else authority.decode("latin-1")


def _refuse(request: Request, problem: Unusable) -> Response:
    level = logging.INFO if problem.status == 404 else logging.ERROR
    log.log(level, "cgi %d: %s id=%s", problem.status, one_line(problem.reason), request.id)
    headers = [(b"Content-Type", b"text/html; charset=utf-8")]
    return make_response(
        problem.status, headers, error_page(problem.status), request.match.route.rules
    )

"""`cgi`: which program, and whether it can be run by whom it runs as. Nothing is started."""

from __future__ import annotations

import errno
import grp
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NoReturn

from forkd.config.policy import SpawnPolicy
from forkd.config.settings import CgiRoute, Settings, Site
from forkd.explain import execution
from forkd.explain.report import Ends, Report
from forkd.handlers.base import Request
from forkd.handlers.cgi import Cgi
from forkd.handlers.cgi_failures import interpreter_of
from forkd.handlers.cgi_scripts import Script, Unusable, first_line
from forkd.handlers.factory import document_root
from forkd.handlers.programs import NoLauncher, Program
from forkd.spawner.imposing import confinement_of
from forkd.spawner.starting import unreadable, why_not
from forkd.system.confinement import is_readable
from forkd.system.credentials import Identity, current_user
from forkd.system.impersonation import wearing
from forkd.system.landlock import Landlock


@dataclass(frozen=True, slots=True)
class Users:
    """Who looks for programs and who runs them. None: whoever this process is."""

    workers: Identity | None
    programs: Identity | None


def explain_program(
    settings: Settings,
    site: Site,
    route: CgiRoute,
    policy: SpawnPolicy,
    request: Request,
    users: Users,
    report: Report,
) -> NoReturn:
    """Ends it in any case."""
    handler = Cgi(route, document_root(settings, site), NoLauncher(), os.environ)
    with wearing(users.workers):
        script = handler.script(request)
        problem = script if isinstance(script, Unusable) else handler.problem(script)
    if isinstance(script, Script):
        report.say("file", script.path)
        report.say("SCRIPT_NAME", script.name)
        report.say("PATH_INFO", script.path_info or "none")
    # By whoever this is, who may read what the others may only run.
    line = first_line(script.path) if isinstance(script, Script) else b""
    with wearing(users.programs):
        _say_options(route, policy, report)
        if problem is not None:
            raise Ends(problem.status, problem.reason)
        assert isinstance(script, Script)
        _judge(handler.program(request, script, None), policy, line, report)
    raise Ends(None, f"the program {script.path}")


def _say_options(route: CgiRoute, policy: SpawnPolicy, report: Report) -> None:
    group = os.getegid()
    try:
        group_name = grp.getgrgid(group).gr_name
    except KeyError:
        group_name = str(group)
    report.say("user", current_user())
    report.say("group", group_name)
    report.say("no_new_privileges", "true" if route.no_new_privileges else "false")
    if (sandbox := policy.sandbox) is None:
        report.say("sandbox", "none")
    else:
        report.say("sandbox", f"network: {'true' if sandbox.network else 'false'}")
        # With the route's own directory; what every program needs is not said.
        report.say("  may read", ", ".join(map(str, sandbox.read)))
        report.say("  may write", ", ".join(map(str, sandbox.write)) or "nothing")
    limits = {field.name: getattr(route.limits, field.name) for field in fields(route.limits)}
    shown = [f"{name}: {value}" for name, value in limits.items() if value is not None]
    report.say("limits", ", ".join(shown) or "none")
    report.say("timeout", f"{route.timeout:g} s without progress")
    if route.max_concurrent is not None:
        report.say("at a time", f"{route.max_concurrent}, and {route.max_queued} may wait")
    report.say("recorded in", route.record or "nowhere")


def _judge(program: Program, policy: SpawnPolicy, line: bytes, report: Report) -> None:
    """Raises Ends where the effective user cannot run the program, as its spawner would say it.

    line: the first one of it.
    """
    path = os.fsdecode(program.argv[-1])
    is_given = len(program.argv) > 1
    is_script = line.startswith(b"#!") and not is_given
    if is_given:
        report.say("interpreter", f"{os.fsdecode(program.argv[0])} (of `interpreters`)")
    else:
        report.say("interpreter", _shown(line) if is_script else "none: it is executed itself")
    failure = unreadable(program)
    if failure is None and (number := execution.foresee(os.fsdecode(program.argv[0]))) is not None:
        failure = why_not(program, OSError(number, os.strerror(number)), sandboxed=False)
    if failure is None and (outside := _outside(policy, execution.executed(path))) is not None:
        failure = why_not(program, PermissionError(errno.EACCES, outside), sandboxed=True)
    if failure is not None:
        raise Ends(failure.status, failure.reason)
    if not is_script:
        if not line and not is_given:
            who = current_user()
            raise Ends(
                None, f"the program {path}, unless it is a script: user {who} may not read it"
            )
        return
    if (reason := execution.why_unreadable(path)) is not None:
        raise Ends(502, reason)
    if (name := execution.wanted_of_env(line)) is not None:
        search_path = program.environ.get(b"PATH", b"")
        found = execution.find_on_path(name, search_path)
        shown = name.decode("utf-8", "backslashreplace")
        if found is None:
            raise Ends(
                502,
                f"{interpreter_of(line)} in the first line of {path} finds no {shown} on the PATH "
                f"{os.fsdecode(search_path)}",
            )
        report.say("  which is", found)
        if _outside(policy, [found]) is not None:
            raise Ends(
                502, f"the sandbox does not let {found} be executed (name it in sandbox.read)"
            )


def _outside(policy: SpawnPolicy, paths: Iterable[str]) -> str | None:
    """The first of them that the sandbox does not let be executed."""
    # Without Landlock only `best_effort` has come so far, and nothing is held back.
    if policy.sandbox is None or not Landlock().abi():
        return None
    confinement = confinement_of(policy.sandbox)
    return next((path for path in paths if not is_readable(confinement, path)), None)


def _shown(line: bytes) -> str:
    return line[2:].split(b"\n", 1)[0].strip(b" \t").decode("utf-8", "backslashreplace")

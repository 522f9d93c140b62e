"""`static` and `pages`: what the files say, seen by whoever calls this."""

from __future__ import annotations

import os
from collections.abc import Callable

from forkd.config.settings import PagesRoute, StaticRoute
from forkd.explain.report import Ends, Report
from forkd.handlers.base import Request, Response
from forkd.handlers.files import Follow, Found, Refusal, locate
from forkd.handlers.media_types import MediaTypes
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.pages import is_hidden as is_hidden_page
from forkd.handlers.pages import places
from forkd.handlers.static import Static, is_hidden
from forkd.loop.timers import Wheel
from forkd.system.credentials import current_user, denied_directory


def explain_static(
    route: StaticRoute, request: Request, is_program: Callable[[str], bool], report: Report
) -> bytes:
    """Have the handler answer, and say why. Gives the target that is to answer instead."""
    handler = Static(route, MediaTypes(), OpenFiles(Wheel()))
    handler.is_program = is_program
    rest = "" if route.static.is_file() else request.match.rest
    path = os.fsdecode(bytes(route.static) + rest.encode("utf-8", "surrogateescape"))
    report.say("file", path)
    report.say("symbolic links", route.follow_symlinks)
    answer = handler.answer(request)
    if not isinstance(answer, Response):
        return answer.target
    status, method = answer.status, request.head.method
    if method not in ("GET", "HEAD"):
        raise Ends(status, f"to {method}: {path} is there, and files have GET and HEAD")
    if status == 200:
        if answer.open_file is not None:
            # Small ones have been read by now.
            try:
                answer.open_file().close()
            except OSError as error:
                raise Ends(404, f"{path} cannot be opened: {error.strerror}") from None
        raise Ends(status, f"and {_what(route, path, rest)}")
    if status == 301:
        raise Ends(status, f"to {request.head.path}/: {path} is a directory")
    raise Ends(status, _why(route, request, path, rest, status))


def _what(route: StaticRoute, path: str, rest: str) -> str:
    """What the bytes are that are sent."""
    if not os.path.isdir(path):
        return f"the file {path}"
    for name in route.index:
        found = _locate(route, rest + name)
        if isinstance(found, Found) and not found.is_directory:
            return f"the file {os.fsdecode(found.path)}"
    return f"a listing of {path}"


def _why(route: StaticRoute, request: Request, path: str, rest: str, status: int) -> str:
    """Why there is no file, in the words for programs that cannot be run."""
    if is_hidden(request.head.path):
        return f"{path} is hidden"
    found = _locate(route, rest)
    if isinstance(found, Found):
        if found.is_directory:
            for name in route.index:
                if _locate(route, rest + name) is Refusal.FORBIDDEN:
                    return _denied(path + name)
            index = ", ".join(route.index)
            return f"{path} is a directory without an index file ({index}), and listing is off"
        return f"user {current_user()} may not read {path}"
    if status == 403:
        return _denied(path)
    if not os.path.lexists(path):
        return f"{path} does not exist"
    if isinstance(_locate(route, rest, Follow.ALL), Found):
        real = os.path.realpath(path)
        return (
            f"{path} leads to {real} by a symbolic link, and follow_symlinks is "
            f"{route.follow_symlinks}"
        )
    if os.path.islink(path) and not os.path.exists(path):
        return f"{path} is a symbolic link to nothing"
    return f"{path} is neither a file nor a directory"


def _locate(route: StaticRoute, rest: str, follow: Follow | None = None) -> Found | Refusal:
    root = os.fsencode(route.static)
    how = Follow(route.follow_symlinks) if follow is None else follow
    return locate(root, rest.encode("utf-8", "surrogateescape"), how)


def _denied(path: str) -> str:
    if (directory := denied_directory(path)) is not None:
        return f"user {current_user()} may not search the directory {directory}"
    return f"user {current_user()} may not read {path}"


def explain_page(route: PagesRoute, request: Request) -> None:
    """Which file it is. Ends it in any case."""
    root, rest = os.fsencode(route.pages), request.match.rest
    name = os.fsdecode(root) + rest
    for place in places(rest):
        found = locate(root, place.file.encode("utf-8", "surrogateescape"))
        path = os.fsdecode(root) + place.file
        if found is Refusal.NOT_FOUND:
            raise Ends(404, f"{path} does not exist")
        if isinstance(found, Refusal) or not os.access(path, os.R_OK, effective_ids=True):
            raise Ends(403, _denied(path))
        if not found.is_directory:
            raise Ends(None, f"the page {path}")
    directory = locate(root, rest.encode("utf-8", "surrogateescape"))
    hidden = is_hidden_page(rest)
    is_directory = isinstance(directory, Found) and directory.is_directory
    if is_directory and not hidden and not rest.endswith("/"):
        raise Ends(301, f"to {request.head.path}/: {name} is a directory")
    if directory is Refusal.FORBIDDEN:
        raise Ends(403, _denied(name))
    raise Ends(404, f"{name} is hidden" if hidden else f"{name} is no page: a page is a file .py")

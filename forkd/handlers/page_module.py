"""The module of a page: imported when it is first needed, and again when its file has changed.

It has a private name in sys.modules, which tells its pages apart from what applications import by
name; a version that is imported anew takes the place of the one before.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from forkd.errors import OperationError
from forkd.handlers.files import Found, Refusal, locate, open_checked, refusal
from forkd.handlers.imports import fault_text
from forkd.system.credentials import current_user

log = logging.getLogger("forkd.pages")

RETRY_AFTER_S = 1.0
"""A page that failed, though it has not changed, is tried again no sooner: what it lacked (another
module, a database) may be there by then."""

Application = Callable[..., Any]


class Form(Enum):
    """How `application` is called."""

    TEXT = "application()"
    WSGI = "application(environ, start_response)"


@dataclass(frozen=True, slots=True)
class Ready:
    """A version of a page that answers."""

    found: Found
    application: Application
    form: Form


@dataclass(frozen=True, slots=True)
class Broken:
    """A version of a page that could not be imported."""

    found: Found
    reason: str
    retry_at: float
    """Monotonic seconds."""


class PageModule:
    """One file below the root of a route. Its methods may be called by several threads."""

    def __init__(self, root: bytes, path: bytes, key: str) -> None:
        """path: from the root on, with its slash. key: tells apart routes that have one root."""
        self.file = os.fsdecode(root + path)
        self._root = root
        self._path = path
        digest = hashlib.sha256(b"%s %s" % (key.encode(), root + path)).hexdigest()
        stem = re.sub(r"\W", "_", os.path.basename(self.file).removesuffix(".py"))
        self._name = f"_page_{stem}_{digest[:12]}"
        self._state: Ready | Broken | None = None
        self._lock = threading.Lock()

    def current(
        self, found: Found, now: float, waits: Callable[[], None]
    ) -> Ready | Broken | Refusal:
        """The version that `found` was seen to have, or a later one; imported if need be.

        now: monotonic seconds. waits: called before this takes its time. A refusal means that the
        file cannot be had at all any more. Why a version is broken is logged once.
        """
        state = self._state
        if state is not None and _holds(state, found, now):
            return state
        waits()
        with self._lock:
            return self._renew(now)

    def _renew(self, now: float) -> Ready | Broken | Refusal:
        # Looked at once more: while this thread waited, another one may have done it, or the file
        # may have changed again. What is read is never older than what it is taken for.
        found = locate(self._root, self._path)
        if isinstance(found, Refusal):
            return found
        before = self._state
        if before is not None and _holds(before, found, now):
            return before
        try:
            self._state = self._load(found)
        except OperationError as error:
            reason = str(error)
            told = before.reason if isinstance(before, Broken) and before.found == found else ""
            if reason != told:
                log.error("%s: %s", self.file, reason)
            self._state = Broken(found, reason, now + RETRY_AFTER_S)
        except OSError as error:
            return refusal(error)
        return self._state

    def _load(self, found: Found) -> Ready:
        """Raises OperationError where the page is to blame, OSError where the file is not there."""
        try:
            with open(open_checked(self._root, found), "rb") as file:
                source = file.read()
        except PermissionError:
            raise OperationError(
                f"user {current_user()} cannot read it (see: ls -l {self.file})"
            ) from None
        try:
            application = _application(self._run(source))
            return Ready(found, application, form_of(application))
        except OperationError:
            sys.modules.pop(self._name, None)
            raise

    def _run(self, source: bytes) -> ModuleType:
        """Run the source as the module. Raises OperationError."""
        spec = spec_from_file_location(
            self._name, self.file, loader=SourceFileLoader(self._name, self.file)
        )
        assert spec is not None, "a loader was given"
        module = module_from_spec(spec)
        sys.modules[self._name] = module  # dataclasses and pickle look their module up there
        try:
            importlib.invalidate_caches()
            code = compile(source, self.file, "exec", dont_inherit=True)
            exec(code, vars(module))  # noqa: S102 this is what the route is for
        except BaseException as error:  # a module may raise anything, SystemExit too
            reason = fault_text(error, os.path.join(os.fsdecode(self._root), ""))
            raise OperationError(f"importing it failed: {reason}") from None
        return module


def _application(module: ModuleType) -> Application:
    """Raises OperationError where it has none."""
    application = getattr(module, "application", None)
    if application is None:
        raise OperationError("it defines no application (write: def application(): ...)")
    if not callable(application):
        what = type(application).__name__
        raise OperationError(f"its application is {what}, which cannot be called")
    return application  # type: ignore[no-any-return]  # getattr gives Any


def _holds(state: Ready | Broken, found: Found, now: float) -> bool:
    """Whether there is nothing to be done for a file that is as it was found."""
    return state.found == found and (isinstance(state, Ready) or now < state.retry_at)


def form_of(application: Application) -> Form:
    """How it wants to be called. Raises OperationError where it is neither way."""
    try:
        signature = inspect.signature(application)
    except (TypeError, ValueError):
        return Form.WSGI  # compiled code may have none
    if any(one.kind is one.VAR_POSITIONAL for one in signature.parameters.values()):
        return Form.WSGI  # *args: what wraps an application that is to be given something
    for form, arguments in ((Form.TEXT, ()), (Form.WSGI, (None, None))):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return form
    raise OperationError(
        f"its application is application{signature}: expected {Form.TEXT.value} or "
        f"{Form.WSGI.value}"
    )

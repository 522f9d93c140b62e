"""Puts a sandbox on programs: each is started in a Landlock domain of its own.

So it can neither trace nor signal another program, nor the process that started it. That process is
in no domain: what it needs of /proc or of cgroups is not the programs' business.
"""

from __future__ import annotations

import _thread
import errno
import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from forkd.errors import OperationError
from forkd.system import seccomp
from forkd.system.confinement import (
    DEVICES,
    READABLE,
    Confinement,
    expanded,
    refusal,
    shortcomings,
)
from forkd.system.credentials import current_user, denied_directory
from forkd.system.landlock import DEVICE, READ, WRITE, Access, Landlock, handled
from forkd.system.resolution import is_below, searched

_DEFAULTS_AGE_S: Final = 1.0
_SHORTAGE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_TROUBLE: Final = {
    errno.EPERM: "programs that may gain rights (`no_new_privileges: false`) cannot be restricted",
    errno.E2BIG: "forkd itself is restricted by Landlock so many times that no more is possible",
}

_Identities = tuple[tuple[int, int] | None, ...]


class Sandbox:
    """Starts programs in a sandbox.

    To be made when the process is the user that it will be and has no_new_privs: what that user
    cannot reach cannot be given. Where no network is allowed, this thread and what it starts can
    make no socket but Unix ones afterwards; sockets that it has or is sent still work.

    Raises OperationError for a path that is missing and, unless `best_effort`, for a kernel that
    lacks something; OSError for what nobody expects.
    """

    def __init__(self, confinement: Confinement, landlock: Landlock | None = None) -> None:
        """landlock: another kernel's, for tests."""
        self._confinement = confinement
        self._landlock = landlock or Landlock()
        self._abi = self._landlock.abi()
        filters = seccomp.available()
        self.lacking = shortcomings(confinement, self._abi, filters=filters)
        """What the kernel lacks, in words: to be logged."""
        if self.lacking and not confinement.best_effort:
            raise OperationError(refusal(self.lacking, self._abi, os.uname().release))
        self._handled = handled(self._abi, network=confinement.network)
        self._readable = expanded(READABLE)
        self._ruleset = -1
        self._given: _Identities = ()
        """What had the names of the user's paths when the ruleset was made."""
        self._defaults: _Identities = ()
        self._looked_at = 0.0
        self._forbid_limiting_others = (
            seccomp.prepared(seccomp.limits_filter) if filters else lambda: None
        )
        if self._abi:
            self._make_ruleset(self._allow)
            self._try()
        if filters and not confinement.network:
            seccomp.forbid_network()

    def _try(self) -> None:
        """Better now than with the first request."""

        def restrict() -> int:
            self._landlock.restrict_thread(self._ruleset)
            return 0

        try:
            in_thread(restrict)
        except OSError as error:
            self.close()
            raise OperationError(f"sandbox: {_TROUBLE.get(error.errno or 0, error)}") from None

    def start(self, spawn: Callable[[], int]) -> int:
        """Call spawn (os.posix_spawn, which gives a pid) in a domain of its own.

        Raises what spawn raises: OSError.
        """
        if self._abi and self._is_outdated():
            self._make_ruleset(self._allow_if_there)

        def restricted() -> int:
            if self._abi:
                self._landlock.restrict_thread(self._ruleset)
            self._forbid_limiting_others()
            return spawn()

        return in_thread(restricted)

    def close(self) -> None:
        """Let go of the ruleset. Programs stay in their domains."""
        if self._ruleset >= 0:
            os.close(self._ruleset)
            self._ruleset = -1

    def _is_outdated(self) -> bool:
        """Whether a path leads elsewhere by now. A rule holds for a file and not for its name:
        without this, a release that a symbolic link puts in place, or a resolv.conf that was
        renamed to that name, would be closed to all programs until the next reload."""
        confinement = self._confinement
        if _identities((*confinement.read, *confinement.write)) != self._given:
            return True
        now = time.monotonic()
        if now - self._looked_at < _DEFAULTS_AGE_S:
            return False
        self._looked_at = now
        return _identities((*self._readable, *DEVICES)) != self._defaults

    def _make_ruleset(self, allow_asked: Callable[[int, str, str, Access], None]) -> None:
        confinement = self._confinement
        # Before the rules: what changes in between is found outdated, and not taken for given.
        given = _identities((*confinement.read, *confinement.write))
        defaults = _identities((*self._readable, *DEVICES))
        ruleset = self._landlock.create(self._handled)
        try:
            for path in self._readable:
                self._allow_if_there(ruleset, "read", path, READ)
            for path in DEVICES:
                self._allow_if_there(ruleset, "write", path, DEVICE)
            for path in confinement.read:
                allow_asked(ruleset, "read", path, READ)
            for path in confinement.write:
                allow_asked(ruleset, "write", path, WRITE)
        except BaseException:
            os.close(ruleset)
            raise
        self.close()
        self._ruleset, self._given, self._defaults = ruleset, given, defaults

    def _allow_if_there(self, ruleset: int, key: str, path: str, access: Access) -> None:
        """For a default, and for what was there at the start: where it is not, there is nothing to
        be given, and when it is there again, `_is_outdated` finds it."""
        try:
            self._allow(ruleset, key, path, access)
        except OperationError:
            pass

    def _allow(self, ruleset: int, key: str, path: str, access: Access) -> None:
        places = self._places_of_programs_on_the_way_to(path)
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                real = os.readlink(f"/proc/self/fd/{descriptor}")
                for place in places:
                    if not is_below(real, place):
                        raise OperationError(
                            f"sandbox.{key}: {path} leads out of {place}, where programs may "
                            f"change it: say {real} instead"
                        )
                self._landlock.allow(ruleset, descriptor, access & self._handled.files)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in _SHORTAGE:
                raise  # or the path would be taken for one that is not there
            raise OperationError(f"sandbox.{key}: {_why(path, error)}") from None

    def _places_of_programs_on_the_way_to(self, path: str) -> list[str]:
        """Programs can have a path that leads through a place where they may write lead anywhere:
        to what they are not given, and would be given by the next look at the path."""
        places = [os.path.realpath(place) for place in self._confinement.write]
        if not places:
            return []
        steps = list(searched(path))
        return [place for place in places if any(is_below(step, place) for step in steps)]


def _why(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"{path} does not exist"
    if error.errno == errno.EACCES and (where := denied_directory(path)):
        return f"user {current_user()} may not search the directory {where}"
    return f"{path}: {error.strerror}"


def _identities(paths: Iterable[str]) -> _Identities:
    """Device and inode of each path, None for what is not there."""
    return tuple(_identity(path) for path in paths)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def in_thread(run: Callable[[], int]) -> int:
    """Call run in a thread of its own; gives what it gives, raises what it raises.

    Not by the threading module, whose start and join cost more than all the rest. A thread that is
    started ahead and waits for its order costs more than one that is started now: it has to wake.
    """
    results: list[int] = []
    errors: list[BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def body() -> None:
        try:
            results.append(run())
        except BaseException as error:  # raised where it is waited for
            errors.append(error)
        finally:
            done.release()

    try:
        _thread.start_new_thread(body, ())
    except RuntimeError:  # pthread_create(3) has one reason: there are too many
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
    done.acquire()
    if errors:
        raise errors[0]
    return results[0]

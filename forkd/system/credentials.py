"""Who a process is: resolving users and groups, and becoming one for good."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass

from forkd.errors import OperationError


@dataclass(frozen=True, slots=True)
class Identity:
    """A user with group and supplementary groups, as numbers, and the name for messages."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def resolve(user: str, group: str | None) -> Identity:
    """Look a user (name or number) up; the group defaults to the user's own.

    Raises OperationError where one of them does not exist.
    """
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        raise OperationError(f"user {user!r} does not exist") from None
    gid = entry.pw_gid
    if group is not None:
        gid = group_id(group)
    return Identity(
        entry.pw_name, entry.pw_uid, gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    )


def user_id(user: str) -> int:
    return resolve(user, None).uid


def group_id(group: str) -> int:
    """Raises OperationError where the group (name or number) does not exist."""
    try:
        return (grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)).gr_gid
    except KeyError:
        raise OperationError(f"group {group!r} does not exist") from None


def current_user() -> str:
    """The name of the effective user, or its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def assume(identity: Identity) -> None:
    """Become identity for good: groups, then group, then user, and check that there is no way back.

    The order matters: after setuid the right to change groups is gone.
    """
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if os.getresuid() != (identity.uid,) * 3 or os.getresgid() != (identity.gid,) * 3:
        raise OperationError(f"cannot become user {identity.name}: the ids did not change")
    if identity.uid != 0:
        try:
            os.setuid(0)
        except PermissionError:
            return
        raise OperationError(f"user {identity.name} can become root again: refusing to run")


def denied_directory(path: str) -> str | None:
    """The first directory on the way to path that this process may not search, if there is one."""
    parts = os.path.abspath(path).split("/")
    for count in range(1, len(parts)):
        directory = "/".join(parts[:count]) or "/"
        if not os.access(directory, os.X_OK, effective_ids=True):
            return directory
    return None

"""Looking at files with somebody else's eyes, for a while.

Only the effective ids change, which is what the kernel judges by (credentials(7)): so open(2),
stat(2) and faccessat(2) with AT_EACCESS give its own verdict, access control lists included. The
way back stays open. Nothing of that user's may run meanwhile: to become somebody for good is
`credentials.assume`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from forkd.system.credentials import Identity


@contextmanager
def wearing(identity: Identity | None) -> Iterator[None]:
    """Be that user by the effective ids. None: stay who this process is. Only for root."""
    if identity is None:
        yield
        return
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    try:
        # The order matters: without root's effective id the groups can be changed no more. With
        # it go the capabilities that override the rights of files (capabilities(7)).
        os.setgroups(identity.groups)
        os.setegid(identity.gid)
        os.seteuid(identity.uid)
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)

"""What a sandbox of programs holds, and what a kernel must have for it. `sandbox.py` puts it on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from typing import Final

from forkd.system import seccomp
from forkd.system.landlock import Landlock, lacks
from forkd.system.resolution import is_below

READABLE: Final = (
    # Programs, interpreters, libraries.
    *("/usr", "/bin", "/sbin", "/lib*"),
    # The loader (ld.so(8)) and what glibc looks up: users, hosts, services, the time zone, locales.
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf"),
    *("/etc/services", "/etc/protocols", "/etc/localtime", "/etc/timezone", "/etc/locale.alias"),
    # What OpenSSL reads before its first digest, and the certificates; not /etc/ssl/private.
    *("/etc/ssl/openssl.cnf", "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/crypto-policies"),
    *("/etc/pki/tls/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted"),
    *("/etc/ca-certificates/extracted",),
    # Debian keeps a part of the modules of Python and Perl here. git warns about settings that are
    # there and cannot be read, and each warning would be a line of the log.
    *("/etc/python3*", "/etc/perl", "/etc/php*", "/etc/gitconfig", "/etc/mime.types"),
)
"""Patterns of what every program may read and execute. Not there: /proc, which shows the other
processes; /tmp and /dev/shm, which others write to; /home and /srv."""

DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""What every program may read and write. Not /dev/tty: where forkd runs in a terminal, it is the
terminal of the person who started it."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What programs may do beside the defaults; paths are absolute. `read` is for execution as
    well, `write` is not: what is to be written and run stands in both."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool = False
    best_effort: bool = False
    """Hold what this kernel can hold, and start all the same where it lacks something."""


def shortcomings(confinement: Confinement, abi: int, *, filters: bool) -> list[str]:
    """What a kernel with this ABI of Landlock, with or without filters of system calls, lacks of
    what is asked; empty where it lacks nothing. In words for a person."""
    words = lacks(abi, network=confinement.network)
    if not confinement.network and not filters:
        words.append("the network")
    if not filters:
        words.append("limits of other processes")
    return words


def shortcomings_here(confinement: Confinement) -> list[str]:
    """The same for this kernel. Needs no right, changes nothing. Raises OSError."""
    return shortcomings(confinement, Landlock().abi(), filters=seccomp.available())


def refusal(words: Iterable[str], abi: int, release: str) -> str:
    """The line for a kernel with shortcomings. release: that of uname(2)."""
    if abi:
        return (
            f"sandbox: Linux {release} (Landlock ABI {abi}) cannot restrict {', '.join(words)}: "
            "take Linux 6.12 or later, or say `best_effort: true` to do without"
        )
    return (
        f"sandbox: Linux {release} has no Landlock here: take Linux 6.12 or later with `landlock` "
        "in its list of security modules (lsm=), or say `best_effort: true` to do without"
    )


def is_readable(confinement: Confinement, path: str) -> bool:
    """Whether a program in this sandbox is given a file to read and execute, as far as the sandbox
    goes: to explain a refusal."""
    real = os.path.realpath(path)
    given = (*confinement.read, *expanded(READABLE))
    return any(is_below(real, os.path.realpath(root)) for root in given)


def expanded(patterns: Iterable[str]) -> list[str]:
    """The paths that are there now for each pattern with a star; others as they are."""
    paths: list[str] = []
    for pattern in patterns:
        paths += sorted(glob(pattern)) if "*" in pattern else [pattern]
    return paths

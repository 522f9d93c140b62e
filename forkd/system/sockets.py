"""Listening sockets: opening, checking, telling how long their queues are."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct

from forkd.errors import OperationError

_CREDENTIALS = struct.Struct("=3i")
"""Pid, user and group (struct ucred, unix(7))."""

_BACKLOG = 4096
"""Asked of the kernel, which cuts it to net.core.somaxconn."""

_TCP_INFO_UNACKED_OFFSET = 24
"""struct tcp_info (linux/tcp.h): eight bytes of state, then rto, ato, snd_mss, rcv_mss, unacked."""
_TCP_INFO_LAST_DATA_RECV_OFFSET = 52
"""Behind that: sacked, lost, retrans, fackets, last_data_sent, last_ack_sent, last_data_recv."""
_LAST_DATA_RECV = struct.Struct(f"={_TCP_INFO_LAST_DATA_RECV_OFFSET}xI")


def listen_tcp(host: str, port: int) -> socket.socket:
    """Bind and listen. Raises OperationError that says why not, and what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] serves IPv6 only: whoever wants both says so with two listeners.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Inherited by what is accepted, so that no connection needs a call for it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _cannot_bind(sock.family, host, port, _why(error, port, "t")) from None
    return sock


def bind_udp(host: str, port: int) -> socket.socket:
    """A socket for datagrams, for everybody who is to receive on it. Raises OperationError.

    It blocks, for those who answer on it: read with MSG_DONTWAIT. No SO_REUSEADDR: for datagrams
    that would let another program take the port over.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _cannot_bind(family, host, port, _why(error, port, "u")) from None
    return sock


def _cannot_bind(family: int, host: str, port: int, why: str) -> OperationError:
    shown = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
    return OperationError(f"cannot listen on {shown}: {why}")


def _why(error: OSError, port: int, transport: str) -> str:
    """transport: the letter of ss(8), t or u."""
    if error.errno == errno.EADDRINUSE:
        return f"the port is taken (see: ss -l{transport}np 'sport = :{port}')"
    if error.errno == errno.EACCES:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address (see: ip address)"
    return error.strerror or str(error)


def listen_unix(path: str, mode: int, uid: int, gid: int, datagrams: bool = False) -> socket.socket:
    """Bind a Unix socket with these rights; -1 leaves owner or group as they are. One for datagrams
    blocks, as that of bind_udp does.

    A socket file that nobody listens on any more is replaced; one that answers is not.
    Raises OperationError.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # Nobody may connect before the rights are what they should be.
        mask = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(mask)
        # Mode before owner: a master without CAP_FOWNER may change neither afterwards.
        os.chmod(path, mode)
        if uid != -1 or gid != -1:
            os.chown(path, uid, gid)
        if not datagrams:
            sock.listen(_BACKLOG)
            sock.setblocking(False)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        if error.errno == errno.ENOENT:
            reason = f"there is no directory {os.path.dirname(path)}"
        raise OperationError(f"cannot listen on unix:{path}: {reason}") from None
    except OperationError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OperationError(f"cannot listen on unix:{path}: a file that is no socket is there")
    if answers(path):
        raise OperationError(f"cannot listen on unix:{path}: another process listens there")
    os.unlink(path)


def answers(path: str) -> bool:
    """Whether somebody listens on this Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # a full queue, or no right to connect: somebody is there
        return True


def adopt(descriptor: int, name: str, datagrams: bool = False) -> socket.socket:
    """A listening stream socket, or one for datagrams, that another process opened. Takes the
    descriptor over.

    Raises OperationError if it is none; the descriptor then stays the caller's.
    """
    try:
        sock = socket.socket(fileno=descriptor)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise OperationError(f"fd:{name} is not usable: {error.strerror}") from None
    if datagrams:
        if sock.type != socket.SOCK_DGRAM:
            sock.detach()
            raise OperationError(f"fd:{name} is not a datagram socket (ListenDatagram=)")
        sock.setblocking(True)
        return sock
    if sock.type != socket.SOCK_STREAM or not listening:
        sock.detach()
        raise OperationError(f"fd:{name} is not a listening stream socket")
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def queue_length(sock: socket.socket) -> int | None:
    """Connections that wait for accept(2); None where there are none (datagrams) or the kernel
    does not say (Unix sockets)."""
    if sock.family == socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        return None
    # Of a listening socket, tcpi_unacked is the length of the accept queue (tcp_get_info).
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    (length,) = struct.unpack_from("I", info, _TCP_INFO_UNACKED_OFFSET)
    return int(length)


def seconds_since_data(sock: socket.socket) -> float:
    """How long ago a TCP connection received its last data or, where it has none, came about.

    In whole milliseconds, as fine as the kernel's own clock ticks (CONFIG_HZ). Raises OSError.
    """
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECV.size)
    return int(_LAST_DATA_RECV.unpack(info)[0]) / 1000


def peer_pid(sock: socket.socket) -> int:
    """Who connected to a Unix socket; 0 where that is in a PID namespace that is not seen from here
    (unix(7), SO_PEERCRED). It may be gone by now."""
    pid, _, _ = _CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return int(pid)

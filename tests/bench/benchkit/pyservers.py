"""The Python servers: gunicorn, granian, uWSGI, waitress, and that of http.server.

Each function returns a Start: called with the lab and a label it writes the server's
configuration into the lab's folder, starts it in the foreground and returns it. All listen on
127.0.0.1 and log accesses to a file.
"""

from __future__ import annotations

import signal
from pathlib import Path

from .lab import Lab, Server, Start

THREADS = 8  # for every server that has a pool of threads; forkd's default too


def gunicorn(kind: str, app: str, *, workers: int = 1, preload: bool = False) -> Start:
    """gunicorn with sync or gthread workers."""

    def start(lab: Lab, name: str) -> Server:
        argv = [lab.python_tool("gunicorn"), "--worker-class", kind, "--workers", str(workers)]
        server = Server(name, lab, reload_with=signal.SIGHUP)
        argv += [
            "--bind",
            f"127.0.0.1:{server.port}",
            "--access-logfile",
            str(server.log("access")),
            "--error-logfile",
            str(server.error_log),
            "--chdir",
            str(lab.site.apps),
        ]
        if kind == "gthread":
            argv += [
                "--threads",
                str(THREADS),
                "--keep-alive",
                "65",
                "--worker-connections",
                "10000",
            ]
        if preload:
            argv.append("--preload")
        server.launch([*argv, app])
        return server

    return start


def granian(app: str, *, workers: int = 1, threads: int = THREADS, connections: int = 0) -> Start:
    """granian's WSGI interface; its access log goes to standard output, which is a file here.

    connections: how many it takes at once for each worker, where its default (1024) is too few.
    """

    def start(lab: Lab, name: str) -> Server:
        program = lab.python_tool("granian")
        server = Server(name, lab)
        server.launch(
            [
                program,
                "--interface",
                "wsgi",
                "--host",
                "127.0.0.1",
                "--port",
                str(server.port),
                "--workers",
                str(workers),
                "--blocking-threads",
                str(threads),
                "--access-log",
                *(["--backpressure", str(connections)] if connections else []),
                app,
            ],
            env={"PYTHONPATH": str(lab.site.apps)},
        )
        return server

    return start


def uwsgi(app: str, *, workers: int = 1) -> Start:
    """uWSGI's own HTTP socket, which closes after each answer (and is told here to say so)."""

    def start(lab: Lab, name: str) -> Server:
        program = lab.python_tool("uwsgi")
        server = Server(name, lab)
        backlog = min(1024, int(Path("/proc/sys/net/core/somaxconn").read_text()))
        server.launch(
            [
                program,
                "--http-socket",
                f"127.0.0.1:{server.port}",
                "--add-header",
                "Connection: close",
                "--master",
                "--processes",
                str(workers),
                "--module",
                app,
                "--pythonpath",
                str(lab.site.apps),
                "-H",
                str(lab.venv),
                "--need-app",
                "--die-on-term",
                "--listen",
                str(backlog),
                "--logto",
                str(server.log("access")),
            ]
        )
        return server

    return start


def waitress(app: str) -> Start:
    """waitress: one process, and no access log of its own."""

    def start(lab: Lab, name: str) -> Server:
        program = lab.python_tool("waitress-serve")
        server = Server(name, lab)
        server.launch(
            [
                program,
                "--host",
                "127.0.0.1",
                "--port",
                str(server.port),
                "--threads",
                str(THREADS),
                app,
            ],
            env={"PYTHONPATH": str(lab.site.apps)},
        )
        return server

    return start


def threading_http_server(name_of_class: str) -> Start:
    """http.server's ThreadingHTTPServer: one process, a thread for each connection.

    Its queue is longer than the 5 that it is by default, since new connections would find no place
    in it and wait for a second. Its log goes to standard error, which is a file here.
    """

    def start(lab: Lab, name: str) -> Server:
        program = lab.python_tool("python")
        server = Server(name, lab)
        script = str(lab.site.apps / "threadingserver.py")
        server.launch([program, script, str(server.port), name_of_class])
        return server

    return start

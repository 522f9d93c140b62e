"""What can be typed. `-c` and `--control` may stand before or after the command."""

from __future__ import annotations

import argparse

from forkd import __version__

_DESCRIPTION = "A pre-fork, multi-worker server daemon: static files, CGI programs, one YAML file."
_EPILOG = """\
Without a command forkd serves what the configuration says, in the foreground.
Without -c it looks at $FORKD_CONFIG, ./forkd.yaml, ./conf/forkd.yaml, /etc/forkd/forkd.yaml.
"""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Exits with status 2 and a usage line where the arguments make no sense."""
    shared = argparse.ArgumentParser(add_help=False)
    # SUPPRESS: a command's parser must not overwrite with its default what stood before it.
    shared.add_argument(
        "-c",
        dest="config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the configuration",
    )
    shared.add_argument(
        "--control",
        metavar="PATH",
        default=argparse.SUPPRESS,
        help="the control socket of a running forkd, instead of the configuration's",
    )
    parser = argparse.ArgumentParser(
        prog="forkd",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=f"forkd {__version__}")
    parser.add_argument(
        "-t", dest="check", action="store_true", help="check the configuration and exit"
    )
    parser.add_argument("-D", "--daemon", action="store_true", help="go into the background")
    _add_commands(parser, shared)
    result = parser.parse_args(arguments)
    if result.command is not None and (result.check or result.daemon):
        parser.error(f"-t and -D do not go with the command {result.command}")
    result.config = getattr(result, "config", None)
    result.control = getattr(result, "control", None)
    return result


def _add_commands(parser: argparse.ArgumentParser, shared: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    serve = commands.add_parser(
        "serve", help="serve a directory without a configuration", parents=[]
    )
    serve.add_argument("directory", nargs="?", default=".", metavar="DIR")
    serve.add_argument("-p", "--port", type=_port, default=8000, help="default: 8000")
    serve.add_argument("-b", "--bind", default="127.0.0.1", metavar="ADDRESS")
    serve.add_argument(
        "--cgi", action="store_true", help="run scripts below cgi-bin/, htbin/ and ht-bin/"
    )
    serve.add_argument(
        "--listing", action=argparse.BooleanOptionalAction, default=True, help="list directories"
    )

    serve.add_argument(
        "--wsgi", metavar="MODULE:CALLABLE", help="serve this application, found from DIR"
    )
    serve.add_argument(
        "--dev", action="store_true", help="reload when a source of the application changes"
    )

    status = commands.add_parser("status", help="what the running forkd does", parents=[shared])
    status.add_argument("--json", action="store_true", help="for programs")
    _add_top(commands.add_parser("top", help="what it does, live", parents=[shared]))
    reload = commands.add_parser("reload", help="read the configuration anew", parents=[shared])
    reload.add_argument(
        "--wait", action="store_true", help="until it is done; exit status 1 where it failed"
    )
    reload.add_argument(
        "--diff", action="store_true", help="print what would change, and change nothing"
    )
    commands.add_parser("stop", help="drain and stop", parents=[shared])
    commands.add_parser(
        "upgrade", help="go over to the program that is installed now", parents=[shared]
    )
    drain = commands.add_parser(
        "drain", help="take this host out of service, or bring it back", parents=[shared]
    )
    drain.add_argument("--undo", action="store_true", help="bring it back")
    drain.add_argument(
        "--grace",
        type=_seconds,
        metavar="SECONDS",
        help="how long load balancers are given before nothing more is accepted (default: 10)",
    )
    drain.add_argument("--wait", action="store_true", help="until no connection is left")
    _add_stack(
        commands.add_parser("stack", help="what the threads of a worker do now", parents=[shared])
    )
    _add_explain(
        commands.add_parser(
            "explain", help="what would answer a URL, or why it would fail", parents=[shared]
        )
    )
    _add_replay(
        commands.add_parser("replay", help="run a failed CGI request again", parents=[shared])
    )
    commands.add_parser("reopen", help="reopen the log files", parents=[shared])
    commands.add_parser("schema", help="print the JSON Schema of the configuration")


def _add_stack(stack: argparse.ArgumentParser) -> None:
    which = stack.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "worker",
        nargs="?",
        type=int,
        metavar="WORKER",
        help="the number of its slot, as forkd status shows it",
    )
    which.add_argument("--all", action="store_true", help="all workers")


def _add_explain(explain: argparse.ArgumentParser) -> None:
    explain.add_argument(
        "url", metavar="URL", help="http://HOST/PATH?QUERY, HOST/PATH, or a path of the usual site"
    )
    explain.add_argument("-X", "--method", default="GET", help="default: GET")
    explain.add_argument(
        "--client",
        metavar="ADDRESS",
        help="whom allow and deny are asked about; left out, a client who is welcome",
    )
    explain.add_argument("--json", action="store_true", help="for programs")


def _add_replay(replay: argparse.ArgumentParser) -> None:
    replay.description = (
        "Run the program of a failed CGI request again, as its route would: same user, limits and "
        "sandbox. The route must say where failures are recorded (cgi: ..., record: DIR)."
    )
    replay.add_argument(
        "id",
        nargs="?",
        metavar="ID",
        help="of the request, as the error log has it; left out, the records are listed",
    )
    replay.add_argument("--json", action="store_true", help="list the records for programs")


def _add_top(top: argparse.ArgumentParser) -> None:
    top.add_argument(
        "-n",
        "--interval",
        type=_interval,
        default=1.0,
        metavar="SECONDS",
        help="between two looks; default: 1",
    )
    top.add_argument(
        "--once", action="store_true", help="print one frame, after one interval, and exit"
    )


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected 0.1 to 3600 seconds, not {text!r}")
    return seconds


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"not a port: {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"not a number of seconds from 0 to 86400: {text!r}")
    return seconds

"""`forkd replay`: a failed CGI request is run again, and all that happens is shown.

The program is started by the spawners of its route; only its pipes end here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from forkd.cli.client import NOT_RUNNING, PATIENCE_S, Answer, ask, not_there
from forkd.cli.rerun import Ends, Rerun
from forkd.cli.words import printable, size
from forkd.handlers.black_box import unpack
from forkd.handlers.cgi_failures import exit_words


def run(arguments: argparse.Namespace, find_control: Callable[[], Path]) -> int:
    """List the records, or run one again; the exit status, which is 0 also where the program fails
    again. Raises ForkdError for a configuration that cannot be read."""
    path = find_control()
    try:
        if arguments.id is None:
            return _list(path, arguments.json)
        return _replay(path, arguments.id)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"forkd: {not_there(path, error)}", file=sys.stderr)
        return 1 if isinstance(error, PermissionError) else NOT_RUNNING


def _list(path: Path, as_json: bool) -> int:
    answer = ask(path, {"command": "records"}, PATIENCE_S)
    if not answer.get("ok"):
        return _refused(answer)
    for note in answer["notes"]:
        print(f"forkd: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(answer["records"], indent=2))
        return 0
    for one in answer["records"]:
        script, reason = printable(one["script"]), printable(one["reason"])
        print(f"{printable(one['time'])}  {one['id']}  {one['status']}  {script}  {reason}")
    if not answer["records"]:
        print("no request has failed, or none is recorded any more")
    return 0


def _replay(path: Path, request_id: str) -> int:
    with Ends.open() as ends:
        answer = ask(path, {"command": "replay", "id": request_id}, PATIENCE_S, ends.of_the_program)
        if not answer.get("ok"):
            return _refused(answer)
        record = answer["record"]
        body = unpack(record["body"])
        for line in _head(record, len(body)):
            print(line)
        sys.stdout.flush()
        rerun = Rerun(ends, body, record["timeout"], record["script"], _show)
        rerun.run()
    for line in _outcome(rerun):
        print(line)
    return 0


def _head(record: Answer, kept: int) -> Iterator[str]:
    """What it was, and as what it is run now."""
    environ = record["environ"]
    asked = printable(f"{environ['REQUEST_METHOD']} {environ['REQUEST_URI']}")
    yield f"{printable(record['time'])}  {asked}"
    end = f"; {printable(record['exit'])}" if record["exit"] else ""
    yield f"failed with {record['status']}: {printable(record['reason'])}{end}"
    yield (
        f"again: {printable(record['script'])} as {printable(record['user'])}, "
        f"with {kept} bytes of body"
    )
    if (whole := record["body_size"]) > kept:
        yield (
            f"NOT THE SAME: the body had {whole} bytes, of which only the first {kept} were "
            f"recorded"
        )


def _show(mark: str, line: bytes) -> None:
    text = printable(line.decode("utf-8", "backslashreplace").removesuffix("\r"))
    print(f"{mark}| {text}", flush=True)


def _outcome(rerun: Rerun) -> Iterator[str]:
    end = rerun.end
    if rerun.not_started is not None:
        yield f"not started: {printable(rerun.not_started.reason)}"
    elif end is None:
        yield "its end is not known: the spawner died"
    else:
        yield (
            f"{exit_words(end.status)}, {end.cpu_s * 1000:.0f} ms of CPU time, "
            f"{size(end.peak_memory)} of memory at most"
        )
    yield f"would be answered with {printable(rerun.verdict())}"


def _refused(answer: Answer) -> int:
    for reason in answer.get("reasons") or ["the master refused and did not say why"]:
        print(f"forkd: {reason}", file=sys.stderr)
    return 1

"""Importing what a route names."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from forkd.config.targets import Target
from forkd.errors import OperationError

if TYPE_CHECKING:
    from forkd.handlers.metrics import Metrics


def prepare(paths: Iterable[Path], env: Mapping[str, str]) -> None:
    """Make modules below these directories importable, and put variables into os.environ.

    What applications print comes out line by line, also where it goes to a file.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    for path in reversed([os.fspath(path) for path in paths]):
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
    os.environ.update(env)


def prepare_pages(directory: Path) -> None:
    """What `prepare` does, for a directory of pages: it is looked at last, so that a page with the
    name of a module does not take its place in the whole worker."""
    prepare((), {})
    if (path := os.fspath(directory)) not in sys.path:
        sys.path.append(path)


def offer_cgi_class() -> None:
    """Let `from http.server import CGIHTTPRequestHandler` work where Python has none (3.15)."""
    import http.server  # here, since most workers do without

    name = "CGIHTTPRequestHandler"
    if not hasattr(http.server, name):
        from forkd.compat import CGIHTTPRequestHandler

        setattr(http.server, name, CGIHTTPRequestHandler)


def load_metrics(key: str) -> type[Metrics]:
    """What answers for the metrics. Raises OperationError; key: where it is written."""
    try:
        # Here, since what makes the text is an option, and takes 3 MB.
        from forkd.handlers.metrics import Metrics
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise OperationError(
            f"{key}: metrics needs prometheus_client: pip install 'forkd[metrics]'"
        ) from None
    return Metrics


def load(target: Target, key: str) -> object:
    """Import the module and find what is meant. Raises OperationError; key: where it is written."""
    try:
        importlib.invalidate_caches()
        found: object = importlib.import_module(target.module)
    except BaseException as error:  # a module may raise anything, SystemExit too
        raise OperationError(
            f"{key}: importing {target.module} failed: {fault_text(error)}"
        ) from None
    for name in target.attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            where = getattr(sys.modules[target.module], "__file__", None) or target.module
            raise OperationError(f"{key}: there is no {target.attribute} in {where}") from None
    if not callable(found):
        raise OperationError(f"{key}: {target} is {type(found).__name__}, which cannot be called")
    if not target.factory:
        return found
    try:
        found = found()
    except BaseException as error:
        raise OperationError(f"{key}: {target} failed: {fault_text(error)}") from None
    if not callable(found):
        raise OperationError(f"{key}: {target} gave {type(found).__name__}, not an application")
    return found


def fault_text(error: BaseException, within: str = "") -> str:
    """One line: the fault, and where in the user's code it is.

    within: the beginning of the paths that count as the user's code.
    """
    text = " ".join(str(error).split()) or "no reason given"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
        and frame.filename.startswith(within)
        and not frame.filename.startswith("<frozen importlib")
        and os.path.basename(os.path.dirname(frame.filename)) != "importlib"
    ]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError) and error.filename:
        where = ""  # its text names the place
    return f"{type(error).__name__}: {text}{where}"

"""What the system tests share."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_signal_is_ignored() -> None:
    """A shell without job control has what it puts into the background ignore SIGINT and SIGQUIT,
    and all that the tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Like tmp_path, but every user may search it.

    pytest keeps tmp_path below a directory that each of its runs closes to other users when it
    starts, also while another run has tests there: what was opened does not stay open.
    """
    with tempfile.TemporaryDirectory(prefix="forkd-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory

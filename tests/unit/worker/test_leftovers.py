"""What an import may leave behind, and what not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.worker.leftovers import Holdings, refuse_leftovers


def test_nothing_new_is_nothing_to_refuse(tmp_path: Path) -> None:
    with open(tmp_path / "before", "w"):
        before = Holdings.now()
        assert refuse_leftovers(before, "key") == before


def test_a_file_that_is_read_may_be_shared(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    before = Holdings.now()
    with open(tmp_path / "data") as file, open(os.devnull, "w"):
        after = refuse_leftovers(before, "key")
        assert file.fileno() in after.descriptors - before.descriptors


def test_a_thread_is_refused_with_its_name() -> None:
    before, ended = Holdings.now(), threading.Event()
    thread = threading.Thread(target=ended.wait, name="poller")
    thread.start()
    try:
        with pytest.raises(OperationError, match=r"^key: .* the thread 'poller'"):
            refuse_leftovers(before, "key")
    finally:
        ended.set()
        thread.join()


def test_a_pipe_is_refused_by_its_number() -> None:
    before = Holdings.now()
    ends = os.pipe()
    try:
        with pytest.raises(OperationError, match=rf"^key: .* a pipe open \(descriptor {ends[0]}\)"):
            refuse_leftovers(before, "key")
    finally:
        for end in ends:
            os.close(end)

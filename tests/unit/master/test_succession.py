"""How many workers a generation is to have, whatever was asked for."""

from __future__ import annotations

import os
from pathlib import Path

from forkd.config.load import load_text
from forkd.master.generation import WORKERS, Generation
from forkd.master.succession import Succession


def serving(directory: Path, workers: int) -> Succession:
    text = "workers: {min: 2, max: 8}\nsites: [{routes: {/: {respond: x}}}]"
    settings = load_text(text, str(directory / "forkd.yaml"), os.environ)
    succession = Succession()
    succession.bring_in(Generation.open(1, settings, workers), [], [])
    succession.succeed()
    return succession


def test_a_pool_that_shrinks_is_not_emptied_by_what_ttou_took_away(tmp_path: Path) -> None:
    succession = serving(tmp_path, 8)
    assert [succession.adjust(-1) for _ in range(5)] == [7, 6, 5, 4, 3]
    assert succession.live is not None
    succession.live.workers = 2
    assert succession.counts()[1, WORKERS] == 1


def test_workers_that_were_sent_away_come_back_for_ttin_only(tmp_path: Path) -> None:
    succession = serving(tmp_path, 2)
    succession.dismissed = True
    succession.adjust(-1)
    assert succession.counts()[1, WORKERS] == 0
    succession.adjust(1)
    assert succession.counts()[1, WORKERS] == 2

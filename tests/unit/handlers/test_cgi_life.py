"""What a program without progress means, by how far it has come."""

from __future__ import annotations

import pytest

from forkd.handlers.cgi_life import Life, no_progress, overdue

WAITED = "no progress for 1.5 s: terminated"
HELD = f"it has ended, but what it has started holds its output, {WAITED}"


@pytest.mark.parametrize(
    ("life", "closed_early", "status", "reason"),
    [
        (Life.ORDERED, False, 503, "waited 1.5 s to be started"),
        (Life.RUNNING, False, 504, WAITED),
        (Life.RUNNING, True, 502, "the program closed its output without a header, and runs on"),
        (Life.ENDED, False, 504, HELD),
    ],
)
def test_status_and_reason(life: Life, closed_early: bool, status: int, reason: str) -> None:
    assert overdue(life, 1.5, closed_early=closed_early) == (status, reason)


def test_after_the_answer_there_is_a_reason_too() -> None:
    assert (no_progress(Life.RUNNING, 1.5), no_progress(Life.ENDED, 1.5)) == (WAITED, HELD)

"""What a frame shows."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from forkd.cli.top.figures import compare
from forkd.cli.top.screen import Frame, Scene
from forkd.cli.top.tables import age_style
from forkd.cli.top.view import Page, View
from tests.unit.cli.answers import answer, death, request, worker

NOW = 1_000_000.0


def frame(
    second: dict[str, Any],
    view: View | None = None,
    *,
    width: int = 110,
    height: int | None = 30,
    first: dict[str, Any] | None = None,
    columns: tuple[float, ...] = (),
    problem: str = "",
) -> list[str]:
    """The lines of a frame of two answers a second apart."""
    figures = compare(second, 11.0, compare(first or second, 10.0, None))
    scene = Scene(figures, columns, 3.0, NOW, problem)
    console = Console(
        width=width,
        height=height or 50,
        color_system=None,
        highlight=False,
        force_terminal=False,
        legacy_windows=False,
        _environ={},
    )
    with console.capture() as captured:
        console.print(Frame(scene, view or View(), height))
    return captured.get().splitlines()


def line_of(lines: list[str], text: str) -> str:
    found = [line for line in lines if text in line]
    assert len(found) == 1, (text, lines)
    return found[0]


FULL = answer(
    worker(0, 30, memory_pss=10 << 20),
    worker(7, 10, threads_busy=8, threads_waiting=3, request=request("/slow?x=1", 12.0)),
    requests=40,
    last_reload={"at": NOW - 60, "ok": False, "reasons": ["no such directory"]},
    listeners=[{"address": "127.0.0.1:8080", "protocol": "http", "queue": 4}],
    deaths=[death(NOW - 90, request=request("/boom"))],
    queue_ms={"p50": 0.25, "p99": 1500.0},
    routes=[
        {
            "route": "/app/",
            "site": "example.org",
            "requests": 40,
            "statuses": {"2xx": 38, "5xx": 2},
            "latency_ms": {"p50": 1.25, "p99": 80.0},
        }
    ],
)


def test_a_frame_shows_who_does_what() -> None:
    lines = frame(FULL, first=answer(worker(0, 10), worker(7, 9), requests=19), columns=(1.0, 21.0))
    assert lines[0].startswith("forkd 0.1.0  running  generation 1  pid 41  up 1h02m  conf/forkd")
    assert lines[1].startswith("last reload 1m00s ago: FAILED: no such directory")
    assert "http)  4 waiting in the queue" in line_of(lines, "listening")
    assert "21.0 requests/s  0 errors/s  21.0 KiB/s" in line_of(lines, "connections/s")
    assert "8 busy, 3 waited for  connections queued p50 0.2 ms p99 1.5s" in "\n".join(lines)
    assert "▁█ last 6s" in line_of(lines, "peak 21.0")
    assert line_of(lines, " 1000 ").split()[:5] == ["0", "1000", "1", "ready", "20.0"]
    assert "10.0 MiB" in line_of(lines, " 1000 ")
    assert "12.0s GET /slow?x=1  192.0.2.9" in line_of(lines, " 1007 ")
    route = line_of(lines, "/app/").split()
    assert route == [
        "/app/",
        "example.org",
        "40.0",
        "40",
        "38",
        "0",
        "0",
        "2",
        *["1.2", "ms", "80.0", "ms"],
    ]
    assert "1m30s ago worker 3 gen 2 pid 4711 died by signal 9" in line_of(lines, "4711")
    assert lines[-1].startswith("q quit")


def test_a_frame_of_few_figures_shows_those() -> None:
    lines = frame(answer(worker(0)))
    assert not any("ROUTE" in line or "DIED" in line or "reload " in line for line in lines[:-1])


def test_a_frame_is_as_high_and_as_wide_as_the_screen() -> None:
    many = FULL | {"workers": [worker(n, request=request("/" + "x" * 200)) for n in range(60)]}
    for width, height in ((80, 24), (110, 50), (200, 12)):
        lines = frame(many, View(selected=59), width=width, height=height)
        assert len(lines) == height
        assert max(map(len, lines)) == width
        assert line_of(lines, " 1059 ")


def test_what_clients_choose_is_neither_obeyed_nor_taken_for_markup() -> None:
    hostile = "/[red]\x1b[2J\u202e[/nothing]:smile:"
    shown = r"/[red]\x1b[2J\u202e[/nothing]:smile:"
    status = answer(
        worker(0, request=request(hostile, 1.0)),
        deaths=[death(NOW, reason="[bold]\x9b", request=request(hostile))],
        config=hostile,
        last_reload={"at": NOW, "ok": False, "reasons": [hostile]},
        routes=[{"route": hostile, "requests": 1}],
    )
    lines = frame(status, width=200)
    assert sum(shown in line for line in lines) == 5
    assert "\x1b" not in "".join(lines)
    assert any(r"[bold]\x9b" in line for line in lines)
    stack = frame(status, View(Page.STACK, selected=0, text=("  File \x1b[0m[red]",)))
    assert r"  File \x1b[0m[red]" in "\n".join(stack)


def test_when_nobody_answers_the_last_figures_stay_with_the_reason() -> None:
    lines = frame(FULL, problem="nothing is running at /x any more")
    assert "no answer" in lines[0]
    assert line_of(lines, " 1000 ")
    assert lines[-1].startswith("nothing is running at /x any more; trying again")


def test_the_question_whether_to_reload_is_asked() -> None:
    lines = frame(FULL, View(Page.CONFIRM))
    assert lines[-1].startswith("Reload the configuration?")
    assert frame(FULL, View(notice="reloaded"))[-1].startswith("reloaded")


def test_the_stacks_of_a_worker_are_shown_from_where_they_are_scrolled_to() -> None:
    text = tuple(f"frame {n}" for n in range(100))
    lines = frame(FULL, View(Page.STACK, selected=7, text=text, offset=40), height=20)
    assert (lines[0].strip(), lines[1].strip()) == ("Stacks of worker 7", "frame 40")
    assert (lines[18].strip(), len(lines)) == ("frame 57", 20)


def test_the_help_names_every_key() -> None:
    text = "\n".join(frame(FULL, View(Page.HELP)))
    assert all(word in text for word in ("Enter", "Ctrl-C", "1 2 3 4", "BUSY, WAIT"))


def test_without_a_height_all_is_shown_and_no_keys() -> None:
    many = FULL | {"workers": [worker(n) for n in range(200)]}
    lines = frame(many, height=None)
    assert sum("ready" in line for line in lines) == 200
    assert not any("q quit" in line for line in lines)
    assert line_of(lines, "4711")


def test_a_request_that_takes_long_is_coloured() -> None:
    assert [age_style(s) for s in (0.9, 1.0, 10.0)] == ["", "yellow", "bold red"]

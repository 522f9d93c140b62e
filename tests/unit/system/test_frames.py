"""Stacks as people read them."""

from __future__ import annotations

import sys
import threading

from forkd.loop.loop import Loop
from forkd.system.frames import formatted, is_ours, shortened, stack_of


def deep(count: int) -> str:
    return deep(count - 1) if count else formatted(sys._getframe())


def test_a_stack_ends_with_the_most_recent_call() -> None:
    lines = stack_of(threading.get_ident()).splitlines()
    own = next(n for n, line in enumerate(lines) if "in test_a_stack_ends" in line)
    assert lines[own].startswith(f'  File "{__file__}", line ')
    assert lines[own + 1] == "    lines = stack_of(threading.get_ident()).splitlines()"
    assert own < len(lines) - 2, "what it calls stands below it"


def test_there_is_no_stack_of_a_thread_that_is_not_there() -> None:
    assert stack_of(1) == ""


def test_of_a_deep_stack_the_inner_part_is_shown() -> None:
    text = deep(300)
    assert "in deep\n" in text
    assert "in test_of_a_deep_stack" not in text


def test_what_leads_to_a_users_code_is_left_out() -> None:
    found: list[str] = []
    loop = Loop()
    loop.call_soon(lambda: found.append(formatted(sys._getframe())))
    loop.call_soon(loop.stop)
    thread = threading.Thread(target=loop.run)
    thread.start()
    thread.join()
    loop.close()
    (text,) = found
    assert text.count("File ") == 1
    assert f'File "{__file__}"' in text


def test_a_thread_of_forkds_is_told_from_one_that_runs_other_code() -> None:
    assert not is_ours(sys._getframe())
    loop = Loop()
    thread = threading.Thread(target=loop.run)
    loop.accept_posts()
    thread.start()
    try:
        assert thread.ident is not None
        frame = sys._current_frames()[thread.ident]
        assert is_ours(frame)
        del frame
    finally:
        loop.post(loop.stop)
        thread.join()
        loop.close()


def test_a_dump_is_shortened_thread_by_thread() -> None:
    here = formatted.__code__.co_filename
    dump = (
        "Thread 0x1 (most recent call first):\n"
        '  File "/srv/app.py", line 6 in spin\n'
        f'  File "{here}", line 1 in call\n'
        f'  File "{threading.__file__}", line 982 in run\n'
        "\n"
        "Current thread 0x2 (most recent call first):\n"
        f'  File "{here}", line 2 in wait\n'
        f'  File "{here}", line 3 in run\n'
        '  File "<frozen runpy>", line 88 in _run_code\n'
    )
    assert shortened(dump) == (
        "Thread 0x1 (most recent call first):\n"
        '  File "/srv/app.py", line 6 in spin\n'
        "\n"
        "Current thread 0x2 (most recent call first):\n"
        f'  File "{here}", line 2 in wait\n'
    )

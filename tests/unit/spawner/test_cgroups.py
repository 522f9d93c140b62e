"""In which cgroup the next program is born, over plain files: the kernel's part is in
tests/system/test_cgi_cgroups.py, and pids.max, for which not every machine has the controller, is
seen here only by what is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.spawner.cgroup import Cgroup, Made
from forkd.spawner.cgroups import Cgroups
from tests.unit.stepped import SteppedLoop

Job = Callable[[], None]
Done = Callable[[OSError | None], None]


class Slow:
    """A mover that does nothing until it is told to."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, Done]] = []

    def do(self, job: Job, done: Done) -> None:
        self.jobs.append((job, done))

    def work(self) -> None:
        """Do all that waits, and what comes of it."""
        while self.jobs:
            job, done = self.jobs.pop(0)
            error = None
            try:
                job()
            except OSError as fault:
                error = fault
            done(error)


class World:
    """Some cgroups made of files, and who says to be in them."""

    def __init__(self, directory: Path, loop: SteppedLoop, number: int, most: int | None) -> None:
        self.loop = loop
        self.mover = Slow()
        self.ready = 0
        made = Made(
            tuple(self._make(directory / str(one), most) for one in range(number)),
            self._make(directory / "left", most),
            os.open(directory / "home", os.O_WRONLY | os.O_CREAT),
            most is not None,
        )
        self.home = directory / "home"
        self.made = made
        self.cgroups = Cgroups(loop, made, most, self.mover.do, self._on_ready)

    @staticmethod
    def _make(path: Path, most: int | None) -> Cgroup:
        path.mkdir()
        for name in ("cgroup.procs", "cgroup.kill", "pids.max"):
            (path / name).touch()
        return Cgroup.make(path, counts=most is not None)

    def next(self) -> Cgroup | None:
        return self.cgroups.next

    def _on_ready(self) -> None:
        self.ready += 1

    def put(self, cgroup: Cgroup, *pids: int) -> None:
        (cgroup.path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def close(self) -> None:
        for descriptor in self.made.descriptors:
            os.close(descriptor)


Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path, loop: SteppedLoop, no_descriptor_leaks: None) -> Iterator[Make]:  # noqa: ARG001 for what it checks
    worlds: list[World] = []

    def made(number: int = 3, most: int | None = None) -> World:
        directory = tmp_path / str(len(worlds))
        directory.mkdir()
        worlds.append(World(directory, loop, number, most))
        worlds[-1].cgroups.enter()
        return worlds[-1]

    yield made
    for world in worlds:
        world.close()


def written(path: Path) -> str:
    """All that was written: a kernel's file takes each write as a whole, a plain one goes on."""
    return path.read_text()


def test_the_spawner_is_in_the_first_one_before_the_first_order(make: Make) -> None:
    world = make()
    first = world.next()
    assert first is world.made.free[0]
    assert written(first.path / "cgroup.procs") == "0"


def test_no_program_is_started_while_the_spawner_is_on_its_way(make: Make) -> None:
    world = make()
    taken = world.cgroups.take()
    assert world.next() is None
    assert world.ready == 0
    world.mover.work()
    assert world.ready == 1
    assert world.next() is world.made.free[1]
    assert taken is world.made.free[0]


def test_a_cgroup_serves_again_when_its_program_is_over(make: Make) -> None:
    world = make(number=2)
    first = world.cgroups.take()
    world.mover.work()
    world.put(first)
    world.cgroups.release(first, killed=False)
    second = world.cgroups.take()
    world.mover.work()
    assert world.next() is first
    assert second is not first


def test_one_is_not_given_back_while_the_spawner_is_still_in_it(make: Make) -> None:
    world = make(number=1)
    taken = world.cgroups.take()
    world.put(taken)
    world.cgroups.release(taken, killed=False)
    assert world.next() is None
    world.mover.work()
    assert written(world.home) == "0", "it has been away"
    assert world.next() is taken


def test_where_none_is_free_the_spawner_waits_outside(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    world = make(number=1)
    taken = world.cgroups.take()
    world.mover.work()
    assert world.next() is None
    assert written(world.home) == "0"
    assert caplog.messages == [
        "all 1 cgroups are in use: the next program waits until another one is over"
    ]
    assert not taken.holds_us
    world.put(taken)
    world.cgroups.release(taken, killed=False)
    world.mover.work()
    assert world.next() is taken
    assert world.ready == 1


def test_what_is_left_behind_is_put_aside(make: Make) -> None:
    world = make(number=2)
    taken = world.cgroups.take()
    world.mover.work()
    world.put(taken, 4711, 4712)
    world.cgroups.release(taken, killed=False)
    world.loop.pass_time(1)
    world.mover.work()
    assert written(world.made.kept.path / "cgroup.procs").startswith("47114712")
    assert written(taken.path / "cgroup.kill") == ""
    world.put(taken)
    world.loop.pass_time(1)
    world.cgroups.take()
    world.mover.work()
    assert world.next() is taken


def test_what_is_left_behind_is_put_aside_when_the_spawner_leaves(make: Make) -> None:
    world = make(number=3)
    for pid, killed in ((4711, False), (4712, True)):
        taken = world.cgroups.take()
        world.mover.work()
        world.put(taken, pid)
        world.cgroups.release(taken, killed=killed)
    world.cgroups.close()
    assert written(world.made.kept.path / "cgroup.procs") == "4711"


def test_what_cannot_be_limited_any_more_has_been_left_all_the_same(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Or the spawner would be taken to be elsewhere, and be killed with a program."""
    world = make(number=2, most=5)
    taken = world.cgroups.take()
    limit, taken.most = taken.most, os.open(os.devnull, os.O_RDONLY)
    world.mover.work()
    os.close(taken.most)
    taken.most = limit
    assert world.next() is world.made.free[1]
    assert not taken.holds_us
    assert caplog.messages == [f"{taken.path}: cannot be limited: Bad file descriptor"]


def test_who_lives_on_after_a_kill_is_killed_again(make: Make) -> None:
    world = make(number=2)
    taken = world.cgroups.take()
    world.mover.work()
    world.put(taken, 4711)
    world.cgroups.release(taken, killed=True)
    world.loop.pass_time(1)
    assert set(written(taken.path / "cgroup.kill")) == {"1"}
    assert not world.mover.jobs, "nobody is put aside"


def test_processes_are_limited_and_the_spawner_does_not_count(make: Make) -> None:
    world = make(number=2, most=7)
    limits = [cgroup.path / "pids.max" for cgroup in world.made.free]
    assert written(limits[0]) == "10", "the program's, and three threads of the spawner"
    assert written(world.made.kept.path / "pids.max") == "7"
    world.cgroups.take()
    world.mover.work()
    assert written(limits[0]) == "107", "10, and then 7"
    assert written(limits[1]) == "10"


def test_of_counted_programs_no_more_is_put_aside_than_one_may_have(make: Make) -> None:
    """Or by leaving them behind a program could have as many as it likes."""
    world = make(number=3, most=2)
    taken = world.cgroups.take()
    world.mover.work()
    world.put(world.made.kept, 4001)
    world.put(taken, 4711, 4712)
    kept = world.made.kept.path / "cgroup.procs"
    world.cgroups.release(taken, killed=False)
    world.loop.pass_time(1)
    world.mover.work()
    assert written(kept) == "4001\n"
    world.put(taken, 4711)
    world.loop.pass_time(1)
    world.mover.work()
    assert written(kept).startswith("4711")


def test_of_programs_that_end_at_once_no_more_is_put_aside_either(make: Make) -> None:
    world = make(number=4, most=1)
    for pid in (4711, 4712):
        taken = world.cgroups.take()
        world.mover.work()
        world.put(taken, pid)
        world.cgroups.release(taken, killed=False)
    world.loop.pass_time(0.4)
    kept = world.made.kept.path / "cgroup.procs"
    assert len(world.mover.jobs) == 2
    world.mover.jobs.pop(0)[0]()
    assert written(kept) == "4711"
    world.mover.jobs.pop(0)[0]()
    assert written(kept) == "4711"


def test_a_move_that_fails_is_tried_again(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(number=3)
    world.cgroups.take()
    write = os.write

    def fail(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(os, "write", fail)
    world.mover.work()
    assert world.next() is None
    assert caplog.messages == ["cannot move to the next cgroup: Cannot allocate memory"]
    monkeypatch.setattr(os, "write", write)
    world.loop.pass_time(1.5)
    world.mover.work()
    assert world.next() is not None
    assert world.ready == 1


def test_a_process_that_may_not_move_says_so_at_its_start(
    tmp_path: Path, loop: SteppedLoop
) -> None:
    world = World(tmp_path, loop, 1, None)
    (closed,) = world.made.free
    unwritable = os.open(closed.path / "cgroup.procs", os.O_RDONLY)
    made = replace(world.made, free=(replace(closed, procs=unwritable),))
    with pytest.raises(OperationError, match=r"cannot move to the cgroup .*/0: "):
        Cgroups(loop, made, None, world.mover.do, lambda: None).enter()
    os.close(unwritable)
    world.close()


def test_while_the_spawner_is_in_it_a_cgroup_is_not_killed_as_a_whole(tmp_path: Path) -> None:
    """It would kill the spawner."""
    for name in ("cgroup.procs", "cgroup.kill"):
        (tmp_path / name).touch()
    cgroup = Cgroup.make(tmp_path, counts=False)
    pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n{pid}\n0\n")
    assert cgroup.members() == [pid]
    cgroup.holds_us = True
    cgroup.kill()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    assert written(tmp_path / "cgroup.kill") == ""
    cgroup.holds_us = False
    cgroup.kill()
    assert written(tmp_path / "cgroup.kill") == "1"
    for descriptor in cgroup.descriptors:
        os.close(descriptor)

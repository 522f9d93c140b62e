"""Whatever happens in whatever order, there end up the right children and no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forkd.master.generation import TEMPLATES
from forkd.master.lifecycle import State
from tests.unit.master.test_lifecycle import SPAWNERS, WORKERS
from tests.unit.master.world import Full, World

FULL = st.fixed_dictionaries(
    {WORKERS: st.integers(1, 4)},
    optional={SPAWNERS: st.integers(1, 2), TEMPLATES: st.just(1)},
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("ready"), st.integers(0, 9)),
        st.tuples(st.just("ready"), st.integers(0, 9)),
        st.tuples(st.just("die"), st.integers(0, 9)),
        st.tuples(st.just("hang"), st.integers(0, 9)),
        st.tuples(st.just("retire"), st.integers(0, 9)),
        st.tuples(st.just("reload"), FULL),
        st.tuples(st.just("time"), st.floats(0.0, 40.0)),
    ),
    max_size=40,
)
Events = list[tuple[str, object]]


def play(world: World, events: Events) -> None:
    for what, argument in events:
        children = list(world.children.values())
        if what == "ready":
            children = [child for child in children if child.state is State.STARTING]
        if what == "reload":
            assert isinstance(argument, dict)
            world.reload(argument)
        elif what == "time":
            assert isinstance(argument, float)
            world.pass_time(argument)
        elif children:
            assert isinstance(argument, int)
            slot = children[argument % len(children)].slot
            match what:
                case "ready":
                    world.become_ready(slot)
                case "die":
                    world.die(slot)
                case "retire":
                    world.retire(slot)
                case _:
                    world.hung[slot] = 20.0
                    world.step()


def come_to_rest(world: World) -> None:
    """From here on newcomers become ready; nobody who is to go does so unless he is killed."""
    for _ in range(400):
        starting = [slot for slot, one in world.children.items() if one.state is State.STARTING]
        if starting:
            world.become_ready(starting[0])
        else:
            world.pass_time(1.0)


@given(full=FULL, events=EVENTS)
def test_in_the_end_one_generation_is_complete_and_all_others_are_gone(
    full: Full, events: Events
) -> None:
    world = World.begin(full)
    play(world, events)
    come_to_rest(world)
    if world.stopping:
        assert world.children == {}, "the first generation failed, so nobody is left"
        return
    assert world.incoming is None
    assert world.live is not None
    number, wanted = world.live
    found: dict[object, int] = {}
    for child in world.children.values():
        assert (child.generation, child.state) == (number, State.READY)
        found[child.pool] = found.get(child.pool, 0) + 1
    assert found == wanted


@given(full=FULL, events=EVENTS, later=EVENTS)
def test_a_stop_leaves_nobody_behind(full: Full, events: Events, later: Events) -> None:
    world = World.begin(full)
    play(world, events)
    last = world.last_slot
    world.stop()
    play(world, later)
    assert world.last_slot == last, "nobody is started any more"
    world.pass_time(100)
    assert world.children == {}


@given(full=FULL, reloaded=FULL, ready=st.integers(0, 6), victim=st.integers(0, 9))
def test_a_reload_that_fails_leaves_the_old_generation_untouched(
    full: Full, reloaded: Full, ready: int, victim: int
) -> None:
    world = World.begin(full)
    come_to_rest(world)
    before = dict(world.children)
    world.reload(reloaded)
    for _ in range(ready):
        assert {slot: world.children[slot] for slot in before} == before
        starting = [slot for slot, one in world.children.items() if one.state is State.STARTING]
        world.become_ready(starting[0])
        if world.incoming is None:
            return  # it has not failed
    newcomers = world.children.keys() - before.keys()
    world.die(sorted(newcomers)[victim % len(newcomers)])
    assert {slot: world.children[slot] for slot in before} == before
    come_to_rest(world)
    assert world.children == before


def test_a_pool_that_always_dies_at_its_start_is_started_seldom() -> None:
    world = World.begin({WORKERS: 1})
    come_to_rest(world)
    world.die(next(iter(world.children)))
    starts = world.last_slot
    for _ in range(600):
        for child in list(world.children.values()):
            world.die(child.slot)
        world.pass_time(1.0)
    assert 20 <= world.last_slot - starts <= 26, "1, 2, 4, 8, 16 and then every 30 seconds"

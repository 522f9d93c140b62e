"""What a reload opens, keeps, closes and refuses."""

from __future__ import annotations

from forkd.config.load import load_text
from forkd.config.plan import plan_reload
from forkd.config.settings import Settings


def settings(top: str) -> Settings:
    return load_text(top + "\nsites: [{routes: {/: {respond: x}}}]", "/forkd.yaml", {})


def test_listeners_are_opened_kept_and_closed_by_address() -> None:
    plan = plan_reload(
        settings("listen: [127.0.0.1:1, 127.0.0.1:2]"),
        settings("listen: [127.0.0.1:3, localhost:2]"),
    )
    assert [str(address) for address in plan.open] == ["127.0.0.1:3"]
    assert [str(address) for address in plan.keep] == ["127.0.0.1:2"]
    assert [str(address) for address in plan.close] == ["127.0.0.1:1"]
    assert plan.refused == ()


def test_a_listener_is_kept_when_only_its_options_differ() -> None:
    plan = plan_reload(
        settings("listen: unix:/s"), settings("listen: {address: unix:/s, mode: 0600}")
    )
    assert [str(address) for address in plan.keep] == ["unix:/s"]
    assert plan.open == plan.close == ()


def test_udp_has_ports_of_its_own() -> None:
    plan = plan_reload(
        settings("listen: 127.0.0.1:1"),
        settings("listen: [127.0.0.1:1, {address: '127.0.0.1:1', protocol: udp, handler: 'm:C'}]"),
    )
    assert [str(address) for address in plan.keep] == ["127.0.0.1:1"]
    assert [str(address) for address in plan.open] == ["127.0.0.1:1"]
    assert plan.refused == ()


def test_a_socket_for_connections_does_not_become_one_for_datagrams() -> None:
    handler = "handler: 'm:C'"
    before = settings(
        f"listen: [unix:/s, {{address: fd:a, protocol: udp, {handler}}}, "
        f"{{address: unix:/t, protocol: tcp, {handler}}}]"
    )
    after = settings(f"listen: [{{address: unix:/s, protocol: udp, {handler}}}, fd:a, unix:/t]")
    assert plan_reload(before, after).refused == (
        "listen cannot change between datagrams and connections at unix:/s by a reload "
        "(take another path, or stop forkd and start it again)",
        "listen cannot change between datagrams and connections at fd:a by a reload "
        "(take another name, or stop forkd and start it again)",
    )


def test_the_places_of_control_socket_and_pid_file_cannot_change() -> None:
    plan = plan_reload(settings("control: /a"), settings("control: /b\npid_file: /p"))
    assert plan.refused == (
        "control cannot change by a reload: it is /a "
        "(keep it, or stop forkd and start it again with /b)",
        "pid_file cannot change by a reload: it is not set "
        "(keep it, or stop forkd and start it again with /p)",
    )


def test_the_user_of_the_workers_can_change() -> None:
    assert plan_reload(settings("user: root"), settings("")).refused == ()

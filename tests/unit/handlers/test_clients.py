"""Which clients allow and deny let in."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.config.networks import parse_network
from forkd.handlers.clients import Clients


def clients(allow: str = "", deny: str = "") -> Clients:
    return Clients(map(parse_network, allow.split()), map(parse_network, deny.split()))


V4, V6, UNIX = "10.1.2.3", "2001:db8::1", ""


@pytest.mark.parametrize(
    ("allow", "deny", "in_", "out"),
    [
        ("10.0.0.0/8", "", [V4, "::ffff:10.1.2.3"], [V6, UNIX, "11.0.0.1", "9.255.255.255"]),
        ("", "10.0.0.0/8", [V6, UNIX, "11.0.0.1"], [V4, "::ffff:10.1.2.3"]),
        ("10.0.0.0/8", "10.1.2.3", ["10.1.2.4"], [V4, V6]),
        ("10.1.2.3", "10.0.0.0/8", [V4], ["10.1.2.4", V6, "11.0.0.1"]),
        ("10.1.2.3", "10.1.2.3", [], [V4, V6]),
        ("10.1.2.3", "all", [V4], ["10.1.2.4", V6, UNIX]),
        ("all", "10.0.0.0/8 10.1.2.3", [V6, UNIX, "11.0.0.1"], [V4, "10.0.0.1"]),
        ("all", "all", [], [V4, V6, UNIX]),
        ("all", "", [V4, V6, UNIX], []),
        ("", "all", [], [V4, V6, UNIX]),
        ("unix:", "", [UNIX], [V4, V6, "127.0.0.1"]),
        ("", "unix:", [V4, V6], [UNIX]),
        ("0.0.0.0/0", "", [V4], [V6, UNIX]),
        ("::/0", "", [V6], [V4, UNIX]),
        ("2001:db8::/32 ::1", "2001:db8::/64", ["::1", "2001:db8:1::1"], [V6, V4]),
        ("10.0.0.0/8 10.1.2.0/24", "10.1.0.0/16", [V4, "10.2.0.1"], ["10.1.3.1"]),
        ("fe80::/10", "", ["fe80::1%eth0"], ["fec0::1"]),
    ],
)
def test_the_most_specific_entry_decides(
    allow: str, deny: str, in_: list[str], out: list[str]
) -> None:
    rules = clients(allow, deny)
    for _ in range(2):  # the second time it is remembered
        assert [one for one in in_ if not rules.welcome(one)] == []
        assert [one for one in out if rules.welcome(one)] == []


def network(first: int, length: int) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network((first, length), strict=False)


# Few bits, so that networks and clients often meet.
NETWORKS = st.lists(
    st.builds(network, st.sampled_from([number << 28 for number in range(16)]), st.integers(0, 4)),
    max_size=6,
)


@given(NETWORKS, NETWORKS, st.integers(0, 15))
def test_it_is_what_looking_at_all_entries_gives(
    allow: list[ipaddress.IPv4Network], deny: list[ipaddress.IPv4Network], number: int
) -> None:
    client = ipaddress.IPv4Address(number << 28)
    holding = [(one.prefixlen, 1, False) for one in deny if client in one]
    holding += [(one.prefixlen, 0, True) for one in allow if client in one]
    expected = max(holding)[2] if holding else not allow
    rules = clients(" ".join(map(str, allow)), " ".join(map(str, deny)))
    assert rules.welcome(str(client)) == expected


def test_what_is_remembered_is_bounded() -> None:
    rules = clients("10.0.0.0/8")
    for number in range(10_000):
        assert rules.welcome(str(ipaddress.IPv4Address(0x0A000000 + number)))
    assert len(rules._known) <= 4096

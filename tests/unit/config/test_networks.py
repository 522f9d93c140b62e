"""The clients that allow and deny mean."""

from __future__ import annotations

import pytest

from forkd.config.networks import ALL, UNIX, Family, Network, client_number, parse_network


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("all", ALL),
        ("unix:", UNIX),
        ("192.0.2.7", Network(Family.IPV4, 0xC0000207, 32)),
        ("10.0.0.0/8", Network(Family.IPV4, 0x0A000000, 8)),
        ("10.0.0.0/255.0.0.0", Network(Family.IPV4, 0x0A000000, 8)),
        ("0.0.0.0/0", Network(Family.IPV4, 0, 0)),
        ("::1", Network(Family.IPV6, 1, 128)),
        ("2001:db8::/32", Network(Family.IPV6, 0x20010DB8 << 96, 32)),
        ("::/0", Network(Family.IPV6, 0, 0)),
        ("::ffff:192.0.2.7", Network(Family.IPV4, 0xC0000207, 32)),
        ("::ffff:10.0.0.0/104", Network(Family.IPV4, 0x0A000000, 8)),
        ("::ffff:0:0/96", Network(Family.IPV4, 0, 0)),
    ],
)
def test_what_can_be_written(written: str, meant: Network) -> None:
    assert parse_network(written) == meant


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("10.0.0.1/8", "(write 10.0.0.0/8)"),
        ("2001:db8::1/32", "(write 2001:db8::/32)"),
        ("10.0.0.1:80", "(write 10.0.0.1)"),
        ("[::1]:80", "(write ::1)"),
        ("localhost", '(write 127.0.0.1 and "::1")'),
        ("unix:/run/x.sock", "(write unix: for the clients of every Unix socket)"),
        ("All", "(did you mean all?)"),
        ("example.org", "not 'example.org'"),
        ("fe80::1%eth0", "not 'fe80::1%eth0'"),
        ("10", "not '10'"),
        (["10.0.0.1"], "not a list"),
        (None, "not nothing"),
    ],
)
def test_what_cannot_be_written_is_told_with_what_to_write(written: object, advice: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as") as error:
        parse_network(written)
    assert str(error.value).endswith(advice)


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("", (Family.UNIX, 0)),
        ("127.0.0.1", (Family.IPV4, 0x7F000001)),
        ("::1", (Family.IPV6, 1)),
        ("::ffff:127.0.0.1", (Family.IPV4, 0x7F000001)),
        ("fe80::1%eth0", (Family.IPV6, (0xFE80 << 112) + 1)),
    ],
)
def test_addresses_are_taken_as_the_kernel_gives_them(
    address: str, number: tuple[Family, int]
) -> None:
    assert client_number(address) == number

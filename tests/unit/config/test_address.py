"""Addresses of listeners."""

from __future__ import annotations

import pytest

from forkd.config.address import Address, FdAddress, TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address", "canonical"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080), "127.0.0.1:8080"),
        ("127.0.0.1:0", TcpAddress("127.0.0.1", 0), "127.0.0.1:0"),
        ("[::1]:8080", TcpAddress("::1", 8080), "[::1]:8080"),
        ("[0:0::0:1]:80", TcpAddress("::1", 80), "[::1]:80"),
        ("localhost:80", TcpAddress("127.0.0.1", 80), "127.0.0.1:80"),
        ("*:80", TcpAddress("0.0.0.0", 80), "0.0.0.0:80"),
        ("8080", TcpAddress("0.0.0.0", 8080), "0.0.0.0:8080"),
        ("unix:/run/x.sock", UnixAddress("/run/x.sock"), "unix:/run/x.sock"),
        ("unix:run/x.sock", UnixAddress("/srv/run/x.sock"), "unix:/srv/run/x.sock"),
        ("unix:../x.sock", UnixAddress("/x.sock"), "unix:/x.sock"),
        ("fd:http", FdAddress("http"), "fd:http"),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address, canonical: str) -> None:
    assert parse_address(text, "/srv") == address
    assert str(address) == canonical
    assert parse_address(canonical, "/elsewhere") == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("example.org:80", "not 'example.org' (write for example 127.0.0.1:80)"),
        ("127.0.0.1", "a port after the address (write 127.0.0.1:8080)"),
        ("[::1]", "a port after the address (write [::1]:8080)"),
        ("::1:80", "in brackets (write [::1]:80)"),
        ("[127.0.0.1]:80", "(write 127.0.0.1:80)"),
        ("[fe80::1%eth0]:80", "expected an IP address"),
        (":80", "(write *:80 for every address)"),
        ("65536", "expected an address such as"),
        ("127.0.0.1:-1", "expected an address such as"),
        ("127.0.0.1:٨", "expected an address such as"),
        ("", "expected an address such as"),
        ("http://127.0.0.1:80", "not a URL"),
        ("unix:@name", "abstract unix sockets are not supported"),
        ("unix:/run/", "expected the path of a socket"),
        ("unix:/" + "x" * 107, "at most 107 bytes, this one has 108"),
        ("unix:/" + "ü" * 54, "at most 107 bytes, this one has 109"),
        ("fd:", "the name of a systemd socket"),
        ("fd:a:b", "the name of a systemd socket"),
    ],
)
def test_what_is_no_address_is_refused_with_advice(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text, "/srv")
    assert message in str(caught.value)


def test_the_longest_path_of_a_unix_socket_is_accepted() -> None:
    assert parse_address("unix:/" + "x" * 106, "/") == UnixAddress("/" + "x" * 106)

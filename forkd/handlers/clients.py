"""`allow` and `deny`: which clients a route answers.

The most specific of the networks that hold a client decides, whatever list it is in and wherever it
stands there; of two equal ones, that of `deny`. A client that is in none is answered where `allow`
is empty. So the order of the lists says nothing, and nothing can be undone by a line further down.
"""

from __future__ import annotations

from collections.abc import Iterable

from forkd.config.networks import ALL, Family, Network, client_number

_REMEMBERED = 4096


class Clients:
    """Some are welcome, the others are not."""

    def __init__(self, allow: Iterable[Network], deny: Iterable[Network]) -> None:
        allowed, denied = tuple(allow), tuple(deny)
        self._otherwise = ALL not in denied and (not allowed or ALL in allowed)
        tables: dict[tuple[Family, int], dict[int, bool]] = {}
        # Those of `deny` come last, so that they stay where both say the same network.
        for networks, verdict in ((allowed, True), (denied, False)):
            for network in networks:
                if network != ALL:
                    table = tables.setdefault((network.family, network.length), {})
                    table[network.first >> (network.family.value - network.length)] = verdict
        self._tables = sorted(tables.items(), key=lambda item: -item[0][1])
        """The longest prefixes first."""
        self._known: dict[str, bool] = {}

    def welcome(self, address: str) -> bool:
        """Whether a client is answered. address: as Peer has it, empty for a Unix socket."""
        verdict = self._known.get(address)
        if verdict is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            verdict = self._known[address] = self._judge(address)
        return verdict

    def _judge(self, address: str) -> bool:
        family, number = client_number(address)
        for (of, length), table in self._tables:
            if of is family:
                verdict = table.get(number >> (family.value - length))
                if verdict is not None:
                    return verdict
        return self._otherwise

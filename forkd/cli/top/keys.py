"""From the bytes of a terminal to keys. Pure; what a sequence means is in console_codes(4)."""

from __future__ import annotations

_NAMED = {
    b"\r": "enter",
    b"\n": "enter",
    b"\x03": "q",
    b"\x1a": "suspend",
    b"\x1b": "escape",
}
_SEQUENCES = {
    b"A": "up",
    b"B": "down",
    b"H": "home",
    b"F": "end",
    b"1~": "home",
    b"4~": "end",
    b"5~": "pageup",
    b"6~": "pagedown",
}


class Keys:
    """Keeps the beginning of a sequence of which the rest is still on its way."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def incomplete(self) -> bool:
        """Whether the bytes so far may be the Escape key, or the beginning of another."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[str]:
        """The keys that data ends. A key is one character or a name; unknown ones are "unknown"."""
        self._buffer += data
        keys = []
        while self._buffer:
            length = _length(self._buffer)
            if length is None:
                break
            token, self._buffer = self._buffer[:length], self._buffer[length:]
            keys.append(_name(token))
        return keys

    def flush(self) -> list[str]:
        """Nothing more has come: what is there was the Escape key."""
        waiting, self._buffer = self._buffer, b""
        return ["escape"] if waiting else []


def _length(data: bytes) -> int | None:
    """Of the first key; None where more must come to know it."""
    if data[:1] != b"\x1b":
        return 1
    if len(data) == 1:
        return None
    if data[1:2] == b"O":  # SS3: one character follows
        return 3 if len(data) >= 3 else None
    if data[1:2] != b"[":
        return 1  # the Escape key, and another one after it
    for index in range(2, len(data)):
        if 0x40 <= data[index] <= 0x7E:  # ECMA-48 §5.4: the final byte
            return index + 1
    return None


def _name(token: bytes) -> str:
    if token in _NAMED:
        return _NAMED[token]
    if token[:1] == b"\x1b":
        return _SEQUENCES.get(token[2:], "unknown")
    return token.decode("ascii", "replace") if 0x20 <= token[0] < 0x7F else "unknown"

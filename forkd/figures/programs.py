"""What the CGI programs of a route have used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Programs:
    """Those that have ended, all together."""

    ended: int = 0
    cpu_s: float = 0.0
    peak_memory: int = 0
    """Bytes that the largest of them has taken at most."""

    def note(self, cpu_s: float, peak_memory: int) -> None:
        """One more has ended."""
        self.ended += 1
        self.cpu_s += cpu_s
        self.peak_memory = max(self.peak_memory, peak_memory)

    def add(self, other: Programs) -> None:
        """All of another route or worker."""
        self.ended += other.ended
        self.cpu_s += other.cpu_s
        self.peak_memory = max(self.peak_memory, other.peak_memory)

    def copy(self) -> Programs:
        return Programs(self.ended, self.cpu_s, self.peak_memory)

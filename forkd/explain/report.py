"""What is found out about a URL: facts in the order in which they come up, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field


class Ends(Exception):
    """The request goes no further: `status` answers it. None: what runs then decides."""

    def __init__(self, status: int | None, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(slots=True)
class Report:
    """Names and values for a person, and the end."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    status: int | None = None
    result: str = ""

    def say(self, name: str, value: object) -> None:
        self.facts.append((name, str(value)))

    def end(self, how: Ends) -> None:
        """Errors are failures; redirections and all that succeeds are answers."""
        self.status = how.status
        if how.status is None:
            self.result = f"would be answered by {how.text}"
        elif how.status >= 400:
            self.result = f"would fail: {how.status} {how.text}"
        else:
            self.result = f"would be answered with {how.status} {how.text}"

    def answer(self) -> dict[str, object]:
        """For the control socket."""
        return {"facts": self.facts, "status": self.status, "result": self.result}

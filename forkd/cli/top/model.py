"""What `forkd top` knows: the figures, the state of the screen, and why there is nothing newer.
Pure: answers and keys come in, effects go out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import assert_never

from forkd.cli.client import not_there
from forkd.cli.top.figures import Answer, Figures, History, compare
from forkd.cli.top.view import AskReload, AskStack, Effect, View, ordered, press, show_stack
from forkd.cli.words import age

NOT_UNDERSTOOD = (
    "the forkd that runs here says what this version of `forkd top` does not understand"
)


class Model:
    """Times are monotonic seconds, but for what is in answers."""

    def __init__(self, path: Path, interval: float, first: Answer, now: float) -> None:
        """Raises KeyError, TypeError or ValueError where the first answer is not understood."""
        self.figures: Figures = compare(first, now, None)
        self.history = History.every(interval)
        self.view = View()
        self._path = path
        self._problem = ""

    def problem(self, now: float) -> str:
        """Why there are no newer figures, and how old these are; empty where all is well."""
        return self._problem and f"{self._problem} (last answer {age(now - self.figures.at)} ago)"

    def pressed(self, key: str) -> Effect | None:
        self.view, effect = press(self.view, key, ordered(self.figures.workers, self.view.sort))
        return effect

    def told_status(self, answer: Answer, now: float) -> None:
        """An answer to `status`."""
        try:
            self.figures = compare(answer, now, self.figures)
        except (KeyError, TypeError, ValueError):
            self._problem = NOT_UNDERSTOOD
            return
        self._problem = ""
        if self.figures.rates.requests is not None:
            self.history.add(self.figures.rates.requests, now)

    def status_failed(self, error: Exception) -> None:
        """No answer to `status`. The figures stay: they are what was before."""
        self._problem = self._why(error)

    def told(self, effect: AskStack | AskReload, answer: Answer) -> None:
        """An answer to what a key has asked for."""
        done = bool(answer.get("ok"))
        reasons = [str(reason) for reason in answer.get("reasons") or ()]
        match effect:
            case AskStack(slot):
                lines = str(answer.get("stacks", "")).splitlines() if done else reasons
                self.view = show_stack(self.view, slot, lines or ["forkd did not say"])
            case AskReload():
                # What is in figures is of before: the generation comes with the next look.
                said = "reloaded" if done else "reload failed: " + "; ".join(reasons)
                self.view = replace(self.view, notice=said)
            case _:
                assert_never(effect)

    def failed(self, effect: AskStack | AskReload, error: Exception) -> None:
        """No answer to what a key has asked for."""
        self.told(effect, {"ok": False, "reasons": [self._why(error)]})

    def _why(self, error: Exception) -> str:
        if isinstance(error, FileNotFoundError | ConnectionError):
            return "nothing is running there any more"
        if isinstance(error, TimeoutError):
            return "the master does not answer"
        return not_there(self._path, error) if isinstance(error, OSError) else NOT_UNDERSTOOD

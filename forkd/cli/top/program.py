"""The loop of `forkd top`: waits for keys, for answers and for the next look, and draws."""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.control import Control

from forkd.cli.top.keys import Keys
from forkd.cli.top.model import Model
from forkd.cli.top.question import Question
from forkd.cli.top.screen import Frame, Scene
from forkd.cli.top.terminal import CharacterInput, suspend
from forkd.cli.top.view import AskReload, AskStack, Quit, Suspend

_STACK_S = 10.0
_STATUS_S = 3.0
"""A master answers at once; figures that are older than this are not to pass for those of now."""
_ESCAPE_S = 0.05
"""The rest of a sequence comes at once; the Escape key has none."""
_LOOK_AT_SIZE_S = 0.5

Asked = AskStack | AskReload | None
"""What a question is about; None for the figures."""


class Program:
    """Nothing in it waits for the master: the keys go on working while that one hangs."""

    def __init__(self, path: Path, interval: float, model: Model) -> None:
        self._path = path
        self._interval = interval
        self._model = model
        self._keys = Keys()
        self._pending: dict[Question, Asked] = {}
        self._next_look = time.monotonic() + interval
        self._changed = True

    def run(self, console: Console, descriptor: int) -> None:
        """Until somebody leaves. descriptor: of the terminal that keys come from."""
        try:
            while isinstance(self._on_screen(console, descriptor), Suspend):
                suspend()
                self._changed = True
        finally:
            for question in self._pending:
                question.close()

    def _on_screen(self, console: Console, descriptor: int) -> Quit | Suspend:
        with CharacterInput(descriptor), console.screen() as screen:
            size = console.size
            while True:
                if self._changed or size != console.size:
                    self._changed, size = False, console.size
                    with console:  # one write for the whole frame, so that nothing flickers
                        console.control(Control.home())
                        screen.update(Frame(self._scene(), self._model.view, size.height))
                if (leave := self._turn(descriptor)) is not None:
                    return leave

    def _scene(self) -> Scene:
        history = self._model.history
        return Scene(
            self._model.figures,
            tuple(history.columns),
            history.column_s,
            time.time(),
            self._model.problem(time.monotonic()),
        )

    def _turn(self, descriptor: int) -> Quit | Suspend | None:
        """Wait, and do what is due."""
        wakes = [self._next_look, *(question.deadline for question in self._pending)]
        longest = _ESCAPE_S if self._keys.incomplete else _LOOK_AT_SIZE_S
        wait = max(0.0, min(longest, min(wakes) - time.monotonic()))
        sources: list[int | Question] = [descriptor, *self._pending]
        ready, _, _ = select.select(sources, [], [], wait)
        now = time.monotonic()
        for question in list(self._pending):
            if question in ready or question.deadline <= now:
                self._listen(question, now)
        if now >= self._next_look:
            self._next_look = now + self._interval
            self._look()
        if descriptor in ready:
            return self._type(descriptor)
        return self._obey(self._keys.flush()) if self._keys.incomplete else None

    def _type(self, descriptor: int) -> Quit | Suspend | None:
        try:
            data = os.read(descriptor, 1024)
        except OSError:
            return Quit()  # EIO: the terminal has hung up
        return self._obey(self._keys.feed(data)) if data else Quit()

    def _obey(self, keys: list[str]) -> Quit | Suspend | None:
        for key in keys:
            self._changed = True
            match self._model.pressed(key):
                case AskStack(slot) as effect:
                    self._ask({"command": "stack", "worker": slot}, effect, _STACK_S)
                case AskReload() as effect:
                    # As long as it takes: whoever waits sees the workers come and go meanwhile.
                    self._ask({"command": "reload", "wait": True}, effect, math.inf)
                case Quit() | Suspend() as leave:
                    return leave
                case None:
                    pass
        return None

    def _look(self) -> None:
        if None in self._pending.values():
            self._changed = True  # the master is slow, and ages grow all the same
        else:
            self._ask({"command": "status"}, None, _STATUS_S)

    def _ask(self, request: Mapping[str, object], about: Asked, patience: float) -> None:
        try:
            question = Question(self._path, request, time.monotonic() + patience)
        except OSError as error:
            self._failed(about, error)
        else:
            self._pending[question] = about

    def _listen(self, question: Question, now: float) -> None:
        about = self._pending[question]
        answer: dict[str, Any] | None = None
        failure: Exception | None = None
        try:
            answer = question.read()
        except (OSError, ValueError) as error:
            failure = error
        if answer is None and failure is None:
            if now < question.deadline:
                return
            failure = TimeoutError()
        del self._pending[question]
        question.close()
        self._changed = True
        if failure is not None:
            self._failed(about, failure)
        elif answer is not None and about is None:
            self._model.told_status(answer, now)
        elif answer is not None and about is not None:
            self._model.told(about, answer)

    def _failed(self, about: Asked, error: Exception) -> None:
        self._changed = True
        if about is None:
            self._model.status_failed(error)
        else:
            self._model.failed(about, error)

"""`forkd replay ID`: a recorded request is ordered once more, from the spawners of its route.

Whoever asks hands over the program's ends of three pipes and a socket for its fate. What is to be
ordered is worked out in a process of its own; then it is an order like a worker's, and what becomes
of the program is told to whoever asked and to nobody else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence

from forkd.errors import ForkdError
from forkd.master.control import DESCRIPTORS as HANDED
from forkd.master.control import Reply
from forkd.master.generation import Generation
from forkd.master.inquiries import Answer, Inquiries, refusal
from forkd.spawner.orders import DESCRIPTORS
from forkd.system import messages


class Replays:
    """Orders programs for those who ask on the control socket."""

    def __init__(self, inquiries: Inquiries) -> None:
        self._inquiries = inquiries

    def begin(self, generation: Generation, request: Mapping[str, object], reply: Reply) -> None:
        """Reply when the order has been given, or with the reasons why it was not."""
        handed = request.get(HANDED)
        if (
            not isinstance(handed, tuple)
            or len(handed) != DESCRIPTORS
            or not stat.S_ISSOCK(os.fstat(handed[0]).st_mode)
        ):
            what = f"replay takes {DESCRIPTORS} descriptors, of which the first is a socket"
            reply({"ok": False, "reasons": [what]})
            return
        # They stay the session's, which closes them before the answer is there.
        try:
            kept = messages.copies_of(handed)
        except OSError as error:
            reply({"ok": False, "reasons": [f"cannot replay: {error.strerror}"]})
            return

        def done(found: Answer | ForkdError) -> None:
            try:
                reply(_order(generation, found, kept))
            finally:
                for descriptor in kept:
                    os.close(descriptor)

        self._inquiries.ask("replay", generation, request, done)


def _order(
    generation: Generation, found: Answer | ForkdError, descriptors: Sequence[int]
) -> dict[str, object]:
    """Give the order; the answer for whoever asked."""
    if isinstance(found, ForkdError):
        return refusal(found)
    # There are none any more where another generation has come meanwhile.
    orders = generation.orders.get(generation.policies[found["key"]])
    if orders is None:
        return {"ok": False, "reasons": ["forkd was reloaded meanwhile: ask again"]}
    try:
        messages.send(orders.workers_end, found["order"], descriptors)
    except BlockingIOError:
        return {"ok": False, "reasons": ["the spawners are behind with their work: try again"]}
    except OSError as error:
        return {"ok": False, "reasons": [f"the program cannot be ordered: {error.strerror}"]}
    return {"ok": True, "record": found["record"]}

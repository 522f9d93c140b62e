"""A mutation fuzzer for the daemon: broken requests over real sockets, then a look at the damage.

`python -m tests.fuzz --seconds 600` prints its seed; with `--seed` it sends the same conversations
again, with `--only` one of them. What becomes of a conversation depends on timing too, so a fault
may need more than one replay.
"""

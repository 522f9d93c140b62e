"""`python -m tests.fuzz [--seconds N] [--seed N] [--only NUMBER]`; exit 1 for a fault."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz.run import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to send (60)")
    parser.add_argument("--seed", type=int, help="of an earlier run, to send the same again")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="send this conversation alone")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    _say(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="forkd-fuzz-") as directory:
        findings = fuzz(Path(directory), options.seconds, seed, options.only, _say)
    for line in (*findings.faults, *findings.damage):
        _say(line)
    return 1 if findings.faults or findings.damage else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

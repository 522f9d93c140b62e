"""Real CGI programs under a real forkd, set up as the examples of docs/CGI.md say."""

from __future__ import annotations

import os
import re
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import yaml

from tests.system.applications import Client
from tests.system.daemon import DEADLINE_S, REPOSITORY
from tests.system.pages import Page
from tests.system.sites import open_to_all
from tests.system.tools import need

IDENTITIES = ("", "user: www-data") if os.geteuid() == 0 else ("",)
"""A line of the configuration. Programs run as whoever runs the tests; where that is root, they are
tried as another user too, and then in the sandbox that docs/CGI.md names for them."""

_BLOCK = re.compile(r"(?:^`(/[^`]+)`[^\n]*\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OF_THE_SITE = re.compile(r"(?<![\w/.])(?=/(?:srv|etc|var)/)")


@dataclass(frozen=True, slots=True)
class Example:
    """Routes, pattern -> action; and the text of each block that is given no place."""

    routes: dict[str, dict[str, Any]]
    texts: list[str]


def set_up(title: str, root: Path) -> Example:
    """Write the files of the example of that title. Its /srv, /etc and /var are those of `root`."""
    found = Example({}, [])
    for place, language, block in _BLOCK.findall(_section(title, root)):
        if language == "yaml":
            found.routes.update(yaml.safe_load(block))
        elif place:
            write(Path(place), block)
        else:
            found.texts.append(block)
    return found


def sandbox_of(title: str, root: Path) -> dict[str, Any]:
    """The sandbox that docs/CGI.md names for an example; none where the kernel has none."""
    pattern = rf"^\| {re.escape(title)} \| `(.*?)`"
    row = re.search(pattern, _section("What these need in a sandbox", root), re.MULTILINE)
    assert row is not None, title
    sandbox: dict[str, Any] = yaml.safe_load(row[1])["sandbox"]
    return sandbox | {"best_effort": True}


def _section(title: str, root: Path) -> str:
    text = (REPOSITORY / "docs" / "CGI.md").read_text("utf-8")
    _, heading, section = text.partition(f"\n### {title}\n")
    assert heading, f"docs/CGI.md has no example {title}"
    return _OF_THE_SITE.sub(str(root), re.split("^##", section, flags=re.MULTILINE)[0])


def write(path: Path, text: str) -> None:
    """Write a file, which can be run if it is a script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if text.startswith("#!") else 0o644)


def need_perl(module: str) -> None:
    """By the rule of need()."""
    command = [need("perl"), f"-M{module}", "-e1"]
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0:
        need(" ".join(command))  # no program has such a name, so this tells what is missing


def hand_over(directory: Path, identity: str) -> None:
    """Let a directory with all that is in it belong to the user that programs run as."""
    if identity:
        open_to_all(directory)
        user = identity.removeprefix("user: ")
        subprocess.run(["chown", "-R", user, str(directory)], check=True)


def run(*command: str | Path, home: Path, **env: str) -> str:
    """Run a client's program in its home to its end. Gives what it printed."""
    result = subprocess.run(
        command,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "USER": "someone"} | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 0, f"{command}:\n{result.stdout}"
    return result.stdout.strip()


def follow(client: Client, start: str, *, below: str, limit: int) -> dict[str, int]:
    """The status of a page and of the first ones below a path that links lead to, breadth first.

    A HEAD of the page is answered as a GET is.
    """
    found: dict[str, int] = {}
    waiting = deque([start])
    while waiting and len(found) < limit:
        path = waiting.popleft()
        if path in found:
            continue
        answer = client.get(path, allow_redirects=False)
        found[path] = answer.status_code
        kind = answer.headers.get("Content-Type", "")
        if path == start:
            head = client.head(path, allow_redirects=False)
            assert (head.status_code, head.headers["Content-Type"]) == (answer.status_code, kind)
            assert head.content == b""
        if kind.startswith("text/html"):
            links = (
                urldefrag(urljoin(answer.url, link)).url for _, link in Page(answer.text).links
            )
            waiting.extend(
                link.removeprefix(client.url)
                for link in links
                if link.startswith(client.url + below)
            )
    return found

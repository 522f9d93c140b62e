"""The configurations that a user is shown: the one that is delivered, and those of the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from forkd.config.cgi_route import CgiRoute
from forkd.config.load import load_text
from forkd.config.routes import ACTIONS
from forkd.errors import ConfigError
from tests.system.daemon import REPOSITORY, run_forkd

CONFIG = REPOSITORY / "conf" / "forkd.yaml"
DOCS = sorted((REPOSITORY / "docs").glob("*.md"))
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^( *)#(?=[^ \n]|  )", re.MULTILINE)

# What depends on the machine: files and users.
_OF_THE_MACHINE = re.compile(r"no such (file or )?(directory|user|group)|systemd")


def blocks() -> list[tuple[str, str]]:
    """(place, text) of each YAML block of the documentation."""
    found = []
    for path in DOCS:
        text = path.read_text("utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append((f"{path.name}:{line}", match[2]))
    return found


def complaints(text: str) -> list[str]:
    """What is wrong with a configuration on any machine."""
    try:
        load_text(text, REPOSITORY / "conf" / "example.yaml", {})
    except ConfigError as error:
        lines = [str(problem) for problem in error.problems]
        return [line for line in lines if not _OF_THE_MACHINE.search(line)]
    return []


def whole(text: str) -> str:
    """A configuration around a fragment: options of a route, routes, or blocks of the top."""
    data = yaml.safe_load(text)
    assert isinstance(data, dict), text
    keys = set(data)
    if "sites" in keys:
        return text
    if any(key.startswith(("/", "*")) for key in keys):
        return "sites:\n  - routes:\n" + _indented(text, 6)
    if keys & set(ACTIONS):
        return "sites:\n  - routes:\n      /:\n" + _indented(text, 8)
    if keys <= set(CgiRoute.model_fields):
        return "sites:\n  - routes:\n      /:\n        cgi: .\n" + _indented(text, 8)
    return f"{text}\nsites: [{{routes: {{/: {{respond: x}}}}}}]\n"


def _indented(text: str, width: int) -> str:
    lines = text.splitlines()
    least = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(" " * width + line[least:] for line in lines) + "\n"


def test_the_delivered_configuration_passes_the_check() -> None:
    result = run_forkd("-c", str(CONFIG), "-t")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{CONFIG}: ok\n", "")


def test_every_hidden_setting_of_the_delivered_configuration_can_be_used() -> None:
    text, count = HIDDEN.subn(r"\1", CONFIG.read_text("utf-8"))
    assert count > 30
    assert complaints(text) == []
    data = yaml.safe_load(text)
    assert data["log"]["access"]["format"] == "combined"
    assert [site.get("host") for site in data["sites"]][2] == "old.example.org"


@pytest.mark.parametrize(
    ("place", "text"), [pytest.param(place, text, id=place) for place, text in blocks()]
)
def test_a_configuration_in_the_documentation_is_right(place: str, text: str) -> None:
    assert complaints(whole(text)) == [], place


def test_a_wrong_configuration_would_be_found(tmp_path: Path) -> None:
    assert complaints(whole("listen: {port: 1}"))
    assert complaints(whole("/x/: {cgi: ., timout: 3s}"))
    assert complaints(whole("env: 3")), tmp_path

"""Applications of others under a real forkd; tests/apps/ has the module that makes each."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import requests

from tests.system.daemon import DEADLINE_S, REPOSITORY
from tests.system.tools import need_module

APPS = REPOSITORY / "tests" / "apps"

LARGE = bytes(range(251)) * 12_500
"""3 MB, with no period that a buffer could have."""


def need_package(name: str) -> None:
    """By the rule of need_module(), but what is there is not imported into the tests."""
    if find_spec(name) is None:
        need_module(name)


def wsgi_route(target: str, **env: Path | str) -> str:
    """The action of a route to module:callable of tests/apps/; env is what its module asks for."""
    variables = {name: str(value) for name, value in env.items()}
    return json.dumps({"wsgi": target, "path": str(APPS), "env": variables})


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Client(requests.Session):
    """A session with one server. What does not begin with http: is added to its URL."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.trust_env = False
        self.url = url

    # The options have names in every call here; the stub names each of them.
    def request(  # type: ignore[override]
        self, method: str, url: str, **options: Any
    ) -> requests.Response:
        options.setdefault("timeout", DEADLINE_S)
        absolute = url if url.startswith("http:") else self.url + url
        return super().request(method, absolute, **options)

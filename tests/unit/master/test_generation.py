"""What a generation needs of the machine before anything of it is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.child import Kind
from forkd.config.load import load_text
from forkd.config.settings import Settings
from forkd.errors import OperationError
from forkd.master.generation import Generation
from forkd.system.credentials import current_user


def settings(routes: str) -> Settings:
    return load_text(f"sites: [{{routes: {{{routes}}}}}]", "/forkd.yaml", {})


def test_only_root_can_have_programs_run_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    user = current_user()
    with pytest.raises(OperationError) as caught:
        Generation.open(1, settings("/own/: {cgi: /bin, user: daemon}"), None)
    assert str(caught.value) == (
        "sites.0.routes./own/.user: programs can run as daemon only where forkd is started as "
        f"root, and it was started by {user} (leave the key out, or start it as root)"
    )


def test_routes_share_spawners_where_the_same_is_imposed_on_their_programs() -> None:
    routes = (
        "/a/: {cgi: /bin}, /b/: {cgi: /usr, env: {A: b}, limits: {}}, "
        "/c/: {cgi: /bin, max_concurrent: 3}, /d/: {cgi: /bin, max_concurrent: 3}, "
        "/e/: {cgi: /bin, sandbox: true}"
    )
    generation = Generation.open(1, settings(routes), None)
    policies = [generation.policies[0, f"/{name}/"] for name in "abcde"]
    assert policies[0] == policies[1]
    assert len(set(policies)) == 4
    assert policies[4].sandbox is not None
    assert policies[4].sandbox.read == (Path("/bin"),)
    counts = {
        pool.policy: count for pool, count in generation.full().items() if pool.kind is Kind.SPAWNER
    }
    assert [counts[policy] for policy in policies[2:4]] == [1, 1]
    generation.retire()

"""What questions are answered about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from forkd.config.policy import RouteKey, SpawnPolicy
from forkd.config.settings import Settings
from forkd.system.credentials import Identity


@dataclass(frozen=True, slots=True)
class Serving:
    """What the generation that serves goes by."""

    settings: Settings
    workers: Identity | None
    """Whom the workers have become; None: nobody else than the master."""
    policies: Mapping[RouteKey, SpawnPolicy]
    programs: Mapping[SpawnPolicy, Identity | None]
    """Whom programs run as."""

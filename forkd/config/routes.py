"""The routes that can be written: one model for each action.

A new action is one model with its key in `action`, and one entry in Route.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic.functional_validators import BeforeValidator
from pydantic_core import PydanticCustomError

from forkd.config import fields, names, targets
from forkd.config.cgi_route import CgiRoute
from forkd.config.fields import OneOrMany, default, required
from forkd.config.route_options import (
    ROUTE_LATER,
    FieldValue,
    RouteOptions,
    Switch,
    Text,
    Variable,
)
from forkd.config.targets import Target
from forkd.config.words import describe, nearest, one_of, parse_choice

NO_CONTENT: Final = frozenset({204, 205, 304})
"""Statuses whose answers have no content, RFC 9110 section 15."""

REDIRECTS: Final = ("301", "302", "303", "307", "308")

LATER_ACTIONS: Final = ("fastcgi", "scgi")
_ALSO_AN_OPTION: Final = ("redirect", "respond")
"""Beside these actions `status` is a number."""


class StaticRoute(RouteOptions):
    """Files."""

    action = "static"
    later = ROUTE_LATER - {"compress"}

    static: Annotated[Path, fields.EXISTING] = required("The directory or file that is served.")
    index: Annotated[
        tuple[Annotated[str, fields.named(names.parse_index)], ...], OneOrMany("an index file")
    ] = default(["index.html"], "Files that answer for their directory, the first that is there.")
    listing: Switch = default(False, "Whether a directory without an index file is listed.")
    compress: Switch = default(
        False, "Whether text from 256 bytes to 64 KiB is compressed (gzip) for clients that ask."
    )
    cache_control: Annotated[str, fields.named(names.parse_cache_control)] | None = Field(
        default=None, description="The Cache-Control header of files; left out, none."
    )
    fallback: Annotated[str, fields.named(names.parse_own_target)] | None = Field(
        default=None,
        description="The path of this site that answers where no file is; left out, 404.",
    )
    follow_symlinks: Annotated[
        Literal["within", "owner", "all", "none"], fields.choice("within", "owner", "all", "none")
    ] = default("within", "Which symbolic links are followed: within, owner, all or none.")


RequestTimeout = Annotated[float, fields.duration()] | None
REQUEST_TIMEOUT: Final = Field(
    default=None,
    description="Seconds that a request may take; left out, workers.request_timeout.",
)


class ApplicationRoute(RouteOptions):
    """What applications that are imported into the workers have in common."""

    later = ROUTE_LATER - {"timeout"}

    path: Annotated[tuple[Annotated[Path, fields.DIRECTORY], ...], OneOrMany("a directory")] = (
        Field(default=(), description="Directories in which modules are looked for first.")
    )
    env: dict[Variable, Text] = default(
        {}, "Variables that are set before the application is imported."
    )
    timeout: RequestTimeout = REQUEST_TIMEOUT


class WsgiRoute(ApplicationRoute):
    """An application, PEP 3333."""

    action = "wsgi"

    wsgi: Annotated[
        Target, fields.named(targets.parse_callable, type="string", pattern=targets.PATTERN)
    ] = required("The application: module:callable, or module:factory() for what that returns.")


class HandlerRoute(ApplicationRoute):
    """A subclass of http.server.BaseHTTPRequestHandler."""

    action = "handler"

    handler: Annotated[
        Target, fields.named(targets.parse_class, type="string", pattern=targets.PATTERN)
    ] = required("The class: module:Class.")
    strip_prefix: Switch = default(
        False, "Whether the class sees paths without the prefix of the route."
    )


class PagesRoute(RouteOptions):
    """Python files that answer."""

    action = "pages"
    later = ROUTE_LATER - {"timeout"}

    pages: Annotated[Path, fields.DIRECTORY] = required(
        "The directory of pages: files NAME.py that define application."
    )
    timeout: RequestTimeout = REQUEST_TIMEOUT


def _redirect_status(value: object) -> int:
    return int(parse_choice(value, REDIRECTS))


class RedirectRoute(RouteOptions):
    """Another place."""

    action = "redirect"

    redirect: Annotated[str, fields.named(names.parse_target)] = required(
        "Where the client is sent: a path or an http(s) URL; below a prefix the rest is kept."
    )
    status: Annotated[
        int, fields.Kind(_redirect_status, {"enum": [int(status) for status in REDIRECTS]})
    ] = default(302, f"The status of the answer: {one_of(REDIRECTS)}.")


class RespondRoute(RouteOptions):
    """A fixed text."""

    action = "respond"

    respond: Text = required("The text of the answer.")
    status: Annotated[int, fields.whole(200, 599, "a status from 200 to 599")] = default(
        200, "The status of the answer, 200 to 599."
    )
    content_type: FieldValue = default("text/plain; charset=utf-8", "The type of the text.")

    @field_validator("status", mode="after")
    @classmethod
    def _content_is_allowed(cls, status: int, info: ValidationInfo) -> int:
        if status in NO_CONTENT and info.data.get("respond"):
            raise ValueError(f'an answer with status {status} has no text (write respond: "")')
        return status


class StatusRoute(RouteOptions):
    """What forkd is doing, as a page and as JSON."""

    action = "status"

    status: Annotated[Literal[True], fields.only_true()] = required("true.")


class HealthRoute(RouteOptions):
    """Whether this host is in service, for load balancers."""

    action = "health"

    health: Annotated[Literal[True], fields.only_true()] = required("true.")


class MetricsRoute(RouteOptions):
    """Figures for Prometheus."""

    action = "metrics"

    metrics: Annotated[Literal[True], fields.only_true()] = required("true.")


def _tag(value: object) -> str:
    """The tag of a route's model. Angle brackets keep tags apart from keys in error locations."""
    keys = value if isinstance(value, dict) else vars(value)
    return f"<{_actions(keys)[0]}>"


def _actions(keys: Container[str]) -> list[str]:
    """The actions among the keys of a route."""
    found = [action for action in ACTIONS if action in keys]
    if any(action in found for action in _ALSO_AN_OPTION):
        found = [action for action in found if action != "status"]
    return found


def _has_one_action(value: object) -> object:
    if isinstance(value, RouteOptions):
        return value
    expected = f"expected exactly one action of {', '.join(ACTIONS)}"
    if not isinstance(value, dict):
        raise ValueError(f"{expected}, in a mapping, not {describe(value)}")
    found = _actions(value)
    if len(found) == 1:
        return value
    if found:
        raise ValueError(f"{expected} (found {' and '.join(found)})")
    if later := next((action for action in LATER_ACTIONS if action in value), None):
        raise PydanticCustomError("later", "not served yet", {"key": later})
    near = next(filter(None, (nearest(str(key), ACTIONS) for key in value)), None)
    raise ValueError(f"{expected} (found none{f'; did you mean {near}?' if near else ''})")


Route = (
    Annotated[StaticRoute, Tag("<static>")]
    | Annotated[CgiRoute, Tag("<cgi>")]
    | Annotated[WsgiRoute, Tag("<wsgi>")]
    | Annotated[HandlerRoute, Tag("<handler>")]
    | Annotated[PagesRoute, Tag("<pages>")]
    | Annotated[RedirectRoute, Tag("<redirect>")]
    | Annotated[RespondRoute, Tag("<respond>")]
    | Annotated[StatusRoute, Tag("<status>")]
    | Annotated[HealthRoute, Tag("<health>")]
    | Annotated[MetricsRoute, Tag("<metrics>")]
)

_MODELS: Final = tuple(get_args(member)[0] for member in get_args(Route))

ACTIONS: Final = tuple(sorted(model.action for model in _MODELS))
APPLICATION_ACTIONS: Final = frozenset(
    model.action for model in _MODELS if issubclass(model, ApplicationRoute)
)

RouteField = Annotated[Route, Discriminator(_tag), BeforeValidator(_has_one_action)]

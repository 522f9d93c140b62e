"""A Django site with its admin, below a prefix; its static files by a static route."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from requests import Response

from tests.system.applications import APPS, Client, need_package, wsgi_route
from tests.system.daemon import DEADLINE_S, REPOSITORY, Daemon, environment, started

PASSWORD = "correct horse battery"


def manage(data: Path, *arguments: str) -> None:
    """A command of Django's for the site that keeps its things in data."""
    env = environment(
        DJANGO_DATA=str(data),
        DJANGO_SETTINGS_MODULE="django_settings",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        PYTHONPATH=f"{APPS}:{REPOSITORY}",
    )
    result = subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    need_package("django")
    directory = tmp_path_factory.mktemp("django")
    manage(directory, "migrate", "--verbosity", "0")
    manage(directory, "collectstatic", "--no-input", "--verbosity", "0")
    user = ("--username", "anna", "--email", "anna@example.org")
    manage(directory, "createsuperuser", "--no-input", *user)
    routes = {
        "/site/": wsgi_route("django_app:application", DJANGO_DATA=directory),
        "/static/": "{static: static}",
    }
    with started(directory, routes) as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(daemon.url) as session:
        yield session


def submit(client: Client, url: str, **fields: str) -> Response:
    """Fetch the page of a form and send the form with the page's token."""
    page = client.get(url)
    assert page.status_code == 200, page.text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None, page.text
    return client.post(page.url, data={"csrfmiddlewaretoken": token[1], **fields})


def log_in(client: Client, password: str = PASSWORD) -> Response:
    return submit(client, "/site/admin/", username="anna", password=password)


def test_the_admin_asks_who_is_there(client: Client) -> None:
    response = client.get("/site/admin/", allow_redirects=False)
    assert response.status_code == 302
    assert response.headers["Location"] == "/site/admin/login/?next=/site/admin/"


def test_the_admin_shows_its_index_after_the_login(daemon: Daemon, client: Client) -> None:
    index = log_in(client)
    assert index.status_code == 200
    assert index.url == f"{daemon.url}/site/admin/"
    assert "Site administration" in index.text
    assert 'href="/site/admin/auth/user/"' in index.text
    cookie = next(cookie for cookie in client.cookies if cookie.name == "sessionid")
    assert cookie.path == "/"


def test_a_wrong_password_does_not_log_in(client: Client) -> None:
    page = log_in(client, "wrong")
    assert page.status_code == 200
    assert "Please enter the correct username and password" in page.text
    assert "sessionid" not in client.cookies


def test_a_form_without_its_token_is_refused(client: Client) -> None:
    log_in(client)
    refused = client.post("/site/admin/auth/group/add/", data={"name": "forged"})
    assert refused.status_code == 403
    assert "forged" not in client.get("/site/admin/auth/group/").text


def test_the_admin_adds_changes_and_deletes_an_object(daemon: Daemon, client: Client) -> None:
    log_in(client)
    groups = "/site/admin/auth/group/"
    listed = submit(client, f"{groups}add/", name="Bl\u00e4tter & co")
    assert listed.url == daemon.url + groups
    assert "was added successfully" in listed.text
    change = re.search(r'href="(/site/admin/auth/group/\d+/change/)', listed.text)
    assert change is not None, listed.text
    listed = submit(client, change[1], name="other")
    assert "was changed successfully" in listed.text
    assert "Bl\u00e4tter" not in client.get(groups).text
    listed = submit(client, change[1].replace("change", "delete"), post="yes")
    assert "was deleted successfully" in listed.text


def test_the_log_out_ends_the_session(client: Client) -> None:
    log_in(client)
    token = client.cookies["csrftoken"]
    page = client.post("/site/admin/logout/", data={"csrfmiddlewaretoken": token})
    assert "Logged out" in page.text
    assert client.get("/site/admin/", allow_redirects=False).status_code == 302


def test_the_static_files_that_a_page_names_are_served(client: Client) -> None:
    page = client.get("/site/admin/")
    names = re.findall(r'(?:href|src)="(/static/[^"]+\.(?:css|js))"', page.text)
    assert any(name.endswith(".css") for name in names)
    assert any(name.endswith(".js") for name in names)
    kinds = {".css": "text/css", ".js": "text/javascript"}
    for name in names:
        response = client.get(name)
        assert response.status_code == 200, name
        assert response.headers["Content-Type"].startswith(kinds[Path(name).suffix])


def test_django_streams(client: Client) -> None:
    response = client.get("/site/numbers", params={"count": 5000})
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.text == "".join(f"{number}\n" for number in range(5000))
    head = client.head("/site/numbers", params={"count": 5000})
    assert (head.status_code, head.content) == (200, b"")

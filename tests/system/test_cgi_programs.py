"""Programs that people run by CGI, each set up as its example in docs/CGI.md says."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import exists
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.system.applications import LARGE, Client, sha256
from tests.system.cgi_programs import (
    IDENTITIES,
    follow,
    hand_over,
    need_perl,
    run,
    sandbox_of,
    set_up,
    write,
)
from tests.system.daemon import Daemon, eventually, started
from tests.system.tools import need

GITWEB = "/usr/share/gitweb/gitweb.cgi"
CGIT = "/usr/lib/cgit/cgit.cgi"
FOSSIL = "/usr/bin/fossil"
AWSTATS = "/usr/lib/cgi-bin/awstats.pl"
PROGRAMS = {
    "gitweb": GITWEB,
    "cgit": CGIT,
    "Fossil": FOSSIL,
    "AWStats": AWSTATS,
    "CGI.pm": "/usr/bin/perl",
}
"""Titles of examples."""

SMALL = {"Shell": "Filesystem", "Perl": "/small/Perl?name=you", "Python": "Hello, you"}
"""What the answers of three small scripts hold."""

FILES = {
    "main.c": b"int main(void) { return 0; } /* <b> & */\n",
    "sub dir/a+b #1?.txt": b"a name that must be quoted\n",
    "Grün/世界.txt": "Grün\n".encode(),
    "blob.bin": LARGE[:20_000],
}
AUTHOR = {
    "GIT_AUTHOR_NAME": "Ä Ö",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "Ä Ö",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


@dataclass(frozen=True, slots=True)
class Site:
    """A daemon with all examples whose programs are here. `home` is where clients have theirs."""

    daemon: Daemon
    client: Client
    root: Path
    home: Path


@pytest.fixture(scope="module", params=IDENTITIES, ids=lambda line: line or "own user")
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("programs")
    root, home = directory / "root", directory / "home"
    home.mkdir()
    routes = _small(root)
    for title in [title for title, program in PROGRAMS.items() if exists(program)]:
        added = set_up(title, root).routes
        for action in added.values():
            if request.param and "cgi" in action:
                action["sandbox"] = sandbox_of(title, root)
        routes |= added
    _make_repository(root, home)
    _make_fossil(root, home)
    _make_statistics(root, routes)
    hand_over(root, request.param)
    lines = {path: json.dumps(action) for path, action in routes.items()}
    with (
        started(directory, lines, workers="{count: 1}", top=request.param) as daemon,
        Client(daemon.url) as client,
    ):
        yield Site(daemon, client, root, home)


def _small(root: Path) -> dict[str, dict[str, Any]]:
    for title in SMALL:
        [text] = set_up(title, root).texts
        write(root / "small" / title, text)
    return {"/small/": {"cgi": str(root / "small")}}


def _make_repository(root: Path, home: Path) -> None:
    if not exists(GITWEB) and not exists(CGIT):
        return
    tree = home / "tree"
    git = (need("git"), "-C", tree)
    tree.mkdir()
    run(*git, "init", "--quiet", "--initial-branch=main", home=home)
    for name, content in FILES.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(content)
    run(*git, "add", ".", home=home)
    run(*git, "commit", "--quiet", "-m", "Grün & <b>", home=home, **AUTHOR)
    run(*git, "tag", "v1.0", home=home)
    run(*git, "branch", "feature/slash", home=home)
    run(*git, "clone", "--quiet", "--mirror", tree, root / "srv/git/project.git", home=home)


def _make_fossil(root: Path, home: Path) -> None:
    if exists(FOSSIL):
        repository = root / "srv/fossil/project.fossil"
        run(FOSSIL, "init", "--admin-user", "admin", repository, home=home)
        run(FOSSIL, "user", "password", "admin", "secret", "-R", repository, home=home)
        # What it otherwise leaves behind for a minute would outlive the test.
        run(FOSSIL, "settings", "backoffice-disable", "on", "-R", repository, home=home)


def _make_statistics(root: Path, routes: dict[str, dict[str, Any]]) -> None:
    if exists(AWSTATS):
        # It looks for its configuration in /etc/awstats, which is not the test's.
        env = {"AWSTATS_ENABLE_CONFIG_DIR": str(root / "etc/awstats")}
        routes["/awstats/awstats.pl"]["env"] = env
        (root / "var/lib/awstats").mkdir(parents=True)
        (root / "var/log/forkd").mkdir(parents=True)
        (root / "var/log/forkd/access.log").symlink_to(root.parent / "access.log")


def files_of(archive: bytes) -> dict[str, bytes]:
    """What the files of a tar.gz hold, by their names below its one directory."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            if (file := tar.extractfile(member)) is not None:
                found[member.name.partition("/")[2]] = file.read()
    return found


@pytest.mark.parametrize("title", SMALL)
def test_a_small_program_answers(site: Site, title: str) -> None:
    answer = site.client.get(f"/small/{title}?name=you")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert SMALL[title] in answer.text


def test_the_pages_of_gitweb_are_whole(site: Site) -> None:
    need(GITWEB)
    assert '"/gitweb/project.git"' in site.client.get("/gitweb/").text
    parts = follow(site.client, "/gitweb/project.git", below="/gitweb/static/", limit=9)
    assert set(parts.values()) == {200}
    for part in ("gitweb.css", "gitweb.js", "git-logo.png", "git-favicon.png"):
        assert f"/gitweb/static/{part}" in parts
    blobs = "/gitweb/project.git/blob/"
    files = follow(site.client, "/gitweb/project.git/tree", below=blobs, limit=9)
    assert set(files.values()) == {200}
    assert f"{blobs}HEAD:/main.c" in files


def test_gitweb_gives_files_and_archives(site: Site) -> None:
    need(GITWEB)
    for name, content in FILES.items():
        # A quoted slash too: a program sees the path decoded.
        path = f"/gitweb/project.git/blob_plain/refs/heads/main:/{quote(name, safe='')}"
        answer = site.client.get(path)
        assert (answer.status_code, answer.content) == (200, content), path
    archive = site.client.get("/gitweb/project.git/snapshot/refs/heads/feature/slash.tar.gz")
    assert "filename=" in archive.headers["Content-Disposition"]
    assert files_of(archive.content) == FILES
    missing = site.client.get("/gitweb/project.git/blob_plain/main:/missing")
    assert missing.status_code == 404


def test_the_links_of_cgit_lead_somewhere(site: Site) -> None:
    need(CGIT)
    found = follow(site.client, "/cgit/", below="/cgit/", limit=40)
    assert set(found.values()) == {200}
    assert len(found) == 40
    for page in ("project.git/", "static/cgit.css", "static/cgit.png", "static/favicon.ico"):
        assert f"/cgit/{page}" in found


def test_cgit_gives_files_and_archives(site: Site) -> None:
    need(CGIT)
    for name, content in FILES.items():
        for path in (quote(name), quote(name, safe="")):
            answer = site.client.get(f"/cgit/project.git/plain/{path}")
            assert (answer.status_code, answer.content) == (200, content), path
            assert int(answer.headers["Content-Length"]) == len(content)
    archive = site.client.get("/cgit/project.git/snapshot/project-1.0.tar.gz")
    assert files_of(archive.content) == FILES
    assert site.client.get("/cgit/missing.git/").status_code == 404


def test_fossil_clones_and_takes_a_push(site: Site) -> None:
    need(FOSSIL)
    tree = site.home / "checkout"
    tree.mkdir()
    url = site.client.url.replace("//", "//admin:secret@") + "/fossil/"
    run(FOSSIL, "clone", url, site.home / "copy.fossil", home=site.home)
    run(FOSSIL, "open", "--nosync", site.home / "copy.fossil", home=tree)
    (tree / "large").write_bytes(LARGE)
    run(FOSSIL, "add", "large", home=tree)
    commit = ("commit", "--no-warnings", "--user-override", "admin", "-m", "large")
    run(FOSSIL, "settings", "autosync", "off", home=tree)
    run(FOSSIL, *commit, home=tree)
    run(FOSSIL, "push", "--once", url, home=tree)
    assert site.client.get("/fossil/doc/trunk/large").content == LARGE
    archive = site.client.get("/fossil/tarball/trunk/project.tar.gz")
    assert files_of(archive.content) == {"large": LARGE}
    known = {"If-None-Match": archive.headers["ETag"]}
    again = site.client.get("/fossil/tarball/trunk/project.tar.gz", headers=known)
    assert (again.status_code, again.content) == (304, b"")


def test_fossil_shows_its_pages(site: Site) -> None:
    need(FOSSIL)
    assert site.client.get("/fossil/").url == f"{site.client.url}/fossil/index"
    found = follow(site.client, "/fossil/index", below="/fossil/", limit=12)
    assert set(found.values()) == {200}
    assert "/fossil/timeline" in found


def test_awstats_counts_what_forkd_logs(site: Site) -> None:
    need(AWSTATS)
    config = ("-config=example.org", f"-configdir={site.root}/etc/awstats")
    browser = {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    }
    for number in range(3):
        site.client.get(f"/small/Perl?{number}", headers=browser)
    last = '"GET /small/Perl?2 HTTP/1.1" 200 '
    eventually(lambda: last in site.daemon.access_log, "the requests are logged")
    told = run(AWSTATS, *config, "-update", home=site.home)
    assert "Found 0 corrupted records" in told
    assert "Found 0 dropped records" in told
    counted = re.search(r"Found (\d+) new qualified records", told)
    assert counted is not None, told
    assert int(counted[1]) >= 3
    query = f"config=example.org&configdir={site.root}/etc/awstats"
    page = site.client.get(f"/awstats/awstats.pl?{query}&framename=mainright")
    assert page.status_code == 200
    assert ">/small/Perl<" in page.text
    icon = re.search(r'src="(/awstats-icon/[^"]+)"', page.text)
    assert icon is not None
    assert site.client.get(icon[1]).headers["Content-Type"] == "image/png"


@pytest.mark.parametrize("header", ["Expect: 100-continue", "Transfer-Encoding: chunked"])
def test_an_upload_reaches_cgi_pm_whole(site: Site, header: str) -> None:
    need_perl("CGI")
    file = site.home / "Grüße 世界.bin"
    file.write_bytes(LARGE)
    curl = (need("curl"), "--silent", "--show-error", "--noproxy", "*", "--header", header)
    form = ("--form", f"note={'x' * 9000}", "--form", f"file=@{file}")
    told = run(*curl, *form, f"{site.client.url}/upload", home=site.home)
    assert told == f"{sha256(LARGE)}  {file.name}"


def test_cgi_pm_chooses_its_own_status(site: Site) -> None:
    need_perl("CGI")
    answer = site.client.post("/upload", data={"note": "no file"})
    assert (answer.status_code, answer.reason, answer.text) == (400, "Bad Request", "no file\n")

"""git over HTTP: clone and push through `git http-backend`, a CGI program that many run."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.cgi_programs import IDENTITIES, hand_over, sandbox_of, set_up
from tests.system.daemon import DEADLINE_S, Daemon, started
from tests.system.tools import need
from tests.system.wire import fetch

LARGE = 50 << 20


@dataclass(frozen=True, slots=True)
class Git:
    """A daemon that serves bare repositories, and a client with a home of its own.

    Tests share it, so each names repositories of its own. Those below /git/ must belong to the user
    of the daemon, those below /meant/ need not.
    """

    daemon: Daemon
    identity: str
    repositories: Path
    home: Path

    def url(self, name: str) -> str:
        return f"{self.daemon.url}/git/{name}"

    def start(self, *arguments: str | Path, **env: str) -> subprocess.Popen[str]:
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "A",
            "GIT_COMMITTER_EMAIL": "a@example.org",
        }
        return subprocess.Popen(
            ["git", *arguments],
            env=own | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *arguments: str | Path, **env: str) -> str:
        with self.start(*arguments, **env) as process:
            output, _ = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, output + self.daemon.error_log
        return output.strip()

    def traced(self, trace: Path, *arguments: str | Path) -> str:
        """The headers that went over the wire, in lower case."""
        self(*arguments, GIT_TRACE_CURL=str(trace), GIT_TRACE_CURL_NO_DATA="1")
        return trace.read_text(errors="replace").lower()

    def bare(self, name: str) -> Path:
        """An empty repository that may be pushed to."""
        path = self.repositories / name
        self("init", "--quiet", "--bare", "--initial-branch=main", path)
        self("-C", path, "config", "http.receivepack", "true")
        hand_over(path, self.identity)
        return path

    def filled(self, name: str, commits: int = 3) -> Path:
        """A repository with some commits."""
        path, tree = self.bare(name), self.home / f"{name}.tree"
        self("clone", "--quiet", path, tree)
        for number in range(commits):
            (tree / f"file{number}").write_text(f"content {number}\n" * 100)
            self("-C", tree, "add", ".")
            self("-C", tree, "commit", "--quiet", "-m", f"commit {number}")
        self("-C", tree, "push", "--quiet", "origin", "HEAD:main")
        hand_over(path, self.identity)
        return path


@pytest.fixture(scope="module", params=IDENTITIES, ids=lambda line: line or "own user")
def git(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Git]:
    need("git")
    directory = tmp_path_factory.mktemp("git")
    home, repositories = directory / "home", directory / "srv" / "git"
    home.mkdir()
    repositories.mkdir(parents=True)
    # The client looks into repositories of the daemon's user.
    (home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    routes = set_up("git, read-only", directory).routes
    place = subprocess.check_output(["git", "--exec-path"], text=True).strip()
    routes["/git/"]["cgi"] = need(f"{place}/git-http-backend")
    if request.param:
        routes["/git/"]["sandbox"] = sandbox_of("git, with push", directory)
    routes["/meant/"] = routes["/git/"] | {"env": routes.pop("env")}
    lines = {path: json.dumps(action) for path, action in routes.items()}
    hand_over(repositories, request.param)
    with started(directory, lines, workers="{count: 1}", top=request.param) as daemon:
        yield Git(daemon, request.param, repositories, home)


def test_a_clone_is_what_is_served(git: Git, tmp_path: Path) -> None:
    served, copy = git.filled("clone.git"), tmp_path / "copy"
    git("clone", "--quiet", git.url("clone.git"), copy)
    assert git("-C", copy, "rev-parse", "HEAD") == git("-C", served, "rev-parse", "main")
    assert git("-C", copy, "fsck", "--strict", "--no-progress") == ""


def test_an_empty_repository_is_cloned(git: Git, tmp_path: Path) -> None:
    git.bare("empty.git")
    output = git("clone", git.url("empty.git"), tmp_path / "copy")
    assert "empty repository" in output
    assert (tmp_path / "copy" / ".git").is_dir()


def test_a_shallow_clone_is_deepened(git: Git, tmp_path: Path) -> None:
    served, copy = git.filled("shallow.git"), tmp_path / "copy"
    git("clone", "--quiet", "--depth=1", git.url("shallow.git"), copy)
    assert git("-C", copy, "rev-list", "--count", "HEAD") == "1"
    git("-C", copy, "fetch", "--quiet", "--unshallow")
    assert git("-C", copy, "rev-list", "--count", "HEAD") == "3"
    assert git("-C", copy, "rev-parse", "HEAD") == git("-C", served, "rev-parse", "main")


def test_a_large_push_is_chunked_and_arrives_whole(git: Git, tmp_path: Path) -> None:
    served, copy = git.bare("large.git"), tmp_path / "copy"
    size = LARGE if not git.identity else LARGE // 10
    git("-C", served, "config", "core.compression", "0")
    git("clone", "--quiet", "--config=core.compression=0", git.url("large.git"), copy)
    (copy / "large").write_bytes(random.Random(1).randbytes(size))
    git("-C", copy, "add", ".")
    git("-C", copy, "commit", "--quiet", "-m", "large")
    push = ("-c", "http.postBuffer=65536", "push", "--quiet", "origin", "HEAD:main")
    headers = git.traced(tmp_path / "trace", "-C", copy, *push)
    assert "transfer-encoding: chunked" in headers
    assert git("-C", copy, "rev-parse", "HEAD") == git("-C", served, "rev-parse", "main")
    assert git("-C", served, "fsck", "--strict", "--no-progress") == ""
    assert git("-C", served, "cat-file", "-s", "main:large") == str(size)
    for path in (served, copy):  # pytest keeps the directories of three runs
        shutil.rmtree(path)


def test_a_push_needs_the_consent_of_the_repository(git: Git) -> None:
    served = git.filled("closed.git", commits=1)
    git("-C", served, "config", "--unset", "http.receivepack")
    answer = fetch(git.daemon.port, "/git/closed.git/info/refs?service=git-receive-pack")
    assert answer.status == 403
    answer = fetch(git.daemon.port, "/git/closed.git/info/refs?service=git-upload-pack")
    assert answer.status == 200


def test_two_clones_at_once_do_not_disturb_each_other(git: Git, tmp_path: Path) -> None:
    served = git.filled("two.git", commits=5)
    copies = [tmp_path / "one", tmp_path / "two"]
    clones = [git.start("clone", "--quiet", git.url("two.git"), copy) for copy in copies]
    for clone in clones:
        output, _ = clone.communicate(timeout=DEADLINE_S)
        assert clone.returncode == 0, output
    for copy in copies:
        assert git("-C", copy, "rev-parse", "HEAD") == git("-C", served, "rev-parse", "main")


def test_a_compressed_request_body_is_left_to_git(git: Git) -> None:
    served = git.filled("compressed.git")
    wanted = git("-C", served, "rev-parse", "main")
    body = gzip.compress(f"0032want {wanted}\n00000009done\n".encode())
    answer = fetch(
        git.daemon.port,
        "/git/compressed.git/git-upload-pack",
        "Content-Type: application/x-git-upload-pack-request",
        "Content-Encoding: gzip",
        method="POST",
        body=body,
    )
    assert answer.status == 200
    assert answer.body.startswith(b"0008NAK\nPACK")


def test_a_client_that_compresses_its_request_is_understood(git: Git, tmp_path: Path) -> None:
    served, copy = git.filled("tags.git", commits=1), tmp_path / "copy"
    git("clone", "--quiet", git.url("tags.git"), copy)
    # More objects to ask for than git sends uncompressed.
    files = [tmp_path / str(number) for number in range(24)]
    for file in files:
        file.write_text(file.name)
    objects = git("-C", served, "hash-object", "-w", *files).split()
    for file, name in zip(files, objects, strict=True):
        (served / "refs" / "tags" / file.name).write_text(f"{name}\n")
    hand_over(served, git.identity)
    headers = git.traced(tmp_path / "trace", "-C", copy, "fetch", "--quiet", "--tags", "origin")
    assert "content-encoding: gzip" in headers
    assert len(git("-C", copy, "tag").splitlines()) == len(files)


def test_a_repository_of_another_user_must_be_meant(git: Git) -> None:
    path = git.repositories / "foreign.git"
    git("init", "--quiet", "--bare", path)
    answer = fetch(git.daemon.port, "/git/foreign.git/info/refs?service=git-upload-pack")
    if git.identity:
        assert answer.status == 500
        git.daemon.wait_for_log("detected dubious ownership")
    else:
        assert answer.status == 200
    answer = fetch(git.daemon.port, "/meant/foreign.git/info/refs?service=git-upload-pack")
    assert answer.status == 200


def test_a_repository_that_is_missing_is_404(git: Git) -> None:
    answer = fetch(git.daemon.port, "/git/missing.git/info/refs?service=git-upload-pack")
    assert answer.status == 404

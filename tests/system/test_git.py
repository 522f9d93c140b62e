"""git over HTTP: clone and push through `git http-backend`, a CGI program that many run."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.daemon import DEADLINE_S, Daemon, started
from tests.system.tools import need
from tests.system.wire import fetch

PUSHED_SIZE = 5 << 20


@dataclass(frozen=True, slots=True)
class Git:
    """A daemon that serves bare repositories, and a client with a home of its own."""

    daemon: Daemon
    home: Path

    @property
    def repositories(self) -> Path:
        return self.home / "repositories"

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

    def bare(self, name: str) -> Path:
        """An empty repository that may be pushed to."""
        path = self.repositories / name
        self("init", "--quiet", "--bare", "--initial-branch=main", path)
        self("-C", path, "config", "http.receivepack", "true")
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
        return path


@pytest.fixture
def git(tmp_path: Path) -> Iterator[Git]:
    need("git")
    directory = subprocess.check_output(["git", "--exec-path"], text=True).strip()
    backend = need(f"{directory}/git-http-backend")
    (tmp_path / "repositories").mkdir()
    env = f'{{GIT_PROJECT_ROOT: {tmp_path}/repositories, GIT_HTTP_EXPORT_ALL: "1"}}'
    routes = {"/git/": f"{{cgi: {backend}, env: {env}}}"}
    with started(tmp_path, routes, workers="{count: 1}") as daemon:
        yield Git(daemon, tmp_path)


def test_a_clone_is_what_is_served(git: Git, tmp_path: Path) -> None:
    served, copy = git.filled("project.git"), tmp_path / "copy"
    git("clone", "--quiet", git.url("project.git"), copy)
    assert git("-C", copy, "rev-parse", "HEAD") == git("-C", served, "rev-parse", "main")
    assert git("-C", copy, "fsck", "--strict", "--no-progress") == ""


def test_an_empty_repository_is_cloned(git: Git, tmp_path: Path) -> None:
    git.bare("empty.git")
    output = git("clone", git.url("empty.git"), tmp_path / "copy")
    assert "empty repository" in output
    assert (tmp_path / "copy" / ".git").is_dir()


def test_a_large_push_is_chunked_and_arrives_whole(git: Git, tmp_path: Path) -> None:
    served, copy = git.filled("project.git"), tmp_path / "copy"
    git("clone", "--quiet", git.url("project.git"), copy)
    (copy / "large").write_bytes(random.Random(1).randbytes(PUSHED_SIZE))
    git("-C", copy, "add", ".")
    git("-C", copy, "commit", "--quiet", "-m", "large")
    trace = tmp_path / "trace"
    git(
        *("-C", copy, "-c", "http.postBuffer=65536", "push", "--quiet", "origin", "HEAD:main"),
        GIT_TRACE_CURL=str(trace),
        GIT_TRACE_CURL_NO_DATA="1",
    )
    assert "transfer-encoding: chunked" in trace.read_text(errors="replace").lower()
    assert git("-C", copy, "rev-parse", "HEAD") == git("-C", served, "rev-parse", "main")
    assert git("-C", served, "fsck", "--strict", "--no-progress") == ""
    large = git("-C", served, "cat-file", "-s", "main:large")
    assert int(large) == PUSHED_SIZE


def test_two_clones_at_once_do_not_disturb_each_other(git: Git, tmp_path: Path) -> None:
    served = git.filled("project.git", commits=5)
    copies = [tmp_path / "one", tmp_path / "two"]
    clones = [git.start("clone", "--quiet", git.url("project.git"), copy) for copy in copies]
    for clone in clones:
        output, _ = clone.communicate(timeout=DEADLINE_S)
        assert clone.returncode == 0, output
    for copy in copies:
        assert git("-C", copy, "rev-parse", "HEAD") == git("-C", served, "rev-parse", "main")


def test_a_compressed_request_body_is_left_to_git(git: Git) -> None:
    served = git.filled("project.git")
    wanted = git("-C", served, "rev-parse", "main")
    body = gzip.compress(f"0032want {wanted}\n00000009done\n".encode())
    answer = fetch(
        git.daemon.port,
        "/git/project.git/git-upload-pack",
        "Content-Type: application/x-git-upload-pack-request",
        "Content-Encoding: gzip",
        method="POST",
        body=body,
    )
    assert answer.status == 200
    assert answer.body.startswith(b"0008NAK\nPACK")


def test_a_repository_that_is_missing_is_404(git: Git) -> None:
    answer = fetch(git.daemon.port, "/git/missing.git/info/refs?service=git-upload-pack")
    assert answer.status == 404

"""The corpus of configurations: every line that is said about each file."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkd.config.load import load
from forkd.errors import ConfigError

CORPUS = Path(__file__).parents[2] / "corpus" / "config"
FILES = sorted(path.stem for path in CORPUS.glob("*.yaml"))
ENVIRON = {"PORT": "8080", "HTML": "html", "EMPTY": "", "RUNTIME_DIRECTORY": "/run/forkd"}


def lines_about(name: str) -> list[str]:
    try:
        load(f"{name}.yaml", ENVIRON)
    except ConfigError as error:
        return str(error).replace(str(CORPUS), "@DIR@").splitlines()
    return []


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_corpus_gets_exactly_its_lines(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CORPUS)
    expected = CORPUS / f"{name}.errors"
    wanted = expected.read_text("utf-8").splitlines() if expected.exists() else []
    assert lines_about(name) == wanted
    assert name.startswith("ok-") == (not wanted)


def test_the_corpus_is_whole() -> None:
    assert len(FILES) >= 40
    assert {path.stem for path in CORPUS.glob("*.errors")} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_the_words_of_a_library_never_reach_the_user(name: str) -> None:
    expected = CORPUS / f"{name}.errors"
    text = expected.read_text("utf-8") if expected.exists() else ""
    assert not any(word in text for word in ("Input should", "Value error", "valid ", "pydantic"))

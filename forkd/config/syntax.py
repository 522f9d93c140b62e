"""YAML's syntax errors in words that a person understands. Pure.

PyYAML says what its automaton wanted; a person wants to know what to change. What is not in the
tables below keeps PyYAML's own words.
"""

from __future__ import annotations

import re

import yaml

from forkd.config.words import describe

Mark = tuple[int, int]
"""Line and column, both from 1."""

_OPENED = {
    "while scanning a quoted scalar": "this text in quotes is never closed",
    "while scanning a double-quoted scalar": "this text in quotes is never closed",
}
_FLOW = {
    "while parsing a flow sequence": ("]", "list"),
    "while parsing a flow mapping": ("}", "mapping"),
}


def explain(error: yaml.MarkedYAMLError, text: str) -> tuple[Mark, str]:
    """Where to look and what is wrong, for an error of the scanner, parser or composer."""
    here = _mark(error.problem_mark) or _mark(error.context_mark) or (1, 1)
    start = _mark(error.context_mark) or here
    context, problem = error.context or "", error.problem or "it is malformed"
    if isinstance(error, yaml.composer.ComposerError):
        return here, _composer(context, problem, start)
    if isinstance(error, yaml.scanner.ScannerError):
        return _scanner(context, problem, start, here, text)
    return _parser(context, problem, start, here)


def explain_character(error: yaml.reader.ReaderError, text: str) -> tuple[Mark, str]:
    """The same for a character that YAML does not allow."""
    before = text[: error.position]
    line = before.count("\n") + 1
    column = error.position - (before.rfind("\n") + 1) + 1
    code = ord(text[error.position])
    return (line, column), f"the character U+{code:04X} is not allowed in YAML (remove it)"


def _mark(mark: yaml.Mark | None) -> Mark | None:
    return None if mark is None else (mark.line + 1, mark.column + 1)


def _composer(context: str, problem: str, start: Mark) -> str:
    if problem.startswith("found undefined alias"):
        name = problem.split("'")[1]
        return f"nothing is marked &{name} above (put a text that begins with * in quotes)"
    if context.startswith("found duplicate anchor"):
        name = context.split("'")[1]
        return f"&{name} is used a second time: the first is on line {start[0]}"
    if context.startswith("expected a single document"):
        return "a second document begins here (a configuration is one document)"
    return problem


def _scanner(context: str, problem: str, start: Mark, here: Mark, text: str) -> tuple[Mark, str]:
    if problem.startswith("found character") and problem.endswith("start any token"):
        if "\\t" in problem:
            return here, "a tab cannot be used here (indent with spaces)"
        return here, f"a text that begins with {problem.split(chr(39))[1]} must be in quotes"
    if problem == "mapping values are not allowed here":
        return here, _stray_colon(text, here[0])
    if problem == "could not find expected ':'":
        return start, "a colon is missing after this key (write key: value)"
    if problem == "sequence entries are not allowed here":
        return here, "a list entry cannot begin here (give each - a line of its own)"
    if context in _OPENED and problem == "found unexpected end of stream":
        return start, _OPENED[context]
    if context in ("while scanning an alias", "while scanning an anchor"):
        mark = "*" if context.endswith("alias") else "&"
        return start, f"a text that begins with {mark} must be in quotes"
    if "escape" in problem:
        found = f" {problem.split('character ')[1]}" if "unknown" in problem else ""
        return here, f"unknown escape{found} (write \\\\ for a backslash, or use single quotes)"
    if context == "while scanning a block scalar":
        return here, "after | or > the text begins on the next line"
    if "tag" in context or "directive" in context:
        return start, "a text that begins with ! or % must be in quotes"
    return here, f"not well-formed YAML: {problem}"


def _stray_colon(text: str, line: int) -> str:
    """A colon where no key can be: three mistakes have this one symptom."""
    lines = text.splitlines()
    above = lines[line - 2].partition(" #")[0].rstrip() if 2 <= line <= len(lines) + 1 else ""
    if above and not re.search(r":(\s|$)", above):
        return "a key cannot begin here (the line above lacks a colon with a space after it)"
    return "a colon is not allowed here (check the indentation, or put the text in quotes)"


def _parser(context: str, problem: str, start: Mark, here: Mark) -> tuple[Mark, str]:
    if context in _FLOW:
        closing, kind = _FLOW[context]
        if problem.endswith(("'{'", "'['")):
            return here, f"a text with {problem[-2]} must be in quotes inside a {kind} in brackets"
        return here, f"a comma or {closing} is missing before this (the {kind} of line {start[0]})"
    found = problem.rpartition("found ")[2].strip("'")
    if found == "<stream end>":
        return here, "the file ends here, but something is still open (a [ or {, or a %-line)"
    if found in ("]", "}"):
        return here, f"a {found} closes nothing (put it in quotes if it is text)"
    if found == "<scalar>" and context == "while parsing a block mapping":
        return here, "more text follows a text in quotes (put all of it in one pair of quotes)"
    if found == "-":
        return here, "a list entry cannot follow a key: value line at this indentation"
    if found in ("?", "<block mapping start>", "<block sequence start>"):
        return here, (
            f"the indentation of this line (column {here[1]}) matches nothing above it "
            "(begin it in the column of the lines that it belongs to)"
        )
    return here, f"something else was expected here, not {describe(found)} (check the indentation)"

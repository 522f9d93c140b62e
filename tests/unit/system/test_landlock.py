"""Which rights a kernel knows by the number of its ABI, and that this kernel takes them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from forkd.system.landlock import (
    DEVICE,
    FOR_FILES,
    NOTHING,
    READ,
    WRITE,
    Access,
    Handled,
    Landlock,
    files_known,
    handled,
    lacks,
)
from tests.unit.system.sandboxes import need_kernel

NEWEST = 7


@pytest.mark.parametrize(
    ("abi", "value"),
    # The masks that the kernel's documentation gives for each ABI, by the highest right.
    [
        *((0, 0), (1, 0x1FFF), (2, 0x3FFF), (3, 0x7FFF), (4, 0x7FFF)),
        *((5, 0xFFFF), (6, 0xFFFF), (7, 0xFFFF), (99, 0xFFFF)),
    ],
)
def test_each_abi_knows_more_rights_to_files(abi: int, value: int) -> None:
    assert files_known(abi) == value


@pytest.mark.parametrize(
    ("abi", "without_network", "with_network"),
    [
        *((0, (0, 0), (0, 0)), (1, (0, 0), (0, 0)), (3, (0, 0), (0, 0))),
        *((4, (3, 0), (0, 0)), (5, (3, 0), (0, 0))),
        *((6, (3, 3), (0, 2)), (7, (3, 3), (0, 2))),
    ],
)
def test_the_network_and_others_are_denied_as_far_as_the_abi_goes(
    abi: int, without_network: tuple[int, int], with_network: tuple[int, int]
) -> None:
    assert handled(abi, network=False) == Handled(files_known(abi), *without_network)
    assert handled(abi, network=True) == Handled(files_known(abi), *with_network)


SIGNALS = "signals to other processes"
ABSTRACT = "abstract Unix sockets"


@pytest.mark.parametrize(
    ("abi", "words"),
    [
        (0, ["files", SIGNALS, "tracing other processes"]),
        (1, ["truncating files", "ioctl on devices", SIGNALS, ABSTRACT]),
        (2, ["truncating files", "ioctl on devices", SIGNALS, ABSTRACT]),
        (3, ["ioctl on devices", SIGNALS, ABSTRACT]),
        (4, ["ioctl on devices", SIGNALS, ABSTRACT]),
        (5, [SIGNALS, ABSTRACT]),
        (6, []),
        (7, []),
        (99, []),
    ],
)
def test_what_an_abi_lacks_is_said(abi: int, words: list[str]) -> None:
    assert lacks(abi, network=False) == words
    assert lacks(abi, network=True) == [word for word in words if word != ABSTRACT]


def test_writing_is_neither_running_nor_making_devices() -> None:
    assert WRITE & (Access.EXECUTE | Access.MAKE_CHAR | Access.MAKE_BLOCK) == NOTHING
    assert files_known(NEWEST) == WRITE | READ | Access.MAKE_CHAR | Access.MAKE_BLOCK
    assert DEVICE & FOR_FILES == DEVICE


def test_this_kernel_tells_its_abi_again_and_again() -> None:
    landlock = Landlock()
    assert landlock.abi() == landlock.abi() >= 0


@pytest.mark.usefixtures("no_descriptor_leaks")
@pytest.mark.parametrize("abi", range(1, NEWEST + 1))
@pytest.mark.parametrize("access", [READ, WRITE, DEVICE, NOTHING], ids=str)
def test_the_kernel_takes_what_an_abi_knows(abi: int, access: Access, tmp_path: Path) -> None:
    need_kernel(abi)
    landlock = Landlock()
    what = handled(abi, network=False)
    ruleset = landlock.create(what)
    assert not os.get_inheritable(ruleset)
    file = tmp_path / "file"
    file.touch()
    for path in (tmp_path, file, Path("/dev/null")):
        descriptor = os.open(path, os.O_PATH)
        landlock.allow(ruleset, descriptor, access & what.files)
        os.close(descriptor)
    os.close(ruleset)


def test_a_right_that_is_not_handled_is_an_error(tmp_path: Path) -> None:
    need_kernel(3)
    landlock = Landlock()
    ruleset = landlock.create(handled(1, network=True))
    descriptor = os.open(tmp_path, os.O_PATH)
    with pytest.raises(OSError) as raised:
        landlock.allow(ruleset, descriptor, Access.TRUNCATE)
    assert raised.value.errno == errno.EINVAL
    os.close(descriptor)
    os.close(ruleset)


def test_what_is_no_ruleset_restricts_nobody() -> None:
    need_kernel(1)
    with pytest.raises(OSError) as raised:
        Landlock().restrict_thread(-1)
    # EPERM comes first where this process has neither no_new_privs nor CAP_SYS_ADMIN.
    assert raised.value.errno in (errno.EBADF, errno.EPERM)

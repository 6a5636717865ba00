"""Programs of the tests that are forked are what they would be in an interpreter of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import forked
from tests.forked import Forked, python_m

TELLS = """
import atexit, os, signal, sys, threading
print(sys.argv[1:], __name__, sys.path[:2], os.getcwd(), os.environ["TOLD"], sys.warnoptions, sys.flags.optimize)
print(sys.stdin.read(), "click" in sys.modules, "nitro" in sys.modules, "tests" in sys.modules)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL)
print(sorted(os.listdir("/proc/self/fd"))[:-1], threading.active_count(), os.getpgrp())
atexit.register(print, "at the end")
print("beside", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture(params=[True, False], ids=["forked", "fresh"])
def is_forked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(forked, "is_used", request.param)
    return bool(request.param)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "library").mkdir()
    return tmp_path


def start(directory: Path, code: str, *arguments: str, options: tuple[str, ...] = ()) -> Forked | subprocess.Popen[str]:
    program = directory / "program.py"
    if not program.exists():  # another may be reading it
        program.write_text(code)
    return python_m(
        ["program", *arguments],
        libraries=["click"],
        options=options,
        environment={**os.environ, "TOLD": "so", "PYTHONPATH": str(directory / "library")},
        cwd=directory,
        stdin=subprocess.PIPE,
    )


@pytest.mark.usefixtures("is_forked")
class TestProgram:
    def test_it_has_its_own_arguments_path_directory_variables_streams_and_end(
        self, directory: Path, is_forked: bool
    ) -> None:
        program = start(directory, TELLS, "a", "b c", options=("-W", "error", "-O"))
        output, errors = program.communicate("given", 20)
        told = [
            f"['a', 'b c'] __main__ {[str(directory), str(directory / 'library')]} {directory} so ['error'] 1",
            f"given {is_forked} False False",
            "True True",
            f"['0', '1', '2'] 1 {os.getpgrp()}",
            "at the end",
        ]
        assert output.splitlines() == told
        assert errors == "beside\n"
        assert program.wait() == program.poll() == program.returncode == 3

    def test_what_it_raises_is_written_and_its_code_is_1(self, directory: Path) -> None:
        program = start(directory, "raise ValueError('no')")
        _, errors = program.communicate("", 20)
        assert errors.endswith("ValueError: no\n")
        assert program.returncode == 1

    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
    def test_a_signal_reaches_it_and_ends_it(self, directory: Path, signum: signal.Signals) -> None:
        program = start(directory, "import time\nprint('up', flush=True)\ntime.sleep(60)")
        assert program.stdout and program.stderr and program.stdin
        with program.stdout, program.stderr, program.stdin:
            assert program.stdout.readline() == "up\n"
            assert program.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(0.01)
            program.send_signal(signum)
            assert program.wait(20) == -signum
            program.kill()  # which nobody hears

    def test_it_need_not_read_what_it_is_given(self, directory: Path) -> None:
        program = start(directory, "")
        assert program.communicate("x" * 1_000_000, 20) == ("", "")
        assert program.returncode == 0


def test_who_takes_too_long_is_ended(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "is_used", True)
    program = start(directory, "import time\ntime.sleep(60)")
    with pytest.raises(subprocess.TimeoutExpired):
        program.communicate("", 0.05)
    assert program.wait(20) == -signal.SIGKILL


def test_many_at_once_each_have_their_own_exit_code(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "is_used", True)
    programs = [start(directory, "import sys\nsys.exit(int(sys.argv[1]))", str(code)) for code in range(30)]
    for code, program in enumerate(programs):
        assert program.communicate("", 20) == ("", "")
        assert program.returncode == code
    assert len({program.pid for program in programs}) == 30


def test_what_an_interpreter_reads_when_it_starts_is_there_from_the_start(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked, "is_used", True)
    monkeypatch.setenv("PYTHONUTF8", "1")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    program = start(directory, "import sys, time\nprint(sys.flags.utf8_mode, time.tzname[0])")
    assert program.communicate("", 20)[0] == "1 JST\n"

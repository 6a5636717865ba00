"""The plugin of pytest, in a pytest of its own: tests don't hear each other, and what was forgotten fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.server  # a process of its own

TESTS = """
import asyncio
import nitro
import pytest
from nitro.testing import captured

first = []

@pytest.fixture
def small(monkeypatch):
    monkeypatch.setenv("NITRO_MAX_PAYLOAD_BYTES", "1000")

def test_one_leaves_a_client_and_a_place_in_the_log():
    nitro.emit("a", "me", result=1)
    first.append(nitro.position())
    nitro.Client(topics=["a"]).connect()

def test_another_one_has_a_log_of_its_own():
    assert nitro.position().partition("-")[0] != first[0].partition("-")[0]
    assert len(nitro.active_clients) == 0

def test_settings_of_a_fixture_count(small):
    with pytest.raises(nitro.NitroError):
        nitro.emit("a", "me", result="x" * 2000)

def test_without_it_the_default_does():
    nitro.emit("a", "me", result="x" * 2000)

def test_await_was_forgotten():
    async def scenario():
        nitro.emit_async("a", "me", result=1)
    asyncio.run(scenario())

def test_await_was_forgotten_of_the_method():
    nitro.event("a").emit_async("me", result=1)
"""


@pytest.mark.parametrize("options", [(), ("-n", "2", "--dist=loadfile")], ids=["alone", "xdist"])
def test_tests_have_a_hub_each_and_a_forgotten_await_fails(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    own = f"--basetemp={tmp_path}/own"  # else it closes the folder of all tests to those who aren't root
    command = [sys.executable, "-m", "pytest", "-q", "-p", "nitro.testing.plugin", own, *options, "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "6 passed" in done.stdout, done.stdout
    assert "2 errors" in done.stdout, done.stdout
    for name in ("emit_async", "Event.emit_async"):
        assert f"{name} was called without await, so nothing was emitted" in done.stdout

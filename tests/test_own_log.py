"""docs/how-to/logs.md: a log that another package brings is found by the scheme of its URL, and passes the suite."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nitro.brokers import Retention
from nitro.brokers.log_broker import LogBroker
from nitro.brokers.urls import make_log
from tests.documents import Document

PAGE = Document("docs/how-to/logs.md")
RUNS_BLOCKS = {"docs/how-to/logs.md": ["toml", "python"]}
APPLICATION = """
import os, nitro
with nitro.Client(topics=["a.*"]) as client:
    nitro.connect_broker()
    nitro.emit("a.b", "me", result=1)
    nitro.flush()
    assert nitro.statistics().messages_in == 1
from nitro.delivery.process import get_hub
print(get_hub().broker)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with what `pip install` would bring of the page's package."""
    for block in PAGE.all("python"):
        name = block.source.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block.source)
    info = tmp_path / "shelf_log-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-log\nVersion: 1.0\n")
    entries = tomllib.loads(PAGE.the("toml").source)["project"]["entry-points"]
    lines = [f"[{group}]\n{name} = {target}\n" for group, named in entries.items() for name, target in named.items()]
    (info / "entry_points.txt").write_text("".join(lines))
    return tmp_path


def run(package: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(package)} | environment
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, timeout=120)


def test_the_log_of_the_page_passes_the_suite(package: Path) -> None:
    own = f"--basetemp={package}/own"  # else it closes the folder of all tests to those who aren't root
    done = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", own, "test_shelf_log.py")
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 14, done.stdout


def test_the_suite_notices_a_log_whose_name_shows_the_password_of_its_url(package: Path) -> None:
    source = package / "shelf_log.py"
    source.write_text(source.read_text().replace("self.name = without_secrets(url)", "self.name = url"))
    only = ("--basetemp", f"{package}/own", "-k", "name_shows")
    done = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", *only, "test_shelf_log.py")
    assert "it should be shelf://tests\n" in done.stdout
    assert "1 failed" in done.stdout


def test_it_is_found_by_the_scheme_of_its_url(package: Path) -> None:
    done = run(package, "-c", APPLICATION, NITRO_BROKER_URL="shelf://ann:s3cret@anywhere?token=t0k")
    assert done.returncode == 0, done.stderr
    assert "<LogBroker to shelf://anywhere: " in done.stdout


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("shelve://x", "it may start with memory://, .*, shelf://"),
        ("shelf://x", "for which shelf-log names shelf_log:ShelfLog, and that can't be imported: No module"),
    ],
)
def test_what_can_not_be_had_is_said(package: Path, url: str, text: str) -> None:
    (package / "shelf_log.py").unlink()
    done = run(package, "-c", APPLICATION, NITRO_BROKER_URL=url)
    assert re.search(rf"ConfigurationError: NITRO_BROKER_URL .*{text}", done.stderr), done.stderr


IMPATIENT = """
import nitro
from shelf_log import ShelfLog as Shelf

class ShelfLog(Shelf):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        nitro.emit("log.made", result=1)
"""


def test_a_log_that_emits_while_it_is_made_is_told_so_and_hangs_nobody(package: Path) -> None:
    (package / "impatient.py").write_text(IMPATIENT)
    entries = package / "shelf_log-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[nitro.logs]\nshelf = impatient:ShelfLog\n")
    done = run(package, "-c", APPLICATION, NITRO_BROKER_URL="shelf://x")
    assert "ConfigurationError: something is emitted or connected while the broker is being made" in done.stderr


def test_a_broker_that_was_never_started_is_closed_at_once() -> None:
    log = make_log("sqlite:///never.db", "app", Retention(10, 1000, 60), max_payload_bytes=1000)
    broker = LogBroker(log, Retention(10, 1000, 60), max_payload_bytes=1000, max_publish_queue_bytes=1000)
    broker.close(0.1)
    assert not Path("never.db").exists()

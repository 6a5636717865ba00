"""The committed build of the browser client is what its source makes, is small, and is served to be kept."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import nitro
from tests.servers import ROOT

STATIC = ROOT / "src/nitro/static"
MAX_BYTES = 8 * 1024
MAX_COLLECTION_BYTES = 2_000


EXPLORED_WORLDS = int(os.environ.get("EXPLORED_WORLDS", "25000"))  # `make test-engines` explores 200,000


def npm(*command: str, seconds: int = 120) -> subprocess.CompletedProcess[str]:
    if shutil.which("npm") is None or not (ROOT / "js/node_modules").is_dir():
        pytest.skip("NO NODE: make client installs what builds the browser client")
    return subprocess.run(["npm", "run", *command], cwd=ROOT / "js", capture_output=True, text=True, timeout=seconds)


def run(*command: str, seconds: int = 120) -> None:
    ended = npm(*command, seconds=seconds)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_committed_build_is_what_the_source_makes(tmp_path: Path) -> None:
    run("build", "--", "--out", str(tmp_path))
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in STATIC.iterdir()}
    for file in tmp_path.iterdir():
        same = file.read_bytes() == (STATIC / file.name).read_bytes()
        assert same or file.suffix == ".map", f"{file.name} differs: run make client, and commit what it builds"


def test_the_units_of_the_client() -> None:
    run("test")


@pytest.mark.slow
@pytest.mark.alone
def test_in_worlds_full_of_faults_each_member_hears_what_it_asked_for_once_and_in_order() -> None:
    """Tabs, workers, locks and a server under a virtual clock; what a seed found is tried again by its number."""
    seconds = max(300, EXPLORED_WORLDS // 150)
    run("explore", "--", "--from", "1", "--runs", str(EXPLORED_WORLDS), seconds=seconds)


@pytest.mark.slow
@pytest.mark.alone
def test_in_worlds_full_of_faults_each_collection_has_the_rows_that_the_database_had_at_its_position() -> None:
    run("explore", "--", "--rows", "--from", "1", "--runs", str(EXPLORED_WORLDS // 5), seconds=300)


@pytest.mark.slow
@pytest.mark.alone
def test_in_worlds_full_of_faults_each_page_sees_who_is_in_the_room() -> None:
    run("explore", "--", "--rooms", "--from", "1", "--runs", str(EXPLORED_WORLDS // 5), seconds=300)


def test_each_fault_that_the_client_once_had_or_could_have_is_caught_by_the_world_of_its_seed() -> None:
    """A seed that catches nothing any more is found anew: `node test/mutants.js --find NAME`."""
    run("mutants")


@pytest.mark.parametrize("options", [["--threads"], ["--runs", "many"], ["--runs", "0"], ["--trace"]])
def test_the_explorer_does_not_run_with_an_option_that_has_no_number(options: list[str]) -> None:
    ended = npm("explore", "--", *options)
    assert ended.returncode == 2
    assert f"{options[0]} needs a whole number" in ended.stderr


def test_it_is_smaller_than_eight_kibibytes() -> None:
    assert len(gzip.compress((STATIC / "client.js").read_bytes(), 9)) < MAX_BYTES


def test_a_collection_is_small_and_imports_the_client_that_the_page_has() -> None:
    script = (STATIC / "collection.js").read_bytes()
    assert len(gzip.compress(script, 9)) < MAX_COLLECTION_BYTES
    assert b'from"./client.js"' in script
    assert b"fetch(" not in script


async def ask(path: str, **headers: str) -> httpx.Response:
    app = Starlette(routes=[Mount("/nitro", nitro.assets)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        return await http.get(path)


@pytest.mark.parametrize("name", ["client.js", "client.readable.js", "collection.js", "follow.js"])
def test_a_file_is_asked_for_again_by_its_name_and_kept_by_its_hash(name: str) -> None:
    import asyncio

    async def check() -> None:
        plain = await ask(f"/nitro/{name}")
        assert plain.status_code == 200
        assert plain.headers["cache-control"] == "no-cache"
        assert "javascript" in plain.headers["content-type"]
        again = await ask(f"/nitro/{name}", **{"if-none-match": plain.headers["etag"]})
        assert again.status_code == 304
        kept = await ask(f"/nitro/{nitro.assets.versioned(name)}")
        assert kept.text == plain.text.replace("./client.js", f"./{nitro.assets.versioned('client.js')}")
        assert "javascript" in kept.headers["content-type"]
        assert "immutable" in kept.headers["cache-control"]
        assert (await ask(f"/nitro/{name.removesuffix('.js')}.000000000000.js")).status_code == 404
        assert (await ask("/nitro/../__init__.py")).status_code == 404

    asyncio.run(check())


def test_there_is_no_hash_of_what_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        nitro.assets.versioned("other.js")

"""The blocks of docs/how-to/durable-streams.md, as they stand there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from nitro.durable_streams.answers import COMMON
from tests.documents import Document
from tests.servers import Server

PAGE = Document("docs/how-to/durable-streams.md")
RUNS_BLOCKS = {"docs/how-to/durable-streams.md": ["python", "sh"]}


def test_the_page_lists_what_scripts_of_other_origins_read() -> None:
    for name in COMMON["access-control-expose-headers"].split(", "):
        assert f"`{name}`" in PAGE.text


def test_the_application_answers_the_commands(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(PAGE.the("python").source)
    with Server("page:app", directory=tmp_path) as server:
        server.wait_until_up()
        said = []
        for line in PAGE.the("sh").source.replace("localhost:8000", f"127.0.0.1:{server.port}").splitlines():
            command = line.replace("curl ", "curl -s -w '%{http_code}' --max-time 2 ", 1)
            said.append(subprocess.run(command, shell=True, capture_output=True, text=True).stdout)
        created, appended, read, live = said
        assert (created, appended) == ("201", "204")
        assert read == '[{"n":1},{"n":2}]200'
        assert '{"n":1}' in live
        assert "event: control" in live
        stranger = f"curl -s -o /dev/null -w '%{{http_code}}' -X PUT -H 'x-user: bob' {server.url}/streams/ann/x"
        assert subprocess.run(stranger, shell=True, capture_output=True, text=True).stdout == "403"

"""README's first application under uvicorn: an event is posted, and read from its stream: `served.py README.md`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

MAIN = """
import nitro
from readme import app

app.mount("/nitro", nitro.assets)
"""


def main(page: Path) -> None:
    block = re.search(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    with TemporaryDirectory() as folder:
        Path(folder, "readme.py").write_text(block[1], encoding="utf-8")
        Path(folder, "main.py").write_text(MAIN, encoding="utf-8")
        command = [sys.executable, "-I", "-m", "uvicorn", "main:app", "--app-dir", folder, "--port", "0"]
        server = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        try:
            check(server)
        finally:
            server.kill()
            server.wait(10)


def check(server: subprocess.Popen[str]) -> None:
    """The event, the browser client, and an end at once with the stream open."""
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line)
        if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
            url = found[1]
            break
    else:
        raise AssertionError("uvicorn did not come up:\n" + "".join(said))
    with urlopen(f"{url}/events", timeout=10) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        stream.readline()  # of its opening: it stands
        with urlopen(Request(f"{url}/todos?title=Milk", method="POST"), timeout=10) as answer:
            assert json.load(answer) == {"title": "Milk"}
        data = next(line for line in stream if line.startswith(b"data:"))
        assert json.loads(data.removeprefix(b"data:")) == {"title": "Milk"}
        with urlopen(f"{url}/nitro/client.js", timeout=10) as script:
            assert "javascript" in script.headers["Content-Type"]
            assert b"connect" in script.read()
        server.send_signal(signal.SIGTERM)
        server.wait(5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Everything imports that the installed extra promises, from its environment alone: `imports.py VERSION [EXTRA]`."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from pprint import pformat

PROMISED = {
    "": (),
    "redis": ("nitro.brokers.redis", "nitro.streams.stores.redis"),
    "nats": ("nitro.brokers.nats", "nitro.streams.stores.nats"),
    "postgresql": ("nitro.brokers.postgresql", "nitro.streams.stores.postgresql"),
    "client": (),
    "datastar": (),
    "cli": ("nitro.cli",),
    "tickets": ("nitro.tickets",),
    "metrics": ("nitro.metrics",),
    "otel": ("nitro.otel",),
    "serve": ("nitro.cli", "nitro.metrics", "nitro.serve", "nitro.tickets", "nitro.uvicorn"),
    "fastapi": ("nitro.fastapi", "nitro.uvicorn"),
    "examples": ("nitro.fastapi", "nitro.uvicorn"),
}
"""Extra → what needs it to be imported. All other modules need none."""
TOOLS = ("nitro.testing.plugin",)
"""They need pytest, which no extra brings."""


def failures() -> dict[str, Exception]:
    """The modules that can't be imported, and why."""
    import nitro

    failed: dict[str, Exception] = {}
    for module in pkgutil.walk_packages(nitro.__path__, "nitro.", onerror=lambda name: None):
        if module.name.endswith(".__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except (ImportError, nitro.NitroError) as error:
            failed[module.name] = error
    return failed


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def names_what_is_missing(error: Exception) -> bool:
    """A module that isn't there, or the extra that would bring it."""
    return isinstance(error, ModuleNotFoundError) or "pip install 'nitro-realtime[" in str(error)


def check_files(version: str) -> None:
    """It is this version, it comes from this environment, and it is marked as typed."""
    import nitro

    here = Path(nitro.__file__).parent
    assert here.is_relative_to(sys.prefix), f"nitro comes from {here}"
    assert nitro.__version__ == version, f"nitro says that it is {nitro.__version__}"
    assert (here / "py.typed").is_file(), "py.typed is missing"
    static = {file.name for file in (here / "static").iterdir()}
    assert {"client.js", "collection.js", "follow.js", "client.d.ts"} <= static
    for name in nitro.__all__:
        assert getattr(nitro, name) is not None, name


def check_use(extra: str) -> None:
    """What imports its packages when it is used: it works with the extra, and names it without."""
    import nitro
    from nitro.datastar import remove_elements

    uses: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
        "client": (lambda: nitro.listen("http://127.0.0.1:1/events"), ("client", "cli", "serve")),
        "datastar": (lambda: remove_elements("smoke", selector="#smoke"), ("datastar",)),
    }
    for name, (use, brought_by) in uses.items():
        refusal = None
        try:
            use()
        except (ImportError, nitro.NitroError) as error:
            refusal = str(error)
        if extra in brought_by:
            assert refusal is None, refusal
        else:
            assert refusal is not None, f"it works without the extra [{name}]"
            assert f"nitro-realtime[{name}]" in refusal, refusal


def check_command(extra: str, version: str) -> None:
    """`nitro` runs; without its extra it says which one that is."""
    nitro = Path(sys.executable).with_name("nitro")

    def ask(*arguments: str) -> tuple[int, str]:
        ended = subprocess.run([nitro, *arguments], capture_output=True, text=True, timeout=60)
        return ended.returncode, ended.stdout + ended.stderr

    code, usage = ask("--help")
    assert code == 0, usage
    if extra in ("cli", "serve"):
        assert ask("--version") == (0, f"{version}\n")
        assert {"tail", "emit", "log", "doctor", "bench", "types", "serve"} <= set(usage.split()), usage
        assert ask("serve", "--help")[0] == 0
    else:
        code, said = ask("tail")
        assert code == 2, said
        assert "pip install 'nitro-realtime[cli]'" in said, said


def main() -> None:
    version, extra = sys.argv[1], "".join(sys.argv[2:])
    check_files(version)
    failed = failures()
    others = {name for names in PROMISED.values() for name in names} - set(PROMISED[extra])
    surprises = {name: error for name, error in failed.items() if not is_in(name, (*others, *TOOLS))}
    surprises |= {name: error for name, error in failed.items() if not names_what_is_missing(error)}
    assert not surprises, f"with the extra [{extra}]:\n{pformat(surprises)}"
    if not extra:
        idle = [name for name in others if not any(is_in(module, (name,)) for module in failed)]
        assert not idle, f"they need no extra: {idle}"
    check_use(extra)
    check_command(extra, version)


if __name__ == "__main__":
    main()

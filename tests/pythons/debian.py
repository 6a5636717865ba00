"""Debian's unstable distribution in a folder, for Pythons that this machine and its packages don't have.

Made by debootstrap from the mirror that this machine uses, and entered by chroot. What is mounted for that is seen by
the command alone that runs inside, and is gone with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["Debian"]

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(os.environ.get("NITRO_PYTHONS", ROOT / ".pythons"))
"""Where the distribution and what the runs leave is kept."""
BUILD = ["gcc", "g++", "libc6-dev"]
SERVERS = ["redis-server", "postgresql", "nginx", "caddy", "pgbouncer"]
PACKAGES = [*BUILD, *SERVERS, "procps", "curl", "faketime", "git"]
"""What the tests start, and what builds a package without a wheel. No browser and no Node: they are tested on this
machine.
"""
_ENTER = """
root=$1 here=$2; shift 2
for place in proc sys dev; do mount --rbind "/$place" "$root/$place"; done
for file in /etc/resolv.conf /etc/ssl/certs; do [ ! -e "$file" ] || mount --bind "$file" "$root$file"; done
mkdir -p "$root$here"
mount --bind "$here" "$root$here"
exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$here" "$@"
"""


class Debian:
    """The distribution; what is done already is not done again."""

    def __init__(self) -> None:
        self.folder = FOLDER / "sid"

    @property
    def is_made(self) -> bool:
        return (self.folder / "made.txt").exists()

    def missing(self) -> str | None:
        """Why it can't be had here, or None."""
        if os.geteuid() != 0:
            return "only root can make and enter Debian's unstable distribution"
        if shutil.which("apt-get") is None:
            return "this machine has no apt-get"
        if shutil.which("debootstrap") is None:
            installed = subprocess.run(["apt-get", "install", "-y", "-qq", "debootstrap"], stdout=subprocess.DEVNULL)
            if installed.returncode:
                return "debootstrap is missing, and could not be installed: apt-get install debootstrap"
        return None

    def make(self) -> None:
        """Fetch the distribution, unless it is there."""
        done = self.folder / "made.txt"
        if not done.exists():
            self._bootstrap()
            done.touch()
        if done.read_text().split() != PACKAGES:
            self._apt("install", *PACKAGES)
            done.write_text(" ".join(PACKAGES))

    def _bootstrap(self) -> None:
        print(f"Debian's unstable distribution is made in {self.folder}; it takes some minutes ...", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with (FOLDER / "debootstrap.txt").open("wb") as log:
            options = ["--variant=minbase", "--include=ca-certificates"]
            subprocess.run(
                ["debootstrap", *options, "sid", str(self.folder), _mirror()], check=True, stdout=log, stderr=log
            )
        # The machine's own way to fetch: its proxies, and how old a list may be.
        settings = subprocess.run(["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True).stdout
        own = [line for line in settings.splitlines() if "::IndexTargets" not in line]
        (self.folder / "etc/apt/apt.conf.d/50machine").write_text("\n".join(own) + "\n")
        (self.folder / "etc/resolv.conf").touch()
        self._apt("update")

    def install_python(self, version: str) -> str | None:
        """Install `python<version>` with what makes virtual environments; its path inside, or None if there is none."""
        path = f"/usr/bin/python{version}"
        if not (self.folder / f"usr/include/python{version}/Python.h").exists():
            known = self.command("apt-cache", "show", f"python{version}-venv")
            if subprocess.run(known, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
                return None
            self._apt("install", f"python{version}-venv", f"python{version}-dev")
        return path

    def command(self, *command: str) -> list[str]:
        """The words that run `command` inside, in the checkout, which has the same path there."""
        inside = ["sh", "-ec", _ENTER, "sh", str(self.folder), str(ROOT), *command]
        return ["unshare", "--mount", "--fork", "--kill-child", *inside]

    def _apt(self, verb: str, *packages: str) -> None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        options = ["-y", "-qq", "--no-install-recommends"]
        with (FOLDER / "apt.txt").open("ab") as log:
            command = self.command("apt-get", verb, *options, *packages)
            subprocess.run(command, check=True, env=environment, stdout=log, stderr=log)


def _mirror() -> str:
    """The mirror of Debian's that this machine's own packages come from."""
    listed = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(listed, capture_output=True, text=True).stdout.splitlines()
    mirrors = [line.split()[1] for line in found if line.startswith("Debian http") and "security" not in line]
    return mirrors[0] if mirrors else "http://deb.debian.org/debian"

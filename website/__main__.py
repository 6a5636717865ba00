"""`python -m website` builds the site into site/; a warning is an error."""

from __future__ import annotations

import shutil
import subprocess
import sys

from website.places import CONFIGURATION, ROOT, SITE, SITE_URL, SOURCE_URL, STAGE
from website.reading import check, write
from website.staging import stage


def main() -> int:
    pages = stage()
    check(pages)
    (STAGE / "docs/assets").mkdir(exist_ok=True)
    shutil.copyfile(CONFIGURATION.with_name("site.css"), STAGE / "docs/assets/site.css")
    shutil.copytree(CONFIGURATION.with_name("overrides"), STAGE / "overrides")
    configuration = CONFIGURATION.read_text(encoding="utf-8")
    configuration = configuration.replace("SITE_URL", SITE_URL).replace("SOURCE_URL", SOURCE_URL)
    (STAGE / "zensical.toml").write_text(configuration, encoding="utf-8")
    built = subprocess.run(  # noqa: S603 -- nothing of it comes from outside
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", STAGE / "zensical.toml"],
        cwd=STAGE,
        check=False,
    )
    if built.returncode:
        return built.returncode
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.move(STAGE / "site", SITE)  # Zensical writes to nowhere but below its configuration
    write(pages)
    print(f"{len(pages)} pages in {SITE.relative_to(ROOT)}/; to read them: python -m http.server --directory site")
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env bash
# Typer 0.26.0: options that name the environment variables which give their values.
# Expected (Typer's documentation, "CLI Arguments with Environment Variables", and every other release, 0.25.1 and 0.26.1 among
# them): a variable that is set gives the value; of several, the first that is set.
# Seen: the variables are ignored, and the default is taken, without a word.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > try.py <<'PYTHON'
from typing import Annotated

import typer


def main(
    listed: Annotated[int, typer.Option(envvar=["FIRST", "SECOND"])] = 0,
    single: Annotated[int, typer.Option(envvar="FIRST")] = 0,
) -> None:
    print(listed, single)


typer.run(main)
PYTHON
for version in 0.25.1 0.26.0 0.26.1; do
  python3 -m venv "$version"
  "$version/bin/pip" install --quiet "typer==$version"
  echo "Typer $version: $(FIRST=5 SECOND=7 "$version/bin/python" try.py), with the second alone $(SECOND=7 "$version/bin/python" try.py)" | tee -a seen.txt
done
diff seen.txt - <<'SEEN'
Typer 0.25.1: 5 5, with the second alone 7 0
Typer 0.26.0: 0 0, with the second alone 0 0
Typer 0.26.1: 5 5, with the second alone 7 0
SEEN

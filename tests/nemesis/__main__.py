"""`python -m tests.nemesis --broker redis-sentinel --minutes 60 --seed 7`: our own set-ups, and their own faults.

The servers are started, and ended with the run. A program that is missing is said.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from _pytest.outcomes import Skipped

from nitro.testing.nemesis.__main__ import add_options, run_and_report
from tests.nemesis.setups import SET_UPS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.nemesis", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--broker", choices=list(SET_UPS), required=True)
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, prefix="nemesis-servers-") as directory:
        try:
            with SET_UPS[options.broker](Path(directory)) as set_up:
                print(options.broker, end=", ")
                return run_and_report(options, set_up.url, set_up.faults(), set_up.namespace)
        except Skipped as missing:
            print(missing, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())

"""A small flood in each run of the tests; `make flood` is the one of 5,000."""

from __future__ import annotations

import pytest

from tests.flood import measure


@pytest.mark.alone
def test_good_clients_lose_nothing_and_wait_no_longer_while_strangers_do_what_they_can() -> None:
    print(measure(strangers=600, good=100, seconds=4, slack_ms=20))

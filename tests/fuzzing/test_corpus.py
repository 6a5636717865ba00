"""What the fuzzer found, and what an attacker would try first, once more; and some random bytes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing import corpus
from tests.fuzzing.seeds import SEEDS, WORDS
from tests.fuzzing.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_every_kept_input_breaks_no_promise(target: str) -> None:
    kept = corpus.files(target)
    assert len(kept) <= corpus.MAX_FILES
    inputs = {path.name: path.read_bytes() for path in kept}
    assert max(map(len, inputs.values()), default=0) <= corpus.MAX_BYTES
    for n, seed in enumerate(SEEDS[target]):
        inputs[f"SEEDS[{target!r}][{n}]"] = seed
    for name, data in inputs.items():
        try:
            TARGETS[target](data)
        except BaseException as error:
            error.add_note(f"by {name}: {data!r}")
            raise


@pytest.mark.parametrize("target", TARGETS)
def test_random_bytes_break_no_promise(target: str) -> None:
    words = st.lists(st.sampled_from([*SEEDS[target], *WORDS[target]]) | st.binary(max_size=20), max_size=12)

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=400), words.map(b"".join)))
    def run(data: bytes) -> None:
        TARGETS[target](data)

    run()

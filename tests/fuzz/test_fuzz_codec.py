"""The codec's fuzzer, for a moment. `fuzz_codec` says how to run it for longer."""

from itertools import islice

from rudp.core.codec import decode
from rudp.core.segment import SegmentError
from tests.fuzz import fuzz_codec


def test_a_few_thousand_inputs_find_nothing() -> None:
    for data in islice(fuzz_codec.inputs(seed=9293), 3000):
        fuzz_codec.test_one_input(data)


def test_the_inputs_are_neither_all_valid_nor_all_refused() -> None:
    valid = 0
    for data in islice(fuzz_codec.inputs(seed=9293), 1000):
        try:
            decode(data)
            valid += 1
        except SegmentError:
            pass
    assert 200 < valid < 800

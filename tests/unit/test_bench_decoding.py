from __future__ import annotations

from asr.tally import Done
from asr.types import DecodeKind
from bench.decoding import Decoding, decoding
from tests.unit.test_metrics import MACHINE, Sight, histogram, metrics


def read(sight: Sight) -> Decoding:
    """Read what the gateway itself would tell."""
    return decoding(metrics(sight).page("", MACHINE)[0].decode())


def test_finals_count_on_trial_or_not_and_interims_apart() -> None:
    sight = Sight()
    sight.done[DecodeKind.FINAL] = Done(batches=histogram({1: 2, 4: 1}), retries=1)
    sight.done[DecodeKind.SPECULATIVE] = Done(batches=histogram({2: 1}), retries=2)
    sight.done[DecodeKind.INTERIM] = Done(batches=histogram({3: 1, 6: 1}), retries=4)
    assert read(sight) == Decoding(batch_finals=2.0, batch_interims=4.5, retries=7)


def test_where_nothing_was_decoded_there_is_no_mean() -> None:
    assert read(Sight()) == Decoding(batch_finals=None, batch_interims=None, retries=0)

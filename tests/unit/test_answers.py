from __future__ import annotations

from typing import TYPE_CHECKING

from asr.types import DecodeKind, DecodeRequest, Hypothesis
from asr.worker_process import answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Greedy:
    """Settles what comes first, and has no memory for the last of several."""

    name = compute_type = device = "it"

    def warm_up(self) -> None:
        """Do nothing."""

    def decode(self, requests: Sequence[DecodeRequest]) -> Iterator[tuple[int, Hypothesis]]:
        for place, request in enumerate(requests):
            if place and place == len(requests) - 1:
                raise RuntimeError("CUDA failed with error out of memory")
            yield place, Hypothesis(text=request.request_id, model="it")


def test_a_second_look_without_memory_makes_no_batch_smaller_and_costs_nobody_an_answer() -> None:
    requests = {
        place: DecodeRequest(
            request_id=name, stream_key=name, group_key=name, kind=DecodeKind.FINAL, audio=b"", origin_sample=0
        )
        for place, name in enumerate("abc")
    }
    shrunk: list[int] = []
    heard = dict(answers(Greedy(), requests, shrunk.append))
    assert {place: answer.hypothesis and answer.hypothesis.text for place, answer in heard.items()} == {
        0: "a",
        1: "b",
        2: "c",
    }
    assert shrunk == []

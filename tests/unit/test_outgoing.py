from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.stream import Transcript
from adapters.wire.outgoing import MOST_BYTES, MOST_WAITING, Outgoing


def interim(utterance: int, revision: int = 1) -> Transcript:
    return Transcript(utterance_id=f"u{utterance}", final=False, data=b"%d" % revision)


def final(utterance: int, data: bytes = b"") -> Transcript:
    return Transcript(utterance_id=f"u{utterance}", final=True, data=data)


def drained(outgoing: Outgoing) -> list[Transcript]:
    taken = []
    while transcript := outgoing.take():
        taken.append(transcript)
    assert not outgoing
    return taken


def test_finals_keep_their_order_and_of_interims_the_newest_is_kept() -> None:
    outgoing = Outgoing()
    sheds = [outgoing.put(each) for each in (final(1), interim(2, 1), interim(3), interim(2, 2), final(4))]
    assert sheds == [0, 0, 0, 1, 0]
    assert drained(outgoing) == [final(1), interim(3), interim(2, 2), final(4)]
    assert outgoing.finals_shed == 0


def test_a_final_takes_the_place_of_its_interim() -> None:
    outgoing = Outgoing()
    assert [outgoing.put(each) for each in (interim(1), final(2), final(1))] == [0, 0, 1]
    assert drained(outgoing) == [final(2), final(1)]


def test_where_too_much_waits_interims_go_first_and_then_the_oldest_finals() -> None:
    outgoing = Outgoing()
    shed = sum(outgoing.put(each) for each in (final(0), interim(1), interim(2)))
    shed += sum(outgoing.put(final(number)) for number in range(3, MOST_WAITING + 2))
    assert (shed, outgoing.finals_shed) == (2, 0)
    assert outgoing.put(final(MOST_WAITING + 2)) == 0
    assert outgoing.finals_shed == 1
    assert drained(outgoing) == [final(number) for number in range(3, MOST_WAITING + 3)]


def test_what_waits_is_bounded_in_bytes_too() -> None:
    outgoing = Outgoing()
    for number in range(10):
        outgoing.put(final(number, bytes(MOST_BYTES // 4)))
    assert drained(outgoing) == [final(number, bytes(MOST_BYTES // 4)) for number in range(6, 10)]
    assert outgoing.finals_shed == 6


@given(st.lists(st.tuples(st.sampled_from(["interim", "final", "take"]), st.integers(0, 400)), max_size=900))
def test_everything_is_taken_or_shed_once_and_finals_in_order(steps: list[tuple[str, int]]) -> None:
    outgoing, interims, shed = Outgoing(), 0, 0
    taken: list[Transcript] = []
    finals: list[Transcript] = []
    for number, (what, utterance) in enumerate(steps):
        if what == "take":
            taken += filter(None, [outgoing.take()])
        elif what == "interim":
            interims += 1
            shed += outgoing.put(interim(utterance, number))
        else:
            finals.append(final(1_000 + number))
            shed += outgoing.put(finals[-1])
    taken += drained(outgoing)
    sent = [each for each in taken if each.final]
    assert sent == [each for each in finals if each in sent]
    assert len(sent) + outgoing.finals_shed == len(finals)
    assert len(taken) - len(sent) + shed == interims

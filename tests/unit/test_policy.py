from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.policy import Waiting, choose, make_room
from asr.types import BYTES_PER_MS, DecodeKind, DecodeRequest

NOW = 100.0


def waits(name: str, *, since: float = 90.0, order: int = 0, lost: bool = False, **fields: object) -> Waiting:
    """`name` is group and number: "A1" is a final, "A1?" one on trial, "a1" an interim, "a1!" a first one."""
    final = DecodeKind.SPECULATIVE if name.endswith("?") else DecodeKind.FINAL
    kind = final if name[0].isupper() else DecodeKind.INTERIM
    deadline = fields.get("deadline")
    assert deadline is None or isinstance(deadline, float)
    audio_ms = fields.get("audio_ms", 1000)
    assert isinstance(audio_ms, int)
    request = DecodeRequest(
        request_id=name,
        stream_key=name[0],
        group_key=name[0].lower(),
        kind=kind,
        first=name.endswith("!"),
        audio=bytes(audio_ms * BYTES_PER_MS),
        origin_sample=0,
        deadline=deadline,
    )
    return Waiting(request=request, since=since, order=order, lost=lost)


def window(request: DecodeRequest) -> float:
    return 7.0 if request.audio_ms <= 5000 else 12.0


def names(entries: tuple[Waiting, ...]) -> str:
    return " ".join(entry.request.request_id for entry in entries)


@pytest.mark.parametrize(
    ("why", "waiting", "served", "batch_size", "chosen", "late"),
    [
        ("nothing waits", [], {}, 1, "", ""),
        ("the oldest final", [waits("A1", since=95.0), waits("B1", since=92.0)], {}, 1, "B1", ""),
        ("a final before an older interim", [waits("a1", since=1.0), waits("B1", since=99.0)], {}, 1, "B1", ""),
        ("the oldest interim", [waits("a1", since=95.0), waits("b1", since=92.0)], {}, 1, "b1", ""),
        ("what came first of a moment", [waits("A1", order=2), waits("B1", order=1)], {}, 1, "B1", ""),
        (
            "a group that had its turn waits for its next one",
            [waits("A1", since=90.0), waits("B1", since=95.0)],
            {"a": 96.0},
            1,
            "B1",
            "",
        ),
        (
            "but not for ever: it goes before who came after its turn",
            [waits("A1", since=90.0), waits("B1", since=97.0)],
            {"a": 96.0},
            1,
            "A1",
            "",
        ),
        (
            "the group served least recently, among equals",
            [waits("A1", since=99.0, order=1), waits("B1", since=99.0, order=2)],
            {"a": 98.0, "b": 97.0},
            1,
            "B1",
            "",
        ),
        ("interims take no turns", [waits("a1", since=90.0), waits("b1", since=95.0)], {"a": 96.0}, 1, "a1", ""),
        ("a lost final first", [waits("A1", since=90.0), waits("B1", since=99.0, lost=True)], {}, 1, "B1", ""),
        (
            "a lost final alone",
            [waits("A1", since=90.0), waits("B1", since=99.0, lost=True), waits("C1", lost=True)],
            {},
            3,
            "C1",
            "",
        ),
        ("a lost interim first", [waits("a1", since=90.0), waits("b1", since=99.0, lost=True)], {}, 1, "b1", ""),
        ("a final before a lost interim", [waits("A1"), waits("b1", lost=True)], {}, 1, "A1", ""),
        ("late at its deadline", [waits("A1", deadline=NOW), waits("B1", since=99.0)], {}, 1, "B1", "A1"),
        ("in time just before", [waits("A1", deadline=NOW + 0.001)], {}, 1, "A1", ""),
        ("late interims, too", [waits("a1", deadline=99.0), waits("B1")], {}, 1, "B1", "a1"),
        ("even a lost one can be late", [waits("A1", deadline=99.0, lost=True)], {}, 1, "", "A1"),
        (
            "a batch takes turns, too",
            [waits("A1", order=1), waits("A2", order=2), waits("B1", order=3), waits("B2", order=4)],
            {},
            3,
            "A1 B1 A2",
            "",
        ),
        ("a batch is of one kind", [waits("A1"), waits("b1"), waits("c1")], {}, 3, "A1", ""),
        ("a final on trial before an interim", [waits("a1!", since=1.0), waits("B1?")], {}, 1, "B1?", ""),
        ("a final before one on trial", [waits("A1?", since=1.0), waits("B1")], {}, 1, "B1", ""),
        ("those on trial take turns", [waits("A1?", since=1.0), waits("B1?", since=2.0)], {"a": 3.0}, 1, "B1?", ""),
        ("a first interim before an older one", [waits("a1", since=1.0), waits("b1!")], {}, 2, "b1!", ""),
        (
            "a batch is of one window",
            [waits("A1", since=1.0, audio_ms=9000), waits("B1", since=2.0), waits("C1", since=3.0, audio_ms=9000)],
            {},
            3,
            "A1 C1",
            "",
        ),
        ("a batch of interims", [waits("a1", since=3.0), waits("b1", since=2.0), waits("c1")], {}, 2, "b1 a1", ""),
    ],
)
def test_what_is_chosen(
    why: str, waiting: list[Waiting], served: dict[str, float], batch_size: int, chosen: str, late: str
) -> None:
    choice = choose(waiting, NOW, served=served, batch_size=batch_size, window=window)
    assert (names(choice.batch), names(choice.late)) == (chosen, late), why


@pytest.mark.parametrize(
    ("why", "waiting", "needed_ms", "gone"),
    [
        ("it fits", [waits("A1")], 2000, ""),
        ("one interim is enough", [waits("a1", order=2), waits("b1", order=1), waits("C1")], 1000, "b1"),
        ("as many as it takes", [waits("a1", order=2), waits("b1", order=1), waits("C1")], 2000, "b1 a1"),
        ("finals never give way", [waits("A1"), waits("B1"), waits("C1")], 1, None),
        ("when all interims are not enough, none goes", [waits("a1"), waits("B1"), waits("C1")], 1500, None),
        ("what could never fit", [], 3001, None),
        ("exactly full is not too much", [], 3000, ""),
        (
            "an interim before a final on trial",
            [waits("A1?", order=1), waits("b1!", order=2), waits("C1")],
            1000,
            "b1!",
        ),
        ("then one on trial", [waits("A1?", order=1), waits("b1", order=2), waits("C1")], 2000, "b1 A1?"),
        (
            "a part of an interim's room is enough",
            [waits("a1", audio_ms=2000), waits("B1")],
            500,
            "a1",
        ),
    ],
)
def test_what_gives_way_below_three_seconds(why: str, waiting: list[Waiting], needed_ms: int, gone: str | None) -> None:
    room = make_room(waiting, needed_ms, 3000)
    assert (None if room is None else names(room)) == gone, why


ENTRIES = st.lists(
    st.builds(
        waits,
        st.sampled_from(["A1", "A2", "B1", "C1", "A3?", "B3?", "a1", "b1", "c1", "a4!", "c4!"]),
        since=st.floats(0, NOW),
        order=st.integers(0, 99),
        lost=st.booleans(),
        audio_ms=st.sampled_from([1000, 9000]),
        deadline=st.none() | st.floats(90, 110),
    ),
    max_size=12,
)


@given(ENTRIES, st.dictionaries(st.sampled_from("abc"), st.floats(0, NOW)), st.integers(1, 4))
def test_a_choice_is_whole(entries: list[Waiting], served: dict[str, float], batch_size: int) -> None:
    choice = choose(entries, NOW, served=served, batch_size=batch_size, window=window)
    late = [entry for entry in entries if entry.is_late(NOW)]
    in_time = [entry for entry in entries if not entry.is_late(NOW)]
    kinds = [(DecodeKind.FINAL, False), (DecodeKind.SPECULATIVE, False), (DecodeKind.INTERIM, True)]
    kinds.append((DecodeKind.INTERIM, False))
    by_urgency = [[e for e in in_time if (e.request.kind, e.request.first) == kind] for kind in kinds]
    eligible = next(filter(None, by_urgency), [])
    assert list(choice.late) == late
    if choice.batch:
        width = window(choice.batch[0].request)
        eligible = [entry for entry in eligible if window(entry.request) == width]
    most = 1 if any(entry.lost for entry in choice.batch) else batch_size
    alike = [entry for entry in eligible if not entry.lost] if most > 1 else eligible
    assert len(choice.batch) == len({id(entry) for entry in choice.batch}) == min(most, len(alike))
    assert all(any(entry is each for each in eligible) for entry in choice.batch)


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.floats(0, 50)), min_size=1, max_size=30))
def test_no_final_is_passed_over_more_than_once_by_a_group_with_many(arrivals: list[tuple[str, float]]) -> None:
    """Serve all that wait: between two turns of one group, every other one that waits has had its own."""
    left = [waits(f"{group}{i}", since=at, order=i) for i, (group, at) in enumerate(arrivals)]
    served: dict[str, float] = {}
    now, turns = 60.0, []
    while left:
        (entry,) = choose(left, now, served=served).batch
        left.remove(entry)
        turns.append((entry.request.group_key, {each.request.group_key for each in left}))
        now += 1
        served[entry.request.group_key] = now
    for index, (group, _) in enumerate(turns):
        since_last = [each for each, _ in turns[:index]]
        if group in since_last:
            between = turns[index - since_last[::-1].index(group) : index]
            others = turns[index - since_last[::-1].index(group) - 1][1] - {group}
            assert others <= {each for each, _ in between}

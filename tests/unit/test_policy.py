from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.policy import Limits, Waiting, choose, make_room
from asr.types import BYTES_PER_MS, DecodeKind, DecodeRequest

NOW = 100.0
LIMITS = Limits(total=3000 * BYTES_PER_MS, track=1500 * BYTES_PER_MS)


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
    return Waiting(request=request, since=since, order=order, lost=lost, size=len(request.audio))


def window(entry: Waiting) -> float:
    return 7.0 if entry.audio_ms <= 5000 else 12.0


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
    ("why", "waiting", "new", "gone", "spooled"),
    [
        ("it fits", [waits("A1")], waits("Z1", audio_ms=1500), "", ""),
        ("exactly full is not too much", [waits("A1", audio_ms=1500)], waits("Z1", audio_ms=1500), "", ""),
        ("one interim is enough", [waits("a1", order=2), waits("b1", order=1), waits("C1")], waits("Z1"), "b1", ""),
        (
            "as many as it takes",
            [waits("a1", order=2), waits("b1", order=1), waits("C1")],
            waits("Z1", audio_ms=1500),
            "b1 a1",
            "",
        ),
        (
            "an interim before a final on trial",
            [waits("A1?", order=1), waits("b1!", order=2), waits("C1")],
            waits("Z1"),
            "b1!",
            "",
        ),
        (
            "then one on trial",
            [waits("A1?", order=1), waits("b1", order=2), waits("C1")],
            waits("Z1", audio_ms=1500),
            "b1 A1?",
            "",
        ),
        (
            "then the oldest final waits on disk",
            [waits("A1", order=2), waits("B1", order=1), waits("c1", order=3)],
            waits("Z1", audio_ms=1500),
            "c1",
            "B1",
        ),
        (
            "as many as it takes, too",
            [waits("A1", order=2, audio_ms=2000), waits("B1", order=1, audio_ms=500)],
            waits("Z1", audio_ms=1500),
            "",
            "B1 A1",
        ),
        (
            "an interim's whole room, though a part is enough",
            [waits("a1", audio_ms=2000), waits("B1")],
            waits("Z1"),
            "a1",
            "",
        ),
        (
            "beyond the track's limit its own oldest",
            [waits("A1", order=1), waits("Z1", order=2, audio_ms=500), waits("Z2", order=3, audio_ms=500)],
            waits("Z3"),
            "",
            "Z1",
        ),
        (
            "what is on trial is not counted to the track",
            [waits("Z1?", audio_ms=1000), waits("Z1", audio_ms=500)],
            waits("Z2"),
            "",
            "",
        ),
        (
            "both limits at once",
            [waits("A1", order=1, audio_ms=1500), waits("Z1", order=2, audio_ms=1500)],
            waits("Z2"),
            "",
            "A1 Z1",
        ),
    ],
)
def test_what_gives_way_below_three_seconds_and_half_of_that_for_a_track(
    why: str, waiting: list[Waiting], new: Waiting, gone: str, spooled: str
) -> None:
    room = make_room(waiting, new, LIMITS)
    assert room is not None, why
    assert (names(room.gone), names(room.spooled)) == (gone, spooled), why


@pytest.mark.parametrize(
    ("why", "waiting", "new"),
    [
        ("what could never fit", [], waits("Z1", audio_ms=3001)),
        ("to an interim nothing gives way", [waits("A1", audio_ms=2001), waits("b1", audio_ms=500)], waits("z1")),
        ("to one on trial no final does", [waits("A1", audio_ms=2001)], waits("Z1?")),
        ("more than its track's limit", [], waits("Z1", audio_ms=1501)),
    ],
)
def test_what_does_not_fit(why: str, waiting: list[Waiting], new: Waiting) -> None:
    limits = LIMITS if new.audio_ms < 3001 else Limits(total=LIMITS.total)
    assert make_room(waiting, new, limits) is None, why


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


@given(ENTRIES, st.sampled_from(["A9", "B9?", "c9"]), st.integers(1, 20), st.integers(1, 20))
def test_room_is_made_within_the_limits_and_not_for_nothing(
    entries: list[Waiting], name: str, total_seconds: int, track_seconds: int
) -> None:
    new = waits(name)
    limits = Limits(total=total_seconds * 1000 * BYTES_PER_MS, track=track_seconds * 1000 * BYTES_PER_MS)
    room = make_room(entries, new, limits)
    if room is None:
        finals = [entry for entry in entries if entry.request.kind is DecodeKind.FINAL]
        stuck = 0 if new.request.kind is DecodeKind.FINAL else sum(entry.size for entry in finals)
        assert new.request.kind is DecodeKind.INTERIM or stuck + new.size > min(limits.total, limits.track)
        return
    away = {id(entry) for entry in (*room.gone, *room.spooled)}
    kept = [*(entry for entry in entries if id(entry) not in away), new]
    of_track = [entry for entry in kept if entry.request.stream_key == "A" and entry.request.kind is DecodeKind.FINAL]
    assert sum(entry.size for entry in kept) <= limits.total
    assert new.request.kind is not DecodeKind.FINAL or sum(entry.size for entry in of_track) <= limits.track
    assert all(entry.request.kind is not DecodeKind.FINAL for entry in room.gone)
    assert all(entry.request.kind is DecodeKind.FINAL for entry in room.spooled)
    assert not (room.spooled and new.request.kind is not DecodeKind.FINAL)


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
        width = window(choice.batch[0])
        eligible = [entry for entry in eligible if window(entry) == width]
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

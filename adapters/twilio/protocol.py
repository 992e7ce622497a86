"""What carriers say of a call whose audio they stream, and what is made of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.stream import StreamStarted, Track, TrackRole, WireError
from adapters.twilio.carriers import CARRIERS
from adapters.wire.json_media import Opening
from adapters.wire.parameters import bounded, read_object
from adapters.wire.said import WISHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from adapters.twilio.carriers import Carrier
    from adapters.wire.json_media import Beginning
    from config.types import Role

SPEAKERS: tuple[Role, Role] = ("inbound", "outbound")
"""What the carrier hears from the leg that is streamed, and what it plays to it."""

NUMBERS = {"from": "calling", "to": "called"}
"""What carriers call the two numbers of a call, and what routes go by."""

TOO_MUCH = "more parameters came than are kept: 64, of 8,192 characters each, 16,000 in all"


class Introduction:
    """Makes of `start` what a stream is.

    `labels` are the operator's words for speakers, by role; `known` is what is known of the call already, by a webhook
    or a program; `mask` takes secrets out; `check` tells who vouches for a stream beside the listener, and may raise
    WireError where it is another's.
    """

    def __init__(
        self,
        carrier: Carrier,
        labels: Mapping[Role, str],
        *,
        known: Mapping[str, str] | None = None,
        mask: Callable[[str], str] = str,
        check: Callable[[Beginning], str | None] = lambda _said: None,
    ) -> None:
        self._carrier = carrier
        self._voices: dict[str, Track] = {
            role: Track(id=role, role=TrackRole(role), label=labels.get(role)) for role in SPEAKERS
        }
        self._known = known or {}
        self._mask = mask
        self._check = check

    def open(self, said: Beginning) -> Opening:
        """Open a stream. Raises WireError where it is not this carrier's, or its audio cannot be taken."""
        if not self._carrier.knows(said):
            raise WireError(_not_its_own(self._carrier, said))
        vouched_by = self._check(said)
        form = self._carrier.format(said)
        pairs = [(self._mask(name), self._mask(value)) for name, value in said.parameters]
        facts = [(NUMBERS.get(name, name), self._mask(value)) for name, value in said.facts]
        told = _first_said(self._known.items(), pairs)
        parameters, all_kept = bounded(_first_said(facts, _without(told, WISHES)))
        named = dict.fromkeys(name.removesuffix("_track") for name in said.tracks)
        started = StreamStarted(
            stream_id=said.stream_id,
            external_call_id=said.call_id,
            vouched_by=vouched_by,
            tracks=tuple(self._voices[name] for name in named if name in self._voices),
            parameters=parameters,
            wishes=dict(_wishes(told)),
            remarks=() if all_kept else (TOO_MUCH,),
        )
        return Opening(started=started, format=form, voices=self._voices)


def _first_said(*sources: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Put together what several say: of one name, what is said by the first that says anything.

    So nobody can write into the TwiML, say, what another account's calls are known by.
    """
    said: dict[str, str] = {}
    for source in sources:
        said |= {name: value for name, value in dict(source).items() if name not in said}
    return list(said.items())


def _without(pairs: Iterable[tuple[str, str]], names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if name not in names]


def _wishes(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, Any]]:
    """Give what is asked for: parameters are text, and `options` is JSON in it."""
    for name, value in pairs:
        if name in WISHES:
            yield name, (read_object(value) or value) if name == "options" else value


def _not_its_own(carrier: Carrier, said: Beginning) -> str:
    """Say what is wrong where `start` is spelled in another way than the path's carrier spells it."""
    spelled = {name for name, _ in said.facts}
    others = [each for each in CARRIERS if {each.names.call, each.names.stream} & spelled]
    hint = "".join(f"; {each.title} spells it so, and its path is {each.path}" for each in others[:1])
    return f"expected start of {carrier.title}, with {carrier.names.stream} and {carrier.names.call}{hint}"

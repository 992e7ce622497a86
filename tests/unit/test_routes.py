from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.languages import Languages
from config.load import load
from config.profiles import PROFILES
from config.routes import DEFAULT_ROUTE, Match, Route
from config.settings import Models, Settings, Speech, Transcripts
from config.voice import TwilioVoice
from gateway.routes import CallOptions, Facts, Routes

if TYPE_CHECKING:
    from collections.abc import Callable

FACTS = Facts(
    adapter="audiosocket",
    listener="customers",
    account="pbx",
    parameters={"called": "+18005551212", "calling": "+4930123", "queue": "support [de]"},
)


def routes(*table: Route) -> Routes:
    return Routes(Settings(routes=table))


def taken(**match: Any) -> bool:
    return routes(Route(name="it", match=Match(**match))).choose(FACTS).route == "it"


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"adapter": "audiosocket"}, True),
        ({"adapter": "twilio"}, False),
        ({"adapter": ("twilio", "audiosocket")}, True),
        ({"listener": "cust*"}, True),
        ({"listener": "Customers"}, False),
        ({"account": "pbx", "listener": "agents"}, False),
        ({"account": "p?x"}, True),
        ({"called": "+1800*"}, True),
        ({"calling": "+1800*"}, False),
        ({"calling": ("+1*", "+49*")}, True),
        ({"parameters": {"queue": "support *"}}, True),
        ({"parameters": {"queue": "support [de]"}}, True),
        ({"parameters": {"queue": "*", "language": "*"}}, False),
    ],
)
def test_a_route_fits_when_all_that_it_asks_for_does(match: dict[str, Any], *, fits: bool) -> None:
    assert taken(**match) is fits


def test_what_is_not_known_fits_nothing() -> None:
    unknown = Facts(adapter="audiosocket", listener="customers")
    for match in (Match(account="*"), Match(called="*"), Match(parameters={"queue": "*"})):
        assert routes(Route(name="it", match=match)).choose(unknown).route == DEFAULT_ROUTE


def test_the_first_route_that_fits_is_taken_and_else_the_default() -> None:
    table = routes(
        Route(name="no", match=Match(listener="agents"), language="fr"),
        Route(name="first", match=Match(listener="customers"), language="de"),
        Route(name="second", match=Match(listener="*"), language="es"),
    )
    assert (table.choose(FACTS).route, table.choose(FACTS).language) == ("first", "de")
    other = table.choose(Facts(adapter="audiosocket", listener="x"))
    assert (other.route, other.language) == ("second", "es")


def test_a_route_changes_what_it_names_and_nothing_else() -> None:
    settings = load(
        None,
        {
            "LINESCRIBE_MODELS__PROFILES": "{mine: {beam_size: 3}}",
            "LINESCRIBE_MODELS__PROFILE": "mine",
            "LINESCRIBE_TRANSCRIPTS__SEGMENTS": "true",
            "LINESCRIBE_SPEECH__HANGOVER_MS": "650",
            "LINESCRIBE_ROUTES": "[{name: it, hotwords: Linescribe, words: true, labels: {inbound: customer}}]",
        },
    )
    table = Routes(settings)
    changed, base = table.choose(FACTS), Routes(Settings()).choose(FACTS)
    assert changed.route == "it"
    assert changed.language == base.language == "en"
    assert (changed.decode.hotwords, changed.decode.initial_prompt) == ("Linescribe", None)
    assert (changed.profile, changed.decode.profile.beam_size, changed.decode.word_times) == ("mine", 3, True)
    assert (changed.transcripts.words, changed.transcripts.segments) == (True, True)
    assert changed.speech.hangover_ms == 650
    assert changed.labels == {"inbound": "customer"}
    assert (base.decode.hotwords, base.transcripts.words, base.labels) == (None, False, {})


def test_what_was_registered_goes_before_the_route() -> None:
    route = Route(name="it", language="de", profile="accurate", hotwords="one", words=True, segments=True)
    chosen = routes(route).choose(FACTS)
    assert (chosen.profile, chosen.decode.profile) == ("accurate", PROFILES["accurate"])
    options = CallOptions(
        initial_prompt="Bonjour.",
        words=False,
        profile="realtime",
        task="translate",
        condition_on_previous_text=True,
    )
    refined = chosen.refined(language="fr", options=options, endpoints=("crm",))
    assert (refined.language, refined.decode.hotwords, refined.decode.initial_prompt) == ("fr", "one", "Bonjour.")
    assert (refined.transcripts.words, refined.decode.word_times, refined.transcripts.segments) == (False, False, True)
    assert refined.endpoints == ("crm",)
    assert (refined.profile, refined.decode.profile, refined.decode.task) == (
        "realtime",
        PROFILES["realtime"],
        "translate",
    )
    assert refined.condition_on_previous_text
    assert chosen.refined(language=None, options=CallOptions(), endpoints=None) == chosen


def test_the_languages_allowed_are_said_by_settings_route_and_registration() -> None:
    auto = Models(language="auto", languages=("en", "es", "fr"))
    narrow = Route(name="it", match=Match(listener="customers"), languages=("en", "es"))
    table = Routes(Settings(models=auto, routes=(narrow,)))
    chosen = table.choose(FACTS)
    assert (chosen.language, chosen.spoken) == ("auto", Languages(allowed=("en", "es")))
    assert table.choose(Facts(adapter="x", listener="x")).spoken == Languages(allowed=("en", "es", "fr"))

    def registered(language: str | None, languages: tuple[str, ...] | None) -> Languages:
        refined = chosen.refined(language=language, languages=languages, options=CallOptions(), endpoints=None)
        return refined.spoken

    assert registered(None, ("de", "en")) == Languages(allowed=("de", "en"))
    assert registered(None, ()) == Languages()
    assert registered(None, ("de",)) == registered("de", None) == Languages(given="de")


def test_whether_a_stream_ends_with_an_answer_is_said_by_settings_route_and_registration() -> None:
    speech = Speech(endpointing="auto_end", hangover_ms=650)
    table = Routes(
        Settings(speech=speech, routes=(Route(name="it", match=Match(listener="c*"), endpointing="continue"),))
    )
    chosen = table.choose(FACTS)
    assert chosen.speech == Speech(hangover_ms=650)
    assert table.choose(Facts(adapter="x", listener="x")).speech == speech
    asked = CallOptions(endpointing="auto_end")
    assert chosen.refined(language=None, options=asked, endpoints=None).speech == speech


def test_what_is_masked_is_said_by_settings_route_and_registration() -> None:
    general = Transcripts(mask=("heck",), mask_profanity=True)
    table = Routes(
        Settings(
            transcripts=general,
            routes=(
                Route(name="own", match=Match(listener="customers"), mask=("darn",)),
                Route(name="plain", match=Match(listener="plain"), mask=(), mask_profanity=False),
            ),
        )
    )
    plain = table.choose(Facts(adapter="audiosocket", listener="plain"))
    own = table.choose(FACTS)
    assert (own.transcripts.mask, own.transcripts.mask_profanity) == (("darn",), True)
    assert plain.transcripts == Transcripts()
    assert table.choose(Facts(adapter="audiosocket", listener="other")).transcripts == general
    asked = CallOptions(mask=("heck", "drat"), mask_profanity=True)
    refined = plain.refined(language=None, options=asked, endpoints=None)
    assert (refined.transcripts.mask, refined.transcripts.mask_profanity) == (("heck", "drat"), True)


def test_what_a_call_of_twilios_goes_on_with_is_said_by_its_route_alone() -> None:
    queue = TwilioVoice(enqueue="support", when_full="busy")
    table = routes(
        Route(name="support", match=Match(called="+1800*"), twilio=queue),
        Route(name="desk", match=Match(called="+1900*"), twilio=TwilioVoice(dial="sip:desk@pbx.example")),
        Route(name="silent", match=Match(called="+1901*")),
    )

    def voice(called: str) -> TwilioVoice | None:
        return table.choose(Facts(adapter="twilio", listener="twilio", parameters={"called": called})).voice

    assert voice("+18005551212") == queue
    assert voice("+19005551212") == TwilioVoice(dial="sip:desk@pbx.example")
    assert voice("+19015551212") is None
    assert voice("+4930123456") is None
    refined = table.choose(FACTS).refined(language="de", options=CallOptions(), endpoints=None)
    assert refined.voice == queue


@pytest.mark.parametrize("kind", [CallOptions, Transcripts, lambda mask: Route(name="it", mask=mask)])
def test_what_could_never_be_masked_is_refused_wherever_it_is_said(kind: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="single words"):
        kind(mask=("oh heck",))


def test_the_explanation_tells_of_every_condition() -> None:
    table = routes(
        Route(name="sales", match=Match(called=("+1900*", "+1901*"), parameters={"vip": "yes"})),
        Route(name="support", match=Match(listener="customers", parameters={"queue": "support*"})),
        Route(name="rest"),
    )
    sales, support, rest, default = table.explain(FACTS)
    assert (sales.fits, support.fits, rest.fits, default.fits) == (False, True, True, True)
    assert sales.reasons == (
        "called is '+18005551212', not '+1900*' or '+1901*'",
        "parameter vip is not known, not 'yes'",
    )
    assert support.reasons == (
        "listener is 'customers', as 'customers'",
        "parameter queue is 'support [de]', as 'support*'",
    )
    assert rest.reasons == ("has no match, so every stream fits",)
    assert default.route == DEFAULT_ROUTE


PATTERN = st.text("ab*?[]!", min_size=1, max_size=5)
VALUE = st.text("ab[]!", max_size=5)


@given(
    table=st.lists(st.tuples(PATTERN, st.none() | PATTERN), max_size=5),
    listener=VALUE,
    called=st.none() | VALUE,
)
def test_the_choice_is_the_first_that_the_explanation_says_fits(
    table: list[tuple[str, str | None]], listener: str, called: str | None
) -> None:
    made = routes(*(Route(name=f"r{n}", match=Match(listener=one, called=two)) for n, (one, two) in enumerate(table)))
    facts = Facts(adapter="x", listener=listener, parameters={} if called is None else {"called": called})
    verdicts = made.explain(facts)
    assert made.choose(facts).route == next(verdict.route for verdict in verdicts if verdict.fits)
    assert len(verdicts) == len(table) + 1


@given(text=st.text("ab[]!-^", min_size=1, max_size=8))
def test_brackets_in_a_pattern_mean_themselves(text: str) -> None:
    assert routes(Route(name="it", match=Match(listener=text))).choose(Facts(adapter="x", listener=text)).route == "it"

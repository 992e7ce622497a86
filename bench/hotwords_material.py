"""Names that a model does not know, sentences that hold them, and lists of what is to be expected. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

PEOPLE = (
    "Zoltan Kovacs",
    "Anneliese Baumgartner",
    "Priya Raghunathan",
    "Oluwaseun Adeyemi",
    "Mireille Dubosc",
    "Dmitri Sokolovsky",
    "Bartholomew Quigley",
    "Ingrid Halvorsen",
    "Tomasz Wojtanek",
    "Farida Qureshi",
    "Leopold Szymanski",
    "Marisol Echeverry",
    "Hamish Farquharson",
)
COMPANIES = (
    "Linescribe",
    "Xfinity",
    "Novatrix",
    "Veltronica",
    "Halcyonix",
    "Omnidyne",
    "Cordalis",
    "Trelawney Mutual",
    "Bluquist",
    "Kestrelbank",
    "Pharmadine",
    "Axiomera",
    "Quentessa",
    "Brontide Logistics",
)
PRODUCTS = (
    "Asterisk",
    "AudioSocket",
    "FreeSWITCH",
    "Kamailio",
    "Voxbridge",
    "Duplexor",
    "Melotrin",
    "Cardivex",
    "Trionol",
    "SureVault",
    "PayNova",
    "OpenSIPS",
    "Tessaloc",
)
SENTENCES = {
    PEOPLE: (
        "Could you put me through to {} in accounts please.",
        "My name is {} and I am calling about my invoice.",
        "I spoke with {} yesterday about the delivery.",
    ),
    COMPANIES: (
        "I have been a customer of {} for three years.",
        "Hello, is this the support line of {} please.",
        "We got an offer from {} last week.",
    ),
    PRODUCTS: (
        "I would like to cancel my order of {} today.",
        "How do I install {} on my computer.",
        "The {} that you sent me does not work.",
    ),
}
NAMES = PEOPLE + COMPANIES + PRODUCTS

LISTED = 8
"""Names in a list of hotwords."""


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be said."""

    name: str
    before: str
    after: str

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.before}{self.name}{self.after}"


def sentences() -> Iterator[Sentence]:
    """Put every name into every sentence of its kind."""
    for names, frames in SENTENCES.items():
        for name in names:
            for frame in frames:
                before, _, after = frame.partition("{}")
                yield Sentence(name=name, before=before, after=after)


def wrong_list(said: str, random: np.random.Generator) -> list[str]:
    """Draw names that are not said."""
    return [str(each) for each in random.permutation([name for name in NAMES if name != said])[:LISTED]]


def right_list(said: str, random: np.random.Generator) -> list[str]:
    """Draw a list that holds the name, anywhere among others."""
    drawn = wrong_list(said, random)
    drawn[int(random.integers(LISTED))] = said
    return drawn


WORDINGS: dict[str, Callable[[Sequence[str]], str]] = {
    "a, b, c": ", ".join,
    "a b c": " ".join,
    "a, b, c.": lambda names: ", ".join(names) + ".",
    "Glossary: a, b, c.": lambda names: f"Glossary: {', '.join(names)}.",
    "A sentence about a, b, and c.": lambda names: f"We talk about {', '.join(names[:-1])}, and {names[-1]}.",
}
"""How a list may be put; the first is what docs and settings show."""

"""Words with which people stop and start texts, or ask for help: which they are, what answers them.

A service may have wordings of its own (Twilio: Advanced Opt-Out), by language and country.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.errors import Refusal

# A text is a keyword when nothing else is in it. Twilio documents "trimmed" and "any case"; whoever
# writes “Stop.” or "STOP!" means it as well, and takes it ill when texts go on.
AROUND = " .,!¡;:'\"“”„‘’‚«»‹›()[]*_-。、「」"
# Marks of direction, soft hyphens, what selects an emoji: keyboards put them in, nobody sees them.
_UNSEEN = frozenset({"Cc", "Cf"})
_VARIATIONS = "\ufe0e\ufe0f"
KEYWORD_LENGTH_MAX = 30
# One wording answers one language; a service that speaks more has services of its own.
WORDINGS_MAX = 30
WORDS_MAX = 25  # Of one wording and one action.
TEXT_LENGTH_MAX = 320  # About two segments.


class Action(StrEnum):
    """What a keyword asks for, as Twilio's OptOutType names it."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"


_LONG: Mapping[Action, tuple[str, ...]] = {
    # Twilio's list; the last two since 2025.
    Action.STOP: (
        *("stop", "stopall", "unsubscribe", "cancel", "end", "quit"),
        *("optout", "revoke"),
    ),
    Action.START: ("start", "yes", "unstop"),
    Action.HELP: ("help", "info"),
}
# The network of toll-free numbers knows these only; what it does not stop, nobody else may. A call
# for help is the owner's to answer.
_TOLLFREE: Mapping[Action, tuple[str, ...]] = {
    Action.STOP: ("stop",),
    Action.START: ("start", "unstop"),
}
# No wording takes these away: https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out
KEPT: Mapping[Action, tuple[str, ...]] = {
    Action.STOP: ("stop",),
    Action.START: ("start", "unstop"),
    Action.HELP: ("help",),
}
ANSWERS: Mapping[Action, str] = {
    Action.STOP: "You will get no more messages from us. Reply START to get them again.",
    Action.START: (
        "You will get messages from us again. Reply HELP for help, STOP to end them."
        " Message and data rates may apply."
    ),
    Action.HELP: (
        "Reply STOP to get no more messages, START to get them again."
        " Message and data rates may apply."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Keywords and answers in a language; country: whose numbers it is for, '' for all.

    Actions without words have those that are always there, and without a text our own answer.
    """

    language: str
    country: str = ""
    words: Mapping[Action, tuple[str, ...]]
    texts: Mapping[Action, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOutRules:
    """The wordings of a Messaging Service; where there are none, the usual words hold."""

    sid: str
    account_sid: str
    service_sid: str
    wordings: tuple[Wording, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Keyword:
    """A text that is a keyword: what it asks for, the word, and what it is answered with."""

    action: Action
    word: str
    answer: str
    language: str = ""


@lru_cache(maxsize=1024)
def bare_word(text: str) -> str:
    """Return a text as it is compared with keywords, '' when it is too long to be one."""
    if len(text) > 4 * KEYWORD_LENGTH_MAX:
        return ""
    seen = "".join(filter(_is_seen, unicodedata.normalize("NFKC", text)))
    bare = " ".join(seen.casefold().split()).strip(AROUND)
    return bare if len(bare) <= KEYWORD_LENGTH_MAX else ""


def _is_seen(char: str) -> bool:
    is_unseen = unicodedata.category(char) in _UNSEEN or char in _VARIATIONS
    return char.isspace() or not is_unseen


def find_keyword(
    text: str,
    *,
    is_short_code: bool,
    is_tollfree: bool,
    country: str | None,
    rules: OptOutRules | None,
) -> Keyword | None:
    """Return the keyword that a text to a number of ours is, or None; *country* is its sender's.

    Without rules short codes know no keyword: their owners answer them themselves.
    """
    word = bare_word(text)
    if not word:
        return None
    if rules is not None and rules.wordings:
        return _find_in(_for_country(rules.wordings, country), word)
    if is_short_code:
        return None
    for action, words in (_TOLLFREE if is_tollfree else _LONG).items():
        if word in words:
            return Keyword(action, word, ANSWERS[action])
    return None


def check_wordings(wordings: Sequence[Wording]) -> None:
    """Refuse (20422) wordings that cannot be: too many, too long, or a word of two actions."""
    if len(wordings) > WORDINGS_MAX:
        raise _bad("Wordings", f"must be at most {WORDINGS_MAX}")
    names = [(each.language, each.country.upper()) for each in wordings]
    if len(set(names)) < len(names):
        raise _bad("Wordings", "must each be of another language or country")
    for wording in wordings:
        _check_wording(wording)


def with_kept_words(wording: Wording) -> Wording:
    """Return a wording with its words as they are compared, and those that are always there."""
    words = {
        action: _unique((*KEPT[action], *map(bare_word, wording.words.get(action, ()))))
        for action in Action
    }
    return Wording(
        language=wording.language,
        country=wording.country.upper(),
        words=words,
        texts={action: text for action, text in wording.texts.items() if text},
    )


def _find_in(wordings: Sequence[Wording], word: str) -> Keyword | None:
    if any(word in kept for kept in KEPT.values()):
        # All wordings have it, but it is English; a country's own ones stay first.
        wordings = sorted(wordings, key=lambda each: (not each.country, not _is_english(each)))
    for wording in wordings:
        for action in Action:
            if word in KEPT[action] or word in wording.words.get(action, ()):
                answer = wording.texts.get(action) or ANSWERS[action]
                return Keyword(action, word, answer, wording.language)
    return None


def _is_english(wording: Wording) -> bool:
    return wording.language.lower().startswith("en")


def _for_country(wordings: Sequence[Wording], country: str | None) -> list[Wording]:
    """Return the wordings that a country's people may mean, its own ones first."""
    own = [each for each in wordings if each.country and each.country == country]
    others = [each for each in wordings if not each.country]
    # In a country that none is for, the first one still knows the words that are always there.
    return own + others or list(wordings[:1])


def _check_wording(wording: Wording) -> None:
    if not wording.language or len(wording.language) > KEYWORD_LENGTH_MAX:
        raise _bad("Language", f"must have 1 to {KEYWORD_LENGTH_MAX} characters")
    if wording.country and wording.country.upper() not in COUNTRY_NAMES:
        raise _bad("Country", "must be a country's two letters, or empty")
    seen: dict[str, Action] = {}
    for action in Action:
        words = wording.words.get(action, ())
        if len(words) > WORDS_MAX:
            raise _bad("Words", f"must be at most {WORDS_MAX} for {action}")
        for word in _unique((*KEPT[action], *words)):
            if not bare_word(word):
                raise _bad("Words", f"must each have 1 to {KEYWORD_LENGTH_MAX} characters")
            if seen.setdefault(bare_word(word), action) is not action:
                reason = f"must not mean both {seen[bare_word(word)]} and {action}: {word}"
                raise _bad("Words", reason)
        if len(wording.texts.get(action, "")) > TEXT_LENGTH_MAX:
            raise _bad("Texts", f"must have at most {TEXT_LENGTH_MAX} characters")


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in words if word))


def _bad(name: str, reason: str) -> Refusal:
    return Refusal(20422, name=f"`{name}`", reason=reason)

"""What a phone on the shelf shows: its texts as bubbles, their media, and whom it may text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from zlib import crc32

from trunkline.domain.address import national_format
from trunkline.domain.handset import Handset, HandsetText, Step
from trunkline.network.behaviours import BEHAVIOURS, Behaviour, find_behaviour

HUES = 6

_OUR_MEDIUM = re.compile(r"/Accounts/(AC\w{32})/Messages/(\w{34})/Media/(ME\w{32})(?:\.json)?$")
_TICKS = {
    Step.ON_ITS_WAY: ("is-waiting", "on its way"),
    Step.ARRIVED: ("is-arrived", "delivered"),
    Step.FAILED: ("is-failed", "not delivered"),
    Step.REFUSED: ("is-failed", "refused by the network"),
    Step.DEFERRED: ("is-waiting", "waiting for the network"),
}


@dataclass(frozen=True, slots=True)
class MediumName:
    """Names a medium that our own API serves."""

    account_sid: str
    message_sid: str
    sid: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A medium as a page shows it. kind: 'image', 'audio', 'video', 'file', 'link' or 'gone'."""

    kind: str
    label: str
    url: str = ""


GONE = Attachment("gone", "No longer there")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """One text in a conversation; a bubble that opens a run names the peer."""

    sid: str
    message_sid: str
    is_outgoing: bool
    peer: str
    opens: bool
    body: str
    chip: str
    at: datetime
    tick: str
    tick_words: str
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """One phone as the page draws it."""

    number: str
    name: str
    label: str
    initials: str
    hue: int
    behaviour: str
    mood: str
    behaviours: Sequence[Behaviour]
    bubbles: Sequence[Bubble]
    peers: Sequence[str]
    has_earlier: bool


def draw_phone(
    handset: Handset,
    bubbles: Sequence[Bubble],
    *,
    our_numbers: Sequence[str],
    has_earlier: bool,
) -> Phone:
    """Return a phone; the peer it would answer stands first."""
    behaviour = find_behaviour(handset.behaviour) if handset.behaviour else None
    label = national_format(handset.number)
    return Phone(
        number=handset.number,
        name=handset.name,
        label=label,
        initials=_initials(handset),
        hue=crc32(handset.number.encode()) % HUES,
        behaviour=handset.behaviour,
        mood="" if behaviour is None else behaviour.title,
        behaviours=tuple(BEHAVIOURS.values()),
        bubbles=bubbles,
        peers=_peers(bubbles, our_numbers),
        has_earlier=has_earlier,
    )


def draw_bubble(
    text: HandsetText,
    previous: HandsetText | None,
    *,
    attachments: Sequence[Attachment],
    message_sid: str,
) -> Bubble:
    """Return the bubble of a text; *previous* is the text above it."""
    tick, words = _TICKS[text.step] if text.is_outgoing else ("", "")
    same = previous is not None and (previous.peer, previous.is_outgoing) == (
        text.peer,
        text.is_outgoing,
    )
    return Bubble(
        sid=text.sid,
        message_sid=message_sid,
        is_outgoing=text.is_outgoing,
        peer=text.peer,
        opens=not same,
        body=text.body,
        chip=cost_label(str(text.encoding), len(text.segments), media=len(text.media)),
        at=text.shown_at,
        tick=tick,
        tick_words=words,
        attachments=tuple(attachments),
    )


def cost_label(encoding: str, segments: int, *, media: int = 0) -> str:
    """Return what a text costs in words: 'UCS-2 · 2 segments', or 'MMS'."""
    if media:
        return "MMS"
    return f"{encoding} · {segments} segment{'' if segments == 1 else 's'}"


def our_medium(url: str, base_url: str) -> MediumName | None:
    """Return which medium of ours *url* names, or None when somebody else serves it."""
    if not url.startswith(base_url):
        return None
    found = _OUR_MEDIUM.search(urlsplit(url).path)
    return MediumName(*found.groups()) if found else None


def attachment(content_type: str, *, url: str) -> Attachment:
    """Return a medium of ours by what it is."""
    kind = content_type.partition("/")[0]
    if kind in ("image", "audio", "video"):
        return Attachment(kind, content_type, url)
    return Attachment("file", "Contact" if "vcard" in content_type else content_type, url)


def foreign_link(url: str) -> Attachment:
    """Return the link to a medium that a stranger serves; only web addresses become links."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return Attachment("gone", url)
    if parts.scheme not in ("http", "https"):
        return Attachment("gone", url)
    return Attachment("link", host + parts.path, url)


def _peers(bubbles: Sequence[Bubble], our_numbers: Sequence[str]) -> list[str]:
    # A name ("ACME") can be read, but not answered.
    spoken_to = [bubble.peer for bubble in reversed(bubbles) if bubble.peer.lstrip("+").isdigit()]
    return list(dict.fromkeys([*spoken_to[:1], *our_numbers, *spoken_to]))


def _initials(handset: Handset) -> str:
    words = handset.name.split()
    return "".join(word[0] for word in words[:2]).upper() if words else handset.number[-2:]

"""Media of messages: what may travel as MMS and how large, and what goes as a link instead.

https://www.twilio.com/docs/messaging/guides/accepted-mime-types
"""

from dataclasses import dataclass

from msgspec.structs import replace

from trunkline.domain.address import country_of
from trunkline.domain.choice import MMS_COUNTRIES
from trunkline.domain.message import Message

MEDIA_BYTES_MAX = 5 * 1024 * 1024  # Twilio: 5 MB for the media of one message together.
# Carriers make pictures fit; of other media they take about this, whatever Twilio takes.
OTHER_BYTES_MAX = 500 * 1024
MADE_TO_FIT = frozenset({"image/jpeg", "image/jpg", "image/png", "image/gif"})
_OTHERS = {
    "image": "bmp heic heif tiff",
    "audio": (
        "3gpp 3gpp2 aac ac3 amr amr-nb basic l24 mp4 mpeg ogg vnd.rn-realaudio vnd.wave vorbis wav"
        " webm x-wav"
    ),
    "video": (
        "3gpp 3gpp-tt 3gpp2 h261 h263 h263-1998 h263-2000 h264 mp4 mpeg mpeg4 quicktime webm"
    ),
    "text": "calendar csv directory richtext rtf vcard x-vcard",
    "application": "pdf vcard vnd.apple.pkpass",
}
ACCEPTED_TYPES = MADE_TO_FIT | {
    f"{kind}/{name}" for kind, names in _OTHERS.items() for name in names.split()
}
# What a browser may show in place. Everything else, SVG and HTML above all, is a download.
SHOWN_TYPES = frozenset(
    {
        *("image/jpeg", "image/jpg", "image/png", "image/gif", "image/webp", "image/bmp"),
        *("image/heic", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/amr", "audio/3gpp"),
        *("audio/wav", "audio/aac", "audio/webm", "audio/x-wav", "audio/basic"),
        *("video/mp4", "video/3gpp", "video/3gpp2", "video/webm", "video/quicktime", "video/mpeg"),
    }
)
# Over what Twilio takes at all, and over what carriers take of this type.
TOO_LARGE, TOO_LARGE_FOR_CARRIERS = 11751, 30019
BAD_CONTENT_TYPE = 12300

# The option of a message whose media go as a link in its text: why they do.
AS_LINK = "as_link"
NO_MMS_THERE = "there is no MMS in the recipient's country"
NO_MMS_WAY = "no sender or carrier takes media there"


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a medium cannot go along."""

    error_code: int
    reason: str


def object_to(message: Message, content_type: str, *, size: int) -> Objection | None:
    """Say what is wrong with a medium that a message is to take along, None for nothing.

    Channels, and what somebody sends us, have rules of their own. A link leads to any size.
    """
    if size > MEDIA_BYTES_MAX:
        return Objection(TOO_LARGE, "larger than 5 MB")
    if not message.is_outbound or ":" in message.recipient:
        return None
    if content_type not in ACCEPTED_TYPES:
        return Objection(BAD_CONTENT_TYPE, f"{content_type} is no type that messages carry")
    if goes_as_mms(message) and content_type not in MADE_TO_FIT and size > OTHER_BYTES_MAX:
        return Objection(TOO_LARGE_FOR_CARRIERS, f"{content_type} is larger than 500 kB")
    return None


def carries_media(message: Message) -> bool:
    """Tell whether media travel with a message themselves."""
    return bool(message.num_media) and not is_linked(message)


def goes_as_mms(message: Message) -> bool:
    """Tell whether media travel with a message themselves, and not in a channel."""
    return carries_media(message) and ":" not in message.recipient


def is_linked(message: Message) -> bool:
    """Tell whether a message's media go as a link in its text."""
    return AS_LINK in message.options


def linked(message: Message, why: str) -> Message:
    """Return a message whose media are to go as a link in its text."""
    return replace(message, options={**message.options, AS_LINK: why})


def ways(message: Message, *, may_convert: bool = True) -> tuple[Message, ...]:
    """Return a message as it may travel, the best way first; () for one with media that cannot.

    As MMS where there is MMS; otherwise, if it may be converted, as a text with a link.
    """
    if not message.num_media or ":" in message.recipient:
        return (message,)
    if country_of(message.recipient) in MMS_COUNTRIES:
        return (message, linked(message, NO_MMS_WAY)) if may_convert else (message,)
    return (linked(message, NO_MMS_THERE),) if may_convert else ()

"""A request that is made again under its key has its effect once.

Rule: who asks the same again is answered with the message as it is by now; who asks for something
else under the key is refused. A request that was refused has not used its key.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec
from sqlalchemy import Connection

from trunkline.domain.errors import Refusal
from trunkline.domain.message import Message
from trunkline.domain.sending import Draft, SendRequest
from trunkline.flows.platform import Platform
from trunkline.store.idempotency import KeyRow, find_key, take_keys
from trunkline.store.messages import find_message
from trunkline.store.rows import values_of

HEADER = "Idempotency-Key"
KEY_LENGTH_MAX = 255  # As at Stripe; a UUID has 36.
KEY_PATTERN = f"^[!-~]{{1,{KEY_LENGTH_MAX}}}$"
# The options of a message: the key it was asked for under, and a digest of what was asked.
KEY, DIGEST = "idempotency_key", "idempotency_digest"

_KEY = re.compile(KEY_PATTERN)
_DEFAULTS = values_of(SendRequest())


async def once(
    platform: Platform,
    account_sid: str,
    request: SendRequest,
    *,
    key: str | None,
    send: Callable[[SendRequest], Awaitable[Message]],
) -> Message:
    """Return the message that was asked for under *key* before, or the one that *send* makes now.

    Refuses a key that is none (20422), one that belongs to another request (20424), and one whose
    message was deleted since (20410).
    """
    if key is None:
        return await send(request)
    if not _KEY.match(key):
        reason = f"1 to {KEY_LENGTH_MAX} printable ASCII characters without spaces"
        raise Refusal(20422, name=f"`{HEADER}`", reason=reason)
    digest = _digest(platform, request)
    if earlier := await _earlier(platform, account_sid, key, digest=digest):
        return earlier
    options = {**request.options, KEY: key, DIGEST: digest}
    sent = await send(replace(request, options=options))
    # The same request on another connection, or on another node, may have been the first.
    return await _earlier(platform, account_sid, key, digest=digest) or sent


def in_time(db: Connection, drafts: Sequence[Draft]) -> Sequence[Draft]:
    """Take the keys of drafts, and return the drafts that were not too late for theirs."""
    rows = [
        KeyRow(
            account_sid=message.account_sid,
            key=message.options[KEY],
            digest=message.options[DIGEST],
            message_sid=message.sid,
            created_at=message.created_at,
        )
        for message in (draft.message for draft in drafts)
        if KEY in message.options
    ]
    late = take_keys(db, rows)
    return [draft for draft in drafts if draft.message.sid not in late] if late else drafts


async def _earlier(
    platform: Platform, account_sid: str, key: str, *, digest: str
) -> Message | None:
    """Return the message that a key stands for, or refuse."""
    now = platform.clock.now()

    def query(db: Connection) -> tuple[KeyRow | None, Message | None]:
        row = find_key(db, account_sid, key, now=now)
        return row, find_message(db, account_sid, row.message_sid) if row else None

    row, message = await platform.store.read(query)
    if row is None:
        return None
    if row.digest != digest:
        raise Refusal(20424)
    if message is None:
        path = f"/2010-04-01/Accounts/{account_sid}/Messages/{row.message_sid}.json"
        raise Refusal(20410, path=path)
    return message


def _digest(platform: Platform, request: SendRequest) -> str:
    """Return a digest of what is asked; from it alone nobody can tell whether he guessed a text.

    What is not given is left out, so that a parameter more in the next version changes nothing.
    """
    asked = {n: value for n, value in values_of(request).items() if value != _DEFAULTS[n]}
    text = msgspec.json.encode(asked, order="deterministic").decode()
    return platform.vault.sign(f"{HEADER} {text}")

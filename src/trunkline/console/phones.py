"""The shelf of phones: conversations, a composer on each, and the wishes of a phone's owner."""

import asyncio
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from trunkline.console.conversation import (
    GONE,
    Attachment,
    Bubble,
    Phone,
    cost_label,
    draw_bubble,
    draw_phone,
    foreign_link,
    our_medium,
)
from trunkline.console.holdings import first_numbers
from trunkline.console.media import draw_medium, find_visible_medium
from trunkline.console.pages import page
from trunkline.console.snippets import PLACEHOLDER, python_snippet
from trunkline.console.visit import Visit
from trunkline.domain.account import Media
from trunkline.domain.errors import Refusal
from trunkline.domain.handset import Handset, HandsetText
from trunkline.domain.text import BODY_MAX, body_length, hint
from trunkline.flows import messages
from trunkline.flows.inbound import INBOUND_MARK
from trunkline.flows.outbound import SendRequest, send
from trunkline.store.outbox import find_refs

PHONES_MAX = 24  # More do not fit a shelf that somebody looks at.
TEXTS_ON_SHELF_MAX = 40  # Two heights of the screen; the rest is a click away.
TEXTS_ON_PAGE_MAX = 200

TEST_BODY = "Hello from Trunkline 👋"


async def show_shelf(
    visit: Visit, *, notice: str = "", drafts: dict[str, str] | None = None
) -> Response:
    """Show the phones, most recently active first."""
    if not visit.sees_phones:
        return page(visit, "no_phones.html")
    handsets = await visit.network.handsets(PHONES_MAX)
    numbers = await first_numbers(visit)
    drawn = await asyncio.gather(*(_phone(visit, h, numbers) for h in handsets))
    return page(
        visit,
        "phones.html",
        status_code=400 if notice else 200,
        phones=drawn,
        numbers=numbers,
        notice=notice,
        is_full=len(drawn) == PHONES_MAX,
        drafts=drafts or {},
        test_body=TEST_BODY,
        snippet=python_snippet(visit, PLACEHOLDER, numbers),
    )


async def show_phone(visit: Visit) -> Response:
    """Show one phone with more of its past; `before` goes further back."""
    handset = await _handset(visit)
    before = visit.request.query_params.get("before")
    texts = await visit.network.texts(handset.number, limit=TEXTS_ON_PAGE_MAX + 1, before=before)
    numbers = await first_numbers(visit)
    bubbles = await _bubbles(visit, texts[-TEXTS_ON_PAGE_MAX:])
    phone = draw_phone(
        handset, bubbles, our_numbers=numbers, has_earlier=len(texts) > TEXTS_ON_PAGE_MAX
    )
    return page(visit, "phone.html", phone=phone, numbers=numbers, test_body=TEST_BODY, drafts={})


async def show_thread(visit: Visit) -> Response:
    """Show one conversation alone, for a page that is open."""
    handset = await _handset(visit)
    phone = await _phone(visit, handset, await first_numbers(visit))
    return page(visit, "thread.html", phone=phone, numbers=phone.peers, test_body=TEST_BODY)


async def add_phone(visit: Visit) -> Response:
    """Put a phone with a free number on the shelf."""
    _require_phones(visit)
    form = await visit.form()
    try:
        handset = await visit.network.add_handset(None, form.get("name", ""))
    except Refusal as refusal:
        return visit.declined(refusal.message, page=await show_shelf(visit, notice=refusal.message))
    return visit.done(f"/#{handset.number}")


async def change_phone(visit: Visit) -> Response:
    """Set a phone's name and what becomes of texts to it."""
    handset = await _handset(visit)
    form = await visit.form()
    try:
        await visit.network.add_handset(handset.number, form.get("name", handset.name))
        await visit.network.set_behaviour(handset.number, form.get("behaviour", ""))
    except Refusal as refusal:
        return await _declined(visit, handset, refusal)
    return visit.done(f"/#{handset.number}")


async def remove_phone(visit: Visit) -> Response:
    """Take a phone off the shelf, with its conversations."""
    handset = await _handset(visit)
    await visit.network.remove_handset(handset.number)
    return visit.done("/")


async def send_from_phone(visit: Visit) -> Response:
    """Let a phone text one of our numbers; a keyword button stands for the whole text."""
    handset = await _handset(visit)
    form = await visit.form()
    body = form.get("keyword") or form.get("body", "")
    media = tuple(form.get("media", "").split())
    try:
        if not body.strip() and not media:
            raise Refusal(21619)
        await visit.network.send_from(handset.number, form.get("to", ""), body=body, media=media)
    except Refusal as refusal:
        return await _declined(visit, handset, refusal, draft=body)
    return visit.done(f"/#{handset.number}")


async def send_test(visit: Visit) -> Response:
    """Text a phone from one of the account's numbers, as a program would."""
    handset = await _handset(visit)
    form = await visit.form()
    request = SendRequest(
        to=handset.number, from_=form.get("from") or None, body=form.get("body") or None
    )
    try:
        await send(visit.platform, visit.account, request)
    except Refusal as refusal:
        return await _declined(visit, handset, refusal)
    return visit.done(f"/#{handset.number}")


async def show_hint(visit: Visit) -> Response:
    """Say what a text that is being typed costs. In a form, because addresses get into logs."""
    body = (await visit.form()).get("body", "")
    length = body_length(body)
    if length > BODY_MAX:
        return JSONResponse({"label": f"{length:,} of {BODY_MAX:,} characters", "fits": False})
    cost = hint(body)
    label = f"{cost_label(cost.encoding, cost.segments)} · {cost.units_left_in_segment} left"
    return JSONResponse({"label": label, "fits": True})


async def _phone(visit: Visit, handset: Handset, numbers: Sequence[str]) -> Phone:
    texts = await visit.network.texts(handset.number, limit=TEXTS_ON_SHELF_MAX + 1)
    bubbles = await _bubbles(visit, texts[-TEXTS_ON_SHELF_MAX:])
    has_earlier = len(texts) > TEXTS_ON_SHELF_MAX
    return draw_phone(handset, bubbles, our_numbers=numbers, has_earlier=has_earlier)


async def _bubbles(visit: Visit, texts: Sequence[HandsetText]) -> list[Bubble]:
    above = [None, *texts]
    sids = await _message_sids(visit, texts)
    return [
        draw_bubble(
            text,
            previous,
            attachments=await _attachments(visit, text, message_sid=sids.get(text.sid, "")),
            message_sid=sids.get(text.sid, ""),
        )
        for previous, text in zip(above, texts, strict=False)
    ]


async def _message_sids(visit: Visit, texts: Sequence[HandsetText]) -> dict[str, str]:
    """Return which message of the account each text is, by the text's SID."""
    refs = {INBOUND_MARK + text.sid: text.sid for text in texts if text.is_outgoing}
    carrier = visit.platform.rules.carrier
    found = await visit.platform.store.read(lambda db: find_refs(db, carrier, refs))
    inbound = {
        refs[ref]: row.message_sid
        for ref, row in found.items()
        if row.account_sid == visit.account.sid
    }
    return inbound | {text.sid: text.message_ref for text in texts if text.message_ref}


async def _attachments(visit: Visit, text: HandsetText, *, message_sid: str) -> list[Attachment]:
    """Return the media of a text: those that we keep, and links to what we do not have."""
    kept: dict[str, Media] = {}
    if text.media and text.is_outgoing and message_sid:
        found = await messages.media_of(visit.platform, visit.account.sid, message_sid)
        kept = {medium.source_url: medium for medium in found}
    return [
        draw_medium(kept[url]) if url in kept else await _attachment(visit, url)
        for url in text.media
    ]


async def _attachment(visit: Visit, url: str) -> Attachment:
    name = our_medium(url, visit.platform.rules.base_url)
    if name is None:
        return foreign_link(url)
    medium = await find_visible_medium(visit, name)
    return GONE if medium is None else draw_medium(medium)


async def _handset(visit: Visit) -> Handset:
    _require_phones(visit)
    handset = await visit.network.handset(visit.request.path_params["number"])
    if handset is None:
        raise HTTPException(404, "There is no such phone.")
    return handset


def _require_phones(visit: Visit) -> None:
    if not visit.sees_phones:
        raise HTTPException(404, "The phones belong to the main account.")


async def _declined(
    visit: Visit, handset: Handset, refusal: Refusal, *, draft: str = ""
) -> Response:
    shelf = await show_shelf(visit, notice=refusal.message, drafts={handset.number: draft})
    return visit.declined(f"{refusal.message} ({refusal.code})", page=shelf)

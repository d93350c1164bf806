"""What a Messaging Service says of opt-out: words and answers of its own."""

from collections.abc import Sequence

from sqlalchemy import Connection

from trunkline.domain.errors import Refusal
from trunkline.domain.keywords import OptOutRules, Wording, check_wordings, with_kept_words
from trunkline.domain.service import MessagingService
from trunkline.flows.platform import Platform
from trunkline.store.records import (
    OPT_OUT_RULES,
    SERVICES,
    alone,
    delete_record,
    find_record,
    find_unique,
    insert_record,
    update_record,
)


async def find_service(platform: Platform, service_sid: str) -> MessagingService:
    """Return a service of any account, or refuse (20404)."""
    return await platform.store.read(lambda db: _required(db, service_sid))


async def rules_of(platform: Platform, service_sid: str) -> OptOutRules | None:
    """Return the words and answers of a service, if it has its own; refuse (20404) without one."""

    def query(db: Connection) -> OptOutRules | None:
        _required(db, service_sid)
        return find_unique(db, OPT_OUT_RULES, service_sid)

    return await platform.store.read(query)


async def set_rules(
    platform: Platform, service_sid: str, wordings: Sequence[Wording]
) -> OptOutRules:
    """Give a service words and answers of its own, beside those that nobody may take away."""
    if not wordings:
        raise Refusal(20422, name="`Wordings`", reason="must have one at least")
    check_wordings(wordings)
    now = platform.clock.now()

    def work(db: Connection) -> OptOutRules:
        alone(db)
        service = _required(db, service_sid)
        known = find_unique(db, OPT_OUT_RULES, service_sid)
        rules = OptOutRules(
            sid=known.sid if known else platform.chance.sid("OO", now),
            account_sid=service.account_sid,
            service_sid=service_sid,
            wordings=tuple(with_kept_words(each) for each in wordings),
            created_at=known.created_at if known else now,
            updated_at=now,
        )
        if known:
            update_record(db, OPT_OUT_RULES, rules)
        else:
            insert_record(db, OPT_OUT_RULES, rules)
        return rules

    return await platform.store.write(work)


async def reset_rules(platform: Platform, service_sid: str) -> None:
    """Let the usual words hold for a service again."""

    def work(db: Connection) -> None:
        alone(db)
        _required(db, service_sid)
        forget_rules(db, service_sid)

    await platform.store.write(work)


def forget_rules(db: Connection, service_sid: str) -> None:
    """Remove the words of a service; what was opted out of by them stays so."""
    known = find_unique(db, OPT_OUT_RULES, service_sid)
    if known:
        delete_record(db, OPT_OUT_RULES, known.sid)


def _required(db: Connection, service_sid: str) -> MessagingService:
    service = find_record(db, SERVICES, service_sid)
    if service is None:
        raise Refusal(20404)
    return service

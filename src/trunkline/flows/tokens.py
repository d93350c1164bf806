"""Rotation of auth tokens: a second one that works beside the first, and takes its place.

Webhooks are signed with the primary token at the moment they are made: an application that knows
both never meets a signature it cannot check.
"""

from dataclasses import replace

from trunkline.domain.account import Account
from trunkline.domain.errors import Refusal
from trunkline.flows.accounts import TOKEN_BYTES, rewrite
from trunkline.flows.platform import Platform


async def add_secondary(platform: Platform, account_sid: str) -> Account:
    """Give an account a second token, or refuse (20409) a third one."""

    def changed(before: Account) -> Account:
        if before.sealed_secondary:
            raise Refusal(20409, reason="there is a secondary auth token already")
        sealed = platform.vault.seal(platform.chance.token_hex(TOKEN_BYTES))
        return replace(before, sealed_secondary=sealed, secondary_at=platform.clock.now())

    return await rewrite(platform, account_sid, changed)


async def remove_secondary(platform: Platform, account_sid: str) -> Account:
    """Take an account's second token away, or refuse (20404) where there is none."""

    def changed(before: Account) -> Account:
        return replace(_rotating(before), sealed_secondary="", secondary_at=None)

    return await rewrite(platform, account_sid, changed)


async def promote(platform: Platform, account_sid: str) -> Account:
    """Put the second token in the first one's place, which is void, or refuse (20404)."""

    def changed(before: Account) -> Account:
        return replace(
            _rotating(before),
            sealed_token=before.sealed_secondary,
            sealed_secondary="",
            secondary_at=None,
        )

    return await rewrite(platform, account_sid, changed)


def _rotating(account: Account) -> Account:
    if not account.sealed_secondary:
        raise Refusal(20404)
    return account

"""The first program: what to paste in order to send a first message."""

RECIPIENT = "+15558675310"

_SNIPPET = """\
from twilio.rest import Client

client = Client({account_sid!r}, {auth_token!r})
client.api.base_url = {base_url!r}
message = client.messages.create(
    to={recipient!r},
    from_={phone_number!r},
    body='Hello from Trunkline',
)
print(message.sid, message.status)
"""


def snippet(account_sid: str, auth_token: str, *, base_url: str, phone_number: str) -> str:
    """Return a Python program that sends one message with the official SDK, as it stands."""
    return _SNIPPET.format(
        account_sid=account_sid,
        auth_token=auth_token,
        base_url=base_url,
        phone_number=phone_number,
        recipient=RECIPIENT,
    )

"""Programs of a few lines that send a text through this Trunkline, ready to be pasted."""

from collections.abc import Sequence

from trunkline.console.visit import Visit

PLACEHOLDER = "your_auth_token"
NO_NUMBER = "+15551234567"
RECIPIENT = "+15558675310"


def python_snippet(visit: Visit, auth_token: str, numbers: Sequence[str]) -> str:
    """Return three lines for the official Python client."""
    return (
        "from twilio.rest import Client\n\n"
        f'client = Client("{visit.account.sid}", "{auth_token}")\n'
        f'client.api.base_url = "{visit.platform.rules.base_url}"\n'
        f'client.messages.create(to="{RECIPIENT}", from_="{_sender(numbers)}", body="Hello!")'
    )


def node_snippet(visit: Visit, auth_token: str, numbers: Sequence[str]) -> str:
    """Return the same for the official Node client."""
    return (
        f'const client = require("twilio")("{visit.account.sid}", "{auth_token}");\n'
        f'client.api.baseUrl = "{visit.platform.rules.base_url}";\n'
        f'client.messages.create({{ to: "{RECIPIENT}", from: "{_sender(numbers)}", '
        'body: "Hello!" })\n'
        "  .then((message) => console.log(message.sid));"
    )


def curl_snippet(visit: Visit, auth_token: str, numbers: Sequence[str]) -> str:
    """Return the same for a shell."""
    sid = visit.account.sid
    return (
        f"curl '{visit.platform.rules.base_url}/2010-04-01/Accounts/{sid}/Messages.json' \\\n"
        f"  -u '{sid}:{auth_token}' \\\n"
        f"  --data-urlencode 'To={RECIPIENT}' \\\n"
        f"  --data-urlencode 'From={_sender(numbers)}' \\\n"
        "  --data-urlencode 'Body=Hello!'"
    )


def _sender(numbers: Sequence[str]) -> str:
    return numbers[0] if numbers else NO_NUMBER

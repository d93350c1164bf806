"""What `trunkline up` says once the platform answers."""

from rich.text import Text

from trunkline.cli.show import console
from trunkline.cli.snippet import snippet
from trunkline.connecting import reachable
from trunkline.datadir import StartedFacts


def announce(facts: StartedFacts) -> None:
    """Print where everything is; the first time also how to send a first message."""
    # soft_wrap: whoever copies a line out of a narrow terminal gets the whole line.
    console().print(banner(facts), soft_wrap=True, end="")


def banner(facts: StartedFacts) -> Text:
    """Return the text to print; its plain form is what arrives where nobody looks."""
    text = Text()
    text.append("Trunkline is ready.\n\n", style="bold green")
    for name, url, purpose in (
        ("Console", facts.console_url, "phones, messages and webhooks in the browser"),
        ("API", facts.base_url, "what the SDKs speak to"),
    ):
        text.append(f"  {name:<9}").append(url, style="cyan").append(f"  {purpose}\n", style="dim")
    for address in facts.smpp:
        text.append(f"  {'SMPP':<9}").append(address, style="cyan")
        text.append("  what SMPP clients bind to; who may: trunkline smpp list\n", style="dim")
    text.append("\n").append_text(_first_steps(facts) if facts.is_first_start else _reminder(facts))
    if facts.upstream:
        text.append_text(_upstream(facts.upstream))
    return text.append("\nPress Ctrl-C to stop.\n", style="dim")


def _first_steps(facts: StartedFacts) -> Text:
    code = snippet(
        facts.account_sid,
        facts.auth_token,
        base_url=reachable(facts.base_url),
        phone_number=facts.phone_number,
    )
    text = Text("Send a first message (Python with the `twilio` package):\n\n")
    text.append(code, style="bold")
    return text.append("\nThe credentials again at any time: trunkline credentials\n")


def _reminder(facts: StartedFacts) -> Text:
    return Text(
        f"Account {facts.account_sid}, number {facts.phone_number};"
        " the auth token: trunkline credentials\n"
    )


def _upstream(carrier: str) -> Text:
    return Text(
        f'\nA Twilio account is configured as carrier "{carrier}"; route to it with:'
        f" trunkline routes add --carrier {carrier} --prefix +1\n"
    )

"""`trunkline trace`: everything that happened to one message."""

from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Platform, rows, section
from trunkline.cli.show import print_facts, print_json, print_table

FACTS = ("sid", "status", "direction", "from", "to", "num_segments", "body", "error_code")
EVENTS = {"At": "at", "Event": "kind", "Details": "detail"}
ATTEMPTS = {
    "At": "at",
    "Webhook": "label",
    "Method": "method",
    "URL": "url",
    "HTTP": "http_status",
    "ms": "duration_ms",
    "Error": "error_code",
    "Reason": "reason",
}
WAITING = {"Due": "due_at", "Webhook": "label", "URL": "url", "Attempts so far": "attempts"}
TABLES = (
    ("Events", "events", EVENTS),
    ("Webhook attempts", "attempts", ATTEMPTS),
    ("Webhooks to come", "waiting", WAITING),
)


@click.command()
@click.argument("sid")
@options.data_dir_option
@options.json_option
def trace(*, sid: str, as_json: bool) -> None:
    """Tell everything that happened to a message."""
    path = f"/trunkline/v1/messages/{quote(sid, safe='', errors='replace')}/trace"
    document = Platform(options.credentials()).fetch(path)
    if as_json:
        print_json(document)
        return
    message = section(document, "message")
    print_facts({name: message[name] for name in FACTS if message.get(name) is not None})
    for title, key, columns in TABLES:
        if found := rows(document, key):
            click.echo(f"\n{title}")
            print_table(columns, found)

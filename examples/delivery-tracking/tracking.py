"""Keeps what became of every message: callbacks tell it, and the API what they have missed.

tracking.py listen                      asks for what was missed, then takes callbacks
tracking.py send "Hello" +15558675310   sends a text to one phone or several, and notes it
tracking.py reconcile                   asks for what was missed; for a timer
tracking.py report                      shows what became of all
"""

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

# How far a status is on its way; a later one is never replaced by an earlier one, nor by its equal.
STAGES = {"accepted": 0, "scheduled": 0, "queued": 1, "sending": 2, "sent": 3}
ENDED = 4
TABLE = """
    CREATE TABLE IF NOT EXISTS messages (
        sid TEXT PRIMARY KEY, recipient TEXT, status TEXT, error_code TEXT, stage INTEGER
    )
"""
NOTE = """
    INSERT INTO messages VALUES (:sid, :recipient, :status, :error_code, :stage)
    ON CONFLICT (sid) DO UPDATE
    SET status = excluded.status, error_code = excluded.error_code, stage = excluded.stage
    WHERE excluded.stage > stage
"""
MISSED_DAYS = 7
MISSED_MAX = 10_000  # Messages that one reconciliation looks at.
BODY_MAX = 64_000  # Bytes; a callback has less than one thousand.

PORT = int(os.environ.get("PORT", "3000"))
URL = f"http://127.0.0.1:{PORT}"
SENDER = os.environ.get("TWILIO_PHONE_NUMBER", "+14155550100")

# The client reads TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.
client = Client()
client.api.base_url = os.environ.get("TRUNKLINE_URL", "http://127.0.0.1:8800")
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])


@contextlib.contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """Open the database for one transaction."""
    with contextlib.closing(sqlite3.connect("deliveries.db")) as db, db:
        db.execute(TABLE)
        yield db


def note(sid: str, recipient: str, *, status: str, error_code: str | int | None) -> None:
    """Note a status, unless as much or more is known: it may come twice, late and out of order."""
    row = {"sid": sid, "recipient": recipient, "status": status, "error_code": error_code}
    with database() as db:
        db.execute(NOTE, {**row, "stage": STAGES.get(status, ENDED)})


def send(recipient: str, body: str) -> None:
    """Send a text and note it."""
    message = client.messages.create(
        to=recipient, from_=SENDER, body=body, status_callback=f"{URL}/status"
    )
    note(message.sid, recipient, status=message.status, error_code=None)
    print(f"{message.sid} is {message.status}")


def reconcile() -> None:
    """Ask the API for messages that we do not know, and for those that have not ended."""
    since = datetime.now(UTC) - timedelta(days=MISSED_DAYS)
    found = client.messages.list(date_sent_after=since, limit=MISSED_MAX, page_size=1000)
    with database() as db:
        unended = "SELECT sid, recipient FROM messages WHERE stage < ? LIMIT ?"
        known = db.execute(unended, (ENDED, MISSED_MAX)).fetchall()
    for sid, recipient in known:
        try:
            found.append(client.messages(sid).fetch())
        except TwilioRestException as error:
            if error.status != 404:
                raise
            note(sid, recipient, status="deleted", error_code=None)
    for message in found:
        if message.direction != "inbound":
            note(message.sid, message.to, status=message.status, error_code=message.error_code)


def report() -> None:
    """Show what became of all."""
    with database() as db:
        rows = db.execute("SELECT sid, recipient, status, error_code FROM messages ORDER BY sid")
        for sid, recipient, status, error_code in rows:
            print(sid, recipient, status, *([error_code] if error_code else []))


class Callbacks(BaseHTTPRequestHandler):
    """Takes status callbacks."""

    def do_POST(self) -> None:
        """Note a status, if the request is signed; without a good answer it comes again."""
        size = min(int(self.headers.get("Content-Length", 0)), BODY_MAX)
        form = dict(parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True))
        signature = self.headers.get("X-Twilio-Signature", "")
        if not validator.validate(URL + self.path, form, signature):
            self.send_error(403, "The signature is wrong")
            return
        sid, status, error_code = form["MessageSid"], form["MessageStatus"], form.get("ErrorCode")
        note(sid, form["To"], status=status, error_code=error_code)
        print(sid, status)
        # Only now: what is answered is on disk.
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent; statuses are printed."""


def listen() -> None:
    """Ask for what was missed while nobody listened, then take callbacks until stopped."""
    with ThreadingHTTPServer(("127.0.0.1", PORT), Callbacks) as server:
        reconcile()
        print(f"Callbacks come to {URL}/status")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["listen"]:
            listen()
        case ["send", body, *recipients] if recipients:
            for recipient in recipients:
                send(recipient, body)
        case ["reconcile"]:
            reconcile()
        case ["report"]:
            report()
        case _:
            sys.exit(__doc__)

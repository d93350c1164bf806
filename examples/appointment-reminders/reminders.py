"""Appointments, and texts that remind of them: scheduled ahead, canceled, moved.

reminders.py book +15558675310 "2026-01-03 15:00"   notes an appointment and schedules its reminders
reminders.py move 1 "2026-01-05 09:30"              puts appointment 1 off, and its reminders
reminders.py cancel 1                               calls it off, and its reminders
reminders.py list                                   shows all, and what became of their reminders
"""

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

AHEAD = {"tomorrow": timedelta(days=1), "in two hours": timedelta(hours=2)}
TEXT = "Your appointment is {when}, on {at:%A, %d %B at %H:%M}."
TABLES = """
    CREATE TABLE IF NOT EXISTS appointments (
        number INTEGER PRIMARY KEY AUTOINCREMENT, phone TEXT, at TEXT
    );
    CREATE TABLE IF NOT EXISTS reminders (sid TEXT PRIMARY KEY, appointment INTEGER);
"""
# Less than 15 minutes or more than 35 days ahead.
OUT_OF_REACH = {35114, 35115}
NOT_CANCELABLE = 30409

SERVICE = "Appointment reminders"
SENDER = os.environ.get("TWILIO_PHONE_NUMBER", "+14155550100")
HOST = os.environ.get("TRUNKLINE_URL", "http://127.0.0.1:8800")

# The client reads TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.
client = Client()
client.api.base_url = HOST
client.messaging.base_url = f"{HOST}/messaging"


@contextlib.contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """Open the database for one transaction."""
    with contextlib.closing(sqlite3.connect("appointments.db")) as db, db:
        db.executescript(TABLES)
        yield db


def service_sid() -> str:
    """Return the Messaging Service that sends reminders; the first time it is made."""
    services = client.messaging.v1.services
    for service in services.list():
        if service.friendly_name == SERVICE:
            return str(service.sid)
    # Texts to the number go on to wherever they went before.
    service = services.create(friendly_name=SERVICE, use_inbound_webhook_on_number=True)
    for number in client.incoming_phone_numbers.list(phone_number=SENDER, limit=1):
        service.phone_numbers.create(phone_number_sid=number.sid)
    return str(service.sid)


def schedule(appointment: int, phone: str, *, at: datetime) -> None:
    """Schedule the reminders that there is still time for."""
    service = service_sid()
    for when, ahead in AHEAD.items():
        send_at = at - ahead
        try:
            message = client.messages.create(
                to=phone,
                messaging_service_sid=service,
                body=TEXT.format(when=when, at=at),
                schedule_type="fixed",
                # The client writes the time as it stands and calls it UTC.
                send_at=send_at.astimezone(UTC),
            )
        except TwilioRestException as error:
            if error.code not in OUT_OF_REACH:
                raise
            print(f"Not reminded with “{when}”: {error.msg}")
            continue
        with database() as db:
            db.execute("INSERT INTO reminders VALUES (?, ?)", (message.sid, appointment))
        print(f"Reminded on {send_at:%A, %d %B at %H:%M} by {message.sid}")


def call_off(appointment: int) -> None:
    """Cancel the reminders that have not left."""
    with database() as db:
        sids = db.execute("SELECT sid FROM reminders WHERE appointment = ?", (appointment,))
        for (sid,) in sids.fetchall():
            try:
                client.messages(sid).update(status="canceled")
            except TwilioRestException as error:
                if error.code != NOT_CANCELABLE:
                    raise
                print(f"{sid} has left already")
            else:
                print(f"{sid} is canceled")
        db.execute("DELETE FROM reminders WHERE appointment = ?", (appointment,))


def book(phone: str, at: datetime) -> None:
    """Note an appointment and schedule its reminders."""
    with database() as db:
        row = (phone, at.isoformat())
        cursor = db.execute("INSERT INTO appointments (phone, at) VALUES (?, ?)", row)
    print(f"Appointment {cursor.lastrowid}: {phone} on {at:%A, %d %B at %H:%M}")
    schedule(cursor.lastrowid or 0, phone, at=at)


def move(appointment: int, at: datetime) -> None:
    """Put an appointment off, and its reminders."""
    call_off(appointment)
    with database() as db:
        update = "UPDATE appointments SET at = ? WHERE number = ? RETURNING phone"
        moved = db.execute(update, (at.isoformat(), appointment)).fetchone()
    if moved:
        schedule(appointment, moved[0], at=at)


def cancel(appointment: int) -> None:
    """Call an appointment off, and its reminders."""
    call_off(appointment)
    with database() as db:
        db.execute("DELETE FROM appointments WHERE number = ?", (appointment,))


def show() -> None:
    """Show all appointments, and what became of their reminders."""
    with database() as db:
        for number, phone, at in db.execute("SELECT * FROM appointments ORDER BY at").fetchall():
            sids = db.execute("SELECT sid FROM reminders WHERE appointment = ?", (number,))
            statuses = [client.messages(sid).fetch().status for (sid,) in sids.fetchall()]
            print(number, phone, at, *statuses)


def parse_time(text: str) -> datetime:
    """Read a time; it is the machine's local time where no other is said."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        sys.exit(f"“{text}” is no time: write one like 2026-01-03 15:00.")


def parse_number(text: str) -> int:
    """Read the number of an appointment."""
    try:
        return int(text)
    except ValueError:
        sys.exit(f"“{text}” is no appointment's number: `list` shows them.")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["book", phone, at]:
            book(phone, parse_time(at))
        case ["move", number, at]:
            move(parse_number(number), parse_time(at))
        case ["cancel", number]:
            cancel(parse_number(number))
        case ["list"]:
            show()
        case _:
            sys.exit(__doc__)

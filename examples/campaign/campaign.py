"""A marketing campaign: to those who agreed, from several numbers, and never again after a STOP.

campaign.py customers.csv "Tulips are 20 % off this week."

The file has the columns name, phone and agreed; who has unsubscribed since is noted in it.
"""

import csv
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

SERVICE = "Campaign"
SENDERS = 2  # More of them send more texts a second.
FINAL = {"delivered", "undelivered", "failed"}
UNSUBSCRIBED = 21610
WAIT_SECONDS = 60
LOOK_SECONDS = 0.5

HOST = os.environ.get("TRUNKLINE_URL", "http://127.0.0.1:8800")

# The client reads TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.
client = Client()
client.api.base_url = HOST
client.messaging.base_url = f"{HOST}/messaging"

Customer = dict[str, str]


def service_sid() -> str:
    """Return the Messaging Service that sends campaigns; the first time it is made."""
    services = client.messaging.v1.services
    for service in services.list():
        if service.friendly_name == SERVICE:
            return str(service.sid)
    service = services.create(friendly_name=SERVICE, usecase="marketing")
    for found in client.available_phone_numbers("US").local.list(sms_enabled=True, limit=SENDERS):
        number = client.incoming_phone_numbers.create(phone_number=found.phone_number)
        service.phone_numbers.create(phone_number_sid=number.sid)
    return str(service.sid)


def send(service: str, customer: Customer, *, text: str) -> Any:
    """Send a customer the text; return None where the platform knows better than we do."""
    try:
        return client.messages.create(
            to=customer["phone"],
            messaging_service_sid=service,
            body=f"Hello {customer['name']}! {text} Reply STOP to get no more of these.",
        )
    except TwilioRestException as error:
        # A service says so on the message, later; some accounts are told at once.
        if error.code != UNSUBSCRIBED:
            raise
        return None


def ended(message: Any) -> Any:
    """Return a message once nothing more becomes of it, or as it is after some time.

    One after another is enough for a few; for many there are status callbacks.
    """
    over = time.monotonic() + WAIT_SECONDS
    while message and message.status not in FINAL and time.monotonic() < over:
        time.sleep(LOOK_SECONDS)
        message = message.fetch()
    return message


def run(customers: list[Customer], text: str) -> None:
    """Send to who agreed, note who has unsubscribed, and report."""
    service = service_sid()
    agreed = [customer for customer in customers if customer["agreed"] == "yes"]
    sent = [(customer, send(service, customer, text=text)) for customer in agreed]
    outcomes, senders = Counter[str](), Counter[str]()
    for customer, message in sent:
        last = ended(message)
        code = last.error_code if last else UNSUBSCRIBED
        if code == UNSUBSCRIBED:
            customer["agreed"] = "no"
            outcome = "unsubscribed"
        else:
            outcome = last.status
            senders[last.from_] += 1
        outcomes[outcome] += 1
        print(customer["phone"], outcome, *([code] if code else []))
    print(f"\n{len(agreed)} of {len(customers)} customers had agreed.")
    for outcome, count in outcomes.most_common():
        print(f"{outcome}: {count}")
    for sender, count in sorted(senders.items()):
        print(f"from {sender}: {count}")


def main(path: Path, text: str) -> None:
    """Run the campaign with a file of customers."""
    with path.open(newline="") as file:
        customers = list(csv.DictReader(file))
    run(customers, text)
    new = path.with_suffix(".new")  # The file is whole, whatever happens meanwhile.
    with new.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "phone", "agreed"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(customers)
    new.replace(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])

"""A small shop that texts its customers about their orders, and learns whom it has reached.

POST /orders     customer=+15558675310 places an order
POST /orders/1   takes order 1 a step further
GET  /orders/1   shows it
POST /status     takes status callbacks, which are signed
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

TEXTS = {
    "placed": "Thank you! We have your order {number}.",
    "shipped": "Your order {number} is on its way.",
    "delivered": "Your order {number} is at your door. Enjoy!",
}
FINAL = {"delivered", "undelivered", "failed"}
BODY_MAX = 64_000  # Bytes; a callback has less than one thousand.

PORT = int(os.environ.get("PORT", "3000"))
URL = f"http://127.0.0.1:{PORT}"
SENDER = os.environ.get("TWILIO_PHONE_NUMBER", "+14155550100")

# The client reads TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.
client = Client()
client.api.base_url = os.environ.get("TRUNKLINE_URL", "http://127.0.0.1:8800")
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])


@dataclass
class Order:
    """An order, and for each of its steps what became of the text."""

    number: str
    customer: str
    texts: dict[str, str] = field(default_factory=dict)


orders: dict[str, Order] = {}


def advance(order: Order) -> None:
    """Take an order to its next step and text the customer."""
    step = next(step for step in TEXTS if step not in order.texts)
    # Noted first: callbacks may be here before create() returns.
    order.texts[step] = "queued"
    try:
        client.messages.create(
            to=order.customer,
            from_=SENDER,
            body=TEXTS[step].format(number=order.number),
            status_callback=f"{URL}/status?order={order.number}&step={step}",
        )
    except TwilioRestException as error:
        note(order, step, status="failed", reason=error.msg)


def note(order: Order, step: str, *, status: str, reason: str = "") -> None:
    """Note what became of a text; who was not reached has to be called."""
    if order.texts.get(step) in FINAL:
        return
    order.texts[step] = status
    print(f"Order {order.number} {step}: the text is {status} {reason}".rstrip())
    if status in {"undelivered", "failed"}:
        print(f"Order {order.number}: please call {order.customer}")


class Shop(BaseHTTPRequestHandler):
    """The shop's doors: for its customers, its staff, and for status callbacks."""

    def do_POST(self) -> None:
        """Place an order, move one, or take a callback."""
        size = min(int(self.headers.get("Content-Length", 0)), BODY_MAX)
        form = dict(parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True))
        match urlsplit(self.path).path.split("/"):
            case ["", "status"]:
                self.take_callback(form)
            case ["", "orders"] if "customer" in form:
                order = Order(str(len(orders) + 1), form["customer"])
                orders[order.number] = order
                advance(order)
                self.reply(201, order)
            case ["", "orders", number] if number in orders:
                if len(orders[number].texts) == len(TEXTS):
                    self.send_error(409, "The order has been delivered")
                    return
                advance(orders[number])
                self.reply(200, orders[number])
            case _:
                self.send_error(404)

    def do_GET(self) -> None:
        """Show an order."""
        order = orders.get(self.path.removeprefix("/orders/"))
        self.reply(200, order) if order else self.send_error(404)

    def take_callback(self, form: dict[str, str]) -> None:
        """Note a text's status, if whoever tells it knows the auth token."""
        signature = self.headers.get("X-Twilio-Signature", "")
        if not validator.validate(URL + self.path, form, signature):
            self.send_error(403, "The signature is wrong")
            return
        about = dict(parse_qsl(urlsplit(self.path).query))
        if order := orders.get(about["order"]):  # None: from before the shop was started.
            reason = form.get("ErrorCode", "")
            note(order, about["step"], status=form["MessageStatus"], reason=reason)
        self.send_response(204)
        self.end_headers()

    def reply(self, status: int, order: Order) -> None:
        """Answer with an order."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(asdict(order)).encode() + b"\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent; what matters is printed."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), Shop) as server:
        print(f"The shop is open at {URL}")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()

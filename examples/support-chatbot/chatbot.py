"""Support by text: a conversation of several texts, whose state is kept in cookies.

A text comes in as a signed request, and the TwiML of the answer says what to send back. Cookies
that the answer sets come along with the next text of the same person: nothing is kept here.
"""

import contextlib
import os
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.messaging_response import MessagingResponse

TOPICS = {"BILL": "your bill", "LINE": "your line"}
HELLO = "Hello, this is support. Write BILL or LINE for what it is about."
AGAIN = "Sorry, a customer number has 6 digits. Please write yours, or NEW to begin anew."
HANDED_OVER = "That does not get us anywhere. Somebody will call you at {phone}."
TRIES_MAX = 3
COOKIES = ("topic", "tries")
BODY_MAX = 64_000  # Bytes; a text of 1,600 characters has less, however it is encoded.

PORT = int(os.environ.get("PORT", "3000"))
URL = f"http://127.0.0.1:{PORT}"
NUMBER = os.environ.get("TWILIO_PHONE_NUMBER", "+14155550100")

# The client reads TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.
client = Client()
client.api.base_url = os.environ.get("TRUNKLINE_URL", "http://127.0.0.1:8800")
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])

State = dict[str, str]


def converse(text: str, state: State, *, phone: str) -> tuple[str, State]:
    """Return what to answer to a text, and what to remember until the next one."""
    word = text.strip().upper()
    if word == "NEW":
        return HELLO, {}
    if "topic" not in state:
        if word not in TOPICS:
            return HELLO, {}
        return f"Let us look at {TOPICS[word]}. What is your customer number?", {"topic": word}
    if word.isdecimal() and len(word) == 6:
        about = TOPICS.get(state["topic"], "this")
        return f"Thank you. We look into {about}, customer {word}, and write to you.", {}
    tries = int(state.get("tries", "0")) + 1
    if tries == TRIES_MAX:
        return HANDED_OVER.format(phone=phone), {}
    return AGAIN, {**state, "tries": str(tries)}


class Chatbot(BaseHTTPRequestHandler):
    """Takes the texts that come in."""

    def do_POST(self) -> None:
        """Answer a text, if the request is signed."""
        size = min(int(self.headers.get("Content-Length", 0)), BODY_MAX)
        form = dict(parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True))
        signature = self.headers.get("X-Twilio-Signature", "")
        if not validator.validate(URL + self.path, form, signature):
            self.send_error(403, "The signature is wrong")
            return
        sent = SimpleCookie(self.headers.get("Cookie", ""))
        state = {name: sent[name].value for name in COOKIES if name in sent}
        answer, state = converse(form["Body"], state, phone=form["From"])
        print(f"{form['From']}: {form['Body']}\n  -> {answer}")
        self.reply(answer, state)

    def reply(self, answer: str, state: State) -> None:
        """Send a text back, and set every cookie anew."""
        response = MessagingResponse()
        response.message(answer)
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        for name in COOKIES:
            kept = f"{name}={state[name]}" if name in state else f"{name}=; Max-Age=0"
            self.send_header("Set-Cookie", kept)
        self.end_headers()
        self.wfile.write(str(response).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent; the conversation is printed."""


def take_texts() -> None:
    """Let the texts to our number come here."""
    for number in client.incoming_phone_numbers.list(phone_number=NUMBER, limit=1):
        number.update(sms_url=f"{URL}/sms", sms_method="POST")


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), Chatbot) as server:
        take_texts()
        print(f"Text {NUMBER}; the texts come to {URL}/sms")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()

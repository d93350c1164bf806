"""Pictures both ways: one is sent from a URL of ours, those that come in are downloaded.

pictures.py +15558675310   sends the picture, then takes pictures until it is stopped
"""

import contextlib
import mimetypes
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl

import requests
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.messaging_response import MessagingResponse

PICTURE = Path(__file__).with_name("harbour.png")
RECEIVED = Path("pictures")  # In the current directory.
BODY_MAX = 64_000  # Bytes; media are not in the request, only their URLs are.
DOWNLOAD_SECONDS = 30

PORT = int(os.environ.get("PORT", "3000"))
URL = f"http://127.0.0.1:{PORT}"
NUMBER = os.environ.get("TWILIO_PHONE_NUMBER", "+14155550100")
CREDENTIALS = os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]

client = Client(*CREDENTIALS)
client.api.base_url = os.environ.get("TRUNKLINE_URL", "http://127.0.0.1:8800")
validator = RequestValidator(CREDENTIALS[1])


def send(recipient: str) -> None:
    """Send the picture; it is fetched from here before the message leaves."""
    message = client.messages.create(
        to=recipient,
        from_=NUMBER,
        body="Greetings from the harbour. Send us a picture, too!",
        media_url=[f"{URL}/{PICTURE.name}"],
    )
    print(f"{message.sid} is on its way to {recipient}")


def download(url: str, content_type: str) -> Path:
    """Save a medium, which only the account may read, and return where."""
    answer = requests.get(url, auth=CREDENTIALS, timeout=DOWNLOAD_SECONDS)
    answer.raise_for_status()
    RECEIVED.mkdir(exist_ok=True)
    path = RECEIVED / (url.rpartition("/")[2] + (mimetypes.guess_extension(content_type) or ""))
    path.write_bytes(answer.content)
    return path


class Pictures(BaseHTTPRequestHandler):
    """Serves our picture and takes those of others."""

    def do_GET(self) -> None:
        """Serve the picture to anybody: carriers do not sign in."""
        if self.path != f"/{PICTURE.name}":
            self.send_error(404)
            return
        self.reply(PICTURE.read_bytes(), "image/png")

    def do_HEAD(self) -> None:
        """Say what a GET would bring."""
        self.do_GET()

    def do_POST(self) -> None:
        """Download what came in, and say thank you."""
        size = min(int(self.headers.get("Content-Length", 0)), BODY_MAX)
        form = dict(parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True))
        signature = self.headers.get("X-Twilio-Signature", "")
        if not validator.validate(URL + self.path, form, signature):
            self.send_error(403, "The signature is wrong")
            return
        response = MessagingResponse()
        count = int(form["NumMedia"])
        for n in range(count):
            path = download(form[f"MediaUrl{n}"], form[f"MediaContentType{n}"])
            print(f"{form['From']} has sent {path}, {path.stat().st_size} bytes")
        response.message(f"Thank you for {count} pictures!" if count > 1 else "Thank you!")
        self.reply(str(response).encode(), "text/xml")

    def reply(self, content: bytes, content_type: str) -> None:
        """Answer with some content."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent; what matters is printed."""


def take_pictures() -> None:
    """Let the messages to our number come here."""
    for number in client.incoming_phone_numbers.list(phone_number=NUMBER, limit=1):
        number.update(sms_url=f"{URL}/sms", sms_method="POST")


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), Pictures) as server:
        take_pictures()
        print(f"Send pictures to {NUMBER}; they come to {URL}/sms")
        # The picture may be fetched before the request that sends it is answered.
        Thread(target=send, args=sys.argv[1:2] or ["+15558675310"]).start()
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()

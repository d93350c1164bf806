"""A FastAPI application as its author would write it for Twilio; prints the port it listens on."""

import base64
import os
import socket
from collections.abc import Mapping
from typing import Annotated
from urllib.request import Request as Download
from urllib.request import urlopen

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)

app = FastAPI()
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
seen: list[dict[str, str]] = []


async def signed(request: Request) -> Mapping[str, str]:
    """Return the form of a request whose signature is right; refuse every other."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    signature = request.headers.get("X-Twilio-Signature", "")
    if not validator.validate(str(request.url), form, signature):
        raise HTTPException(403)
    values = {**request.query_params, **form}
    seen.append({"path": request.url.path, "method": request.method, **values})
    return values


Form = Annotated[Mapping[str, str], Depends(signed)]


def twiml(response: MessagingResponse) -> Response:
    """Return TwiML as an answer."""
    return Response(str(response), media_type="application/xml")


@app.api_route("/sms", methods=["GET", "POST"])
async def answer(form: Form) -> Response:
    """Repeat the text; of a picture, say its size and send one back."""
    response = MessagingResponse()
    if form["NumMedia"] == "0":
        response.message(f"You said: {form['Body']}")
    else:
        size = await run_in_threadpool(size_of, form["MediaUrl0"])
        message = response.message(f"{size} bytes of {form['MediaContentType0']}")
        message.media("/pixel.png?of=fastapi")
    return twiml(response)


@app.post("/menu/start")
async def send_elsewhere(form: Form) -> Response:
    """Say hello and let another document go on."""
    response = MessagingResponse()
    response.message("Hello")
    response.redirect("../sms?from=menu")
    return twiml(response)


@app.post("/tracked")
async def answer_and_track(form: Form) -> Response:
    """Answer with a message whose statuses are to be told."""
    response = MessagingResponse()
    response.message("Tracked", action=None, status_callback="/status?of=reply")
    return twiml(response)


@app.post("/status", status_code=204)
async def note_status(form: Form) -> None:
    """Take a status callback."""


@app.get("/pixel.png")
async def picture() -> Response:
    """Serve a picture to anybody."""
    return Response(PIXEL, media_type="image/png")


@app.get("/seen")
async def tell() -> list[dict[str, str]]:
    """Tell the test which signed requests came."""
    return seen


def size_of(url: str) -> int:
    """Download a medium with the account's credentials."""
    pair = f"{os.environ['TWILIO_ACCOUNT_SID']}:{os.environ['TWILIO_AUTH_TOKEN']}"
    basic = "Basic " + base64.b64encode(pair.encode()).decode()
    with urlopen(Download(url, headers={"Authorization": basic})) as answer:
        return len(answer.read())


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        server.run(sockets=[listener])

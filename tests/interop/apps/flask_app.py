"""A Flask application as its author would write it for Twilio; prints the port it listens on."""

import os

from flask import Flask, Response, abort, jsonify, request, session
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse
from werkzeug.serving import make_server

app = Flask(__name__)
app.secret_key = "only for sessions of this test"
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
seen: list[dict[str, str]] = []


@app.before_request
def admit_only_signed_requests() -> None:
    """Refuse whoever does not know the auth token."""
    if request.path == "/seen":
        return
    # What is signed is the URL as it was asked; request.url decodes escapes such as %2F and %C3%B6.
    url = request.host_url.rstrip("/") + request.environ["REQUEST_URI"]
    if not validator.validate(url, request.form, request.headers.get("X-Twilio-Signature", "")):
        abort(403)
    seen.append({"path": request.full_path, "method": request.method, **request.values.to_dict()})


@app.route("/sms", methods=["GET", "POST"])
def answer() -> Response:
    """Count this sender's texts in a cookie and say which one this is."""
    session["count"] = session.get("count", 0) + 1
    response = MessagingResponse()
    response.message(f"{session['count']}: {request.values['Body']}")
    return Response(str(response), mimetype="text/xml")


@app.post("/plain")
def answer_plainly() -> Response:
    """Answer without TwiML."""
    return Response("Plain & simple, 5 < 6", mimetype="text/plain")


@app.post("/silent")
def answer_nothing() -> Response:
    """Answer that there is nothing to say."""
    return Response(str(MessagingResponse()), mimetype="text/xml")


@app.post("/broken")
def fail() -> Response:
    """Break."""
    raise RuntimeError("this handler is broken")


@app.post("/fallback")
def apologise() -> Response:
    """Say what went wrong elsewhere."""
    response = MessagingResponse()
    response.message(f"Sorry: {request.form['ErrorCode']} {request.form['ErrorUrl']}")
    return Response(str(response), mimetype="text/xml")


@app.post("/status")
def note_status() -> tuple[str, int]:
    """Take a status callback."""
    return "", 204


@app.get("/seen")
def tell() -> Response:
    """Tell the test which signed requests came."""
    return jsonify(seen)


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port)
    server.serve_forever()

"""The way of a message, from the request to the phone and back to the application."""

from harness import Receiver, Seen, Trunkline

CALLBACK = "https://app.example.com/status"


async def test_a_text_goes_out_and_its_statuses_are_called_back(trunkline: Trunkline) -> None:
    """201 with `queued`, then sent and delivered, in order, with Twilio's parameters."""
    answer = await trunkline.send(StatusCallback=CALLBACK)
    assert answer.status == 201
    message = answer.json
    assert (message["status"], message["num_segments"], message["price"]) == ("queued", "1", None)
    await trunkline.run_for(5)
    assert trunkline.receiver.statuses(message["sid"]) == ["sent", "delivered"]
    delivered = trunkline.receiver.seen[-1].form
    assert delivered["From"] == trunkline.number
    assert delivered["SmsSid"] == delivered["MessageSid"] == message["sid"]
    after = await trunkline.message(message["sid"])
    assert after["status"] == "delivered"
    assert after["price"].startswith("-0.0")
    assert after["date_sent"] is not None
    (text,) = await trunkline.app.network.inbox("+15558675310")
    assert "".join(text.segments) == "Hello"

"""What senders say became of their messages:
https://www.twilio.com/docs/messaging/api/message-feedback-resource"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Sid
from trunkline.domain.account import Feedback, Outcome
from trunkline.flows import messages


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackView:
    """A sender's word on a message."""

    account_sid: Annotated[str, Sid("AC")]
    message_sid: str
    outcome: Outcome
    date_created: datetime
    date_updated: datetime
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFeedback:
    """Whether the message had its effect."""

    outcome: Outcome = Outcome.CONFIRMED


def _view(call: Call, feedback: Feedback) -> FeedbackView:
    return FeedbackView(
        account_sid=feedback.account_sid,
        message_sid=feedback.message_sid,
        outcome=feedback.outcome,
        date_created=feedback.created_at,
        date_updated=feedback.updated_at,
        uri=f"{call.root}/Messages/{feedback.message_sid}/Feedback{JSON_SUFFIX}",
    )


async def create(call: Call, params: CreateFeedback) -> Feedback:
    """Say what became of a message; a second word replaces the first."""
    return await messages.give_feedback(
        call.platform, call.account.sid, call.path["MessageSid"], params.outcome
    )


FEEDBACK = Resource(
    name="feedback",
    path="/Messages/{MessageSid}/Feedback",
    dialect=V2010,
    view=_view,
    # Twilio's specification says 200 here, where other creations answer 201.
    create=Op(run=create, params=CreateFeedback, status=200),
)

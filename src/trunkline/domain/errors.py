"""The error table: every code a request or a failed message can carry, and the Refusal.

Rules: a code's text and HTTP status live in one row; a text that clients have seen on the wire is
given letter by letter, because some of them match on it, every other text is our own. `{name}`
stands for a value of the refusal, `{name!masked}` for the same with its end hidden.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# An error echoes what the caller sent; beyond this it tells nobody more.
VALUE_MAX = 500

_MORE_INFO = "https://www.twilio.com/docs/errors/"
_PLACE = re.compile(r"\{(\w+)(!masked)?\}")
_GAP = re.compile(r" {2,}")
_UNKNOWN_ERROR = 30008


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table; the status of a code that never answers a request is a formality."""

    message: str
    status: int = 400


class Refusal(Exception):
    """A request that is answered with an error of the table, and nothing is done.

    `values` fill the placeholders of the row's text; a missing one leaves no gap, a superfluous one
    is ignored. The value `message` replaces the whole text.
    """

    def __init__(self, code: int, **values: str) -> None:
        kind = ERRORS[code]
        self.code = code
        self.status = kind.status
        self.message = values["message"] if "message" in values else _render(kind.message, values)
        self.more_info = f"{_MORE_INFO}{code}"
        super().__init__(f"{code}: {self.message}")


def masked(number: str) -> str:
    """Hide the last four characters of a number, as the wire does in error texts."""
    return number[:-4] + "XXXX"


def delivery_error(code: int) -> str:
    """Return the `error_message` of a message that failed with a code.

    A code that is not in the table reads as an unknown error.
    """
    kind = ERRORS.get(code, ERRORS[_UNKNOWN_ERROR])
    return _render(kind.message, {})


def _render(template: str, values: Mapping[str, str]) -> str:
    def fill(place: re.Match[str]) -> str:
        value = values.get(place[1], "")[:VALUE_MAX]
        return masked(value) if value and place[2] else value

    if all(name in values for name, _ in _PLACE.findall(template)):
        return _PLACE.sub(fill, template)
    # Without a value "number {number}, is" would read "number , is".
    return _GAP.sub(" ", _PLACE.sub(fill, template)).replace(" ,", ",").rstrip(" :")


_K = ErrorKind

# A Refusal reads the table when it is made, so the long table may stand last.
ERRORS: dict[int, ErrorKind] = {
    # Accounts, requests and resources.
    10001: _K("Account is not active", 401),
    20001: _K("Unknown parameter: {name}"),
    20002: _K("Invalid FriendlyName: {reason}"),
    20003: _K("Authenticate", 401),
    20004: _K("Method not allowed", 405),
    20005: _K("Account not active", 403),
    20006: _K("Access denied"),
    20007: _K("Page size too large"),
    20008: _K("Resource not accessible with Test Account Credentials", 403),
    20009: _K("Cannot delete a resource that has not reached a final state", 409),
    20010: _K("This action is disabled for the account", 403),
    20101: _K("Invalid access token", 401),
    20403: _K("Forbidden", 403),
    20404: _K("The requested resource {path} was not found", 404),
    20409: _K("Conflict: {reason}", 409),
    20410: _K("The resource {path} is gone", 410),
    20422: _K("Invalid parameter {name}: {reason}"),
    20423: _K("Malformed SID: {name}"),
    20424: _K("The Idempotency-Key belongs to another request that was made with it", 422),
    20426: _K("Upgrade required", 426),
    20429: _K("Too Many Requests", 429),
    20500: _K("An internal server error has occurred", 500),
    20503: _K("Service unavailable", 503),
    # Calls and the addresses of calls.
    21201: _K("No 'To' number specified"),
    21210: _K("'From' phone number {number} not verified"),
    21211: _K("Invalid 'To' Phone Number: {number!masked}"),
    21212: _K(
        "The 'From' number {number} is not a valid phone number, shortcode, or alphanumeric "
        "sender ID.",
    ),
    21214: _K("'To' phone number {number} cannot be reached"),
    21215: _K("Calls to the region of {number} are not permitted for this account"),
    21216: _K("Calls to {number} are blocked"),
    21217: _K("Phone number {number} does not appear to be valid"),
    21222: _K("A user name may hold letters and digits only"),
    21224: _K("A password may hold letters and digits only"),
    21264: _K("'From' phone number {number} is not verified for this account"),
    21265: _K("'To' number {number} cannot be a Short Code"),
    21266: _K("'To' and 'From' number cannot be the same"),
    21267: _K("Alphanumeric Sender ID cannot be used by trial accounts"),
    21268: _K("Premium-rate number {number} is not permitted as a destination"),
    # Numbers, callers and accounts as resources.
    21401: _K("Invalid phone number: {number}"),
    21402: _K("Invalid URL for {name}"),
    21403: _K("Invalid HTTP method for {name}"),
    21404: _K("Trial accounts cannot hold this inbound number"),
    21405: _K("VoiceFallbackUrl needs a Url"),
    21406: _K("SmsFallbackUrl needs an SmsUrl"),
    21407: _K("This kind of number does not support SMS: {number}"),
    21408: _K(
        "Permission to send an SMS has not been enabled for the region indicated by the 'To' "
        "number: {number}",
    ),
    21420: _K("ApplicationSid {name} is not accessible"),
    21421: _K("PhoneNumber is invalid: {number}"),
    21422: _K("PhoneNumber is not available: {number}"),
    21450: _K("Phone number {number} is already validated for this account"),
    21451: _K("Invalid area code: {number}"),
    21452: _K("No phone numbers found in area code {number}"),
    21453: _K("Phone number {number} is already validated for another account"),
    21470: _K("Invalid AccountSid: {name}"),
    21472: _K("Account is not active"),
    21477: _K("The status of a parent account cannot be changed through the API"),
    21480: _K("Subaccount limit reached"),
    21481: _K("Invalid PageToken"),
    # Sending a message.
    21601: _K("Phone number {number} is not an SMS-capable inbound phone number"),
    21602: _K("Message body is required."),
    21603: _K("A 'From' phone number is required."),
    21604: _K("A 'To' phone number is required."),
    21605: _K("The body exceeds the 160 character limit of this resource"),
    21606: _K(
        "The From phone number {number} is not a valid, SMS-capable inbound phone number or short "
        "code for your account.",
    ),
    21607: _K("Trial accounts must send from the sandbox number"),
    21608: _K(
        "The number {number!masked} is unverified. Trial accounts cannot send messages to "
        "unverified numbers; verify {number!masked} at "
        "twilio.com/user/account/phone-numbers/verified, or purchase a Twilio number to send "
        "messages to unverified numbers",
    ),
    21609: _K("Invalid StatusCallback URL: {name} {reason}"),
    21610: _K("Attempt to send to unsubscribed recipient"),
    21611: _K("SMS queue is full."),
    21612: _K(
        "The 'To' phone number: {recipient}, is not currently reachable using the 'From' phone "
        "number: {sender} via SMS.",
    ),
    21613: _K("Phone number {number} needs a certification first"),
    21614: _K("To number: {number}, is not a mobile number"),
    21615: _K("Phone number {number} needs a local address first"),
    21616: _K("The 'From' number {number} matches several numbers of your account"),
    21617: _K("The concatenated message body exceeds the 1600 character limit."),
    21618: _K("The message body cannot be sent"),
    21619: _K("A text message body or media urls must be specified."),
    21620: _K("Invalid media URL(s): {name} {reason}"),
    21621: _K("The 'From' number {number} has not been enabled for MMS"),
    21622: _K("MMS has not been enabled for this account"),
    21623: _K("A message carries at most 10 media files"),
    21624: _K("ValidityPeriod is out of range: {reason}"),
    21626: _K("Invalid StatusCallbackEvent: {name}"),
    21627: _K("MaxPrice is not a number"),
    21635: _K("'To' number {number} is a landline"),
    21652: _K("The MMS subject exceeds 40 characters"),
    21653: _K("Too many recipients"),
    21654: _K("A ContentSid is required"),
    21655: _K("The ContentSid {name} is invalid"),
    21656: _K("The ContentVariables parameter is invalid: {reason}"),
    21657: _K("The sender ID {number} is invalid"),
    21658: _K("Parameter {name} exceeds its length limit"),
    21659: _K("'From' {number} is not a Twilio phone number or Short Code country mismatch"),
    21660: _K("Mismatch between the 'From' number {number} and the account {account}"),
    21661: _K("The 'From' number {number} is not SMS-capable"),
    21664: _K("FallbackFrom {number} cannot be used"),
    21665: _K("FallbackFrom {number} is not a valid SMS sender"),
    21666: _K("FallbackFrom {number} does not belong to this account"),
    21667: _K("FallbackFrom needs a channel sender in 'From'"),
    # Messaging Services.
    21701: _K("The Messaging Service {name} does not exist", 404),
    21702: _K("The Messaging Service {name} is not available for new messages"),
    21703: _K("The Messaging Service {name} has no sender for this destination"),
    21704: _K("The Messaging Service {name} has no senders"),
    21705: _K("The Messaging Service SID {name} is invalid"),
    21708: _K("An AlphaSender is required"),
    21709: _K("The AlphaSender {name} is invalid or not authorised"),
    21710: _K("Phone Number or Short Code is already in the Messaging Service.", 409),
    21711: _K("The sender {name} is not in the Messaging Service", 404),
    21712: _K("Phone Number or Short Code is associated with another Messaging Service.", 409),
    21713: _K("Invalid Usecase: {name}"),
    21714: _K("Number Pool size limit reached.", 412),
    21715: _K("The sender {name} lacks a capability that the Messaging Service needs"),
    21717: _K("The brand registration {name} is missing or not approved"),
    21725: _K("Only a failed brand registration can be updated"),
    21900: _K("The India DLT entity ID is invalid"),
    21901: _K("The India DLT template ID is invalid"),
    21902: _K("The InvoiceTag exceeds its length limit"),
    21910: _K("'From' and 'To' must be addresses of the same channel"),
    # Webhooks and TwiML, as the debugger names them.
    11100: _K("Invalid URL format"),
    11200: _K("HTTP retrieval failure"),
    11201: _K("HTTP connection: TCP connect timed out"),
    11202: _K("HTTP connection: TCP connect refused"),
    11203: _K("HTTP connection: total time exceeded"),
    11205: _K("HTTP connection failure"),
    11206: _K("HTTP protocol violation"),
    11210: _K("HTTP bad host name"),
    11215: _K("HTTP too many redirects"),
    11220: _K("TLS handshake failed"),
    11235: _K("TLS certificate does not name the host"),
    11236: _K("TLS certificate has expired"),
    11237: _K("TLS certificate has no trusted path"),
    11240: _K("Connection override: invalid edge"),
    11241: _K("Connection override: edge not supported"),
    11242: _K("Connection override: interconnect refused"),
    11243: _K("Connection override: invalid retry policy"),
    11300: _K("Invalid URL template"),
    11310: _K("Invalid URL template: token"),
    11320: _K("Invalid URL template: brackets"),
    11750: _K("TwiML response body too large"),
    11751: _K("Media exceeds the size limit of the carrier"),
    11770: _K("Empty HTTP response body"),
    12100: _K("Document parse failure"),
    12101: _K("Invalid TwiML markup version"),
    12102: _K("The root element of TwiML must be Response"),
    12200: _K("Schema validation warning: {reason}"),
    12300: _K("Invalid Content-Type: {reason}"),
    12400: _K("Internal failure while running TwiML"),
    14101: _K("TwiML Message: invalid To attribute"),
    14102: _K("TwiML Message: invalid From attribute"),
    14103: _K("TwiML Message: invalid Body"),
    14104: _K("TwiML Message: invalid method attribute"),
    14105: _K("TwiML Message: invalid statusCallback attribute"),
    14106: _K("TwiML: too many documents retrieved for one message"),
    14107: _K("Too many replies between two numbers within 30 seconds"),
    14108: _K("TwiML Message: From is not SMS-capable"),
    14109: _K("TwiML: too many replies to one message"),
    14110: _K("TwiML: {name} is not a verb of messaging"),
    14111: _K("TwiML Message: To is not verified, and this is a trial account"),
    # Delivery: the text is the error_message of the message.
    30001: _K("Queue overflow"),
    30002: _K("Account suspended"),
    30003: _K("Unreachable destination handset"),
    30004: _K("Message blocked"),
    30005: _K("Unknown destination handset"),
    30006: _K("Landline or unreachable carrier"),
    30007: _K("Message filtered"),
    30008: _K("Unknown error"),
    30009: _K("Missing inbound segment"),
    30010: _K("Message price exceeds max price"),
    30011: _K("MMS not supported by the recipient's phone"),
    30012: _K("Time to live too small"),
    30013: _K("Time to live too large"),
    30014: _K("Invalid attributes of the recipient"),
    30015: _K("Channel type not supported"),
    30016: _K("Sender and recipient channels do not match"),
    30017: _K("Carrier network congestion"),
    30018: _K("Destination carrier requires sender ID pre-registration"),
    30019: _K("Content larger than the carrier accepts"),
    30020: _K("Internal failure while scheduling the message"),
    30021: _K("Internal failure in the Messaging Service"),
    30022: _K("US A2P 10DLC: rate limit exceeded"),
    30023: _K("US A2P 10DLC: daily message cap reached"),
    30024: _K("Numeric sender is not provisioned at the carrier"),
    30025: _K("Half of T-Mobile's daily message limit is used"),
    30026: _K("70 percent of T-Mobile's daily message limit is used"),
    30027: _K("US A2P 10DLC: T-Mobile daily message limit reached"),
    30028: _K("Invalid API version"),
    30029: _K("Invalid ContentRetention"),
    30030: _K("Invalid AddressRetention"),
    30031: _K("Invalid MaxRate"),
    30032: _K("Toll-free number has not been verified"),
    30033: _K("US A2P 10DLC: campaign suspended"),
    30034: _K("US A2P 10DLC: message from an unregistered number"),
    30035: _K("US A2P 10DLC: number is still being configured"),
    30036: _K("Validity period expired"),
    30037: _K("Outbound messaging is disabled for the account"),
    30038: _K("Message filtered: one-time password content"),
    30039: _K("Message loop detected"),
    30040: _K("Sender is not registered at the destination carrier"),
    30041: _K("Sender registration at the destination carrier is incomplete"),
    30042: _K("Sender registration at the destination carrier was rejected"),
    30043: _K("Sender registration at the destination carrier has ended"),
    30044: _K("Message too long for a trial account"),
    30045: _K("Validity period is out of range for the route"),
    30046: _K("Delivery could not be confirmed"),
    30100: _K("Link shortening failed"),
    30400: _K("Invalid message parameters"),
    30404: _K("The message {name} was not found", 404),
    30409: _K("The message {name} can no longer be canceled", 409),
    30410: _K("Carrier timed out"),
    30436: _K("Toll-free verification rejected"),
    30450: _K("Message blocked: suspected traffic pumping"),
    30454: _K("Trial account message limit reached"),
    30500: _K("Internal error during delivery"),
    30610: _K("Message blocked: quiet hours of the recipient"),
    30630: _K("Message blocked: recipient has unsubscribed"),
    30640: _K("Message blocked: recipient is a known litigator"),
    30646: _K("Invalid contact entry: {reason}"),
    30647: _K("Invalid consent entry: {reason}"),
    30648: _K("Geographic permissions could not be updated: {reason}"),
    30649: _K("Geographic permissions are invalid: {reason}"),
    30880: _K("US A2P 10DLC: campaign rejected"),
    # Scheduling.
    35111: _K("SendAt is required when ScheduleType is given"),
    35114: _K("SendAt must lie between 15 minutes and 35 days ahead"),
    35115: _K("SendAt lies outside the scheduling window"),
    35118: _K("MessagingServiceSid is required to schedule a message"),
    35119: _K("ScheduleType must be 'fixed' when SendAt is given"),
    35125: _K("The account has too many scheduled messages"),
    35126: _K("ScheduleType is not supported on this channel"),
    # Verify.
    60200: _K("Invalid parameter {name}: {reason}"),
    60201: _K("Verification template translation is not approved"),
    60202: _K("Max check attempts reached", 429),
    60203: _K("Max send attempts reached", 429),
    60204: _K("The verification service does not support {name}"),
    60205: _K("SMS is not supported by landline number"),
    60207: _K("Max rate limits of the service reached"),
    60208: _K("A rate limit with this UniqueName exists", 409),
    60209: _K("Invalid UniqueName"),
    60210: _K("Max buckets of the rate limit reached"),
    60211: _K("A bucket with this interval exists", 409),
    60212: _K("Too many concurrent requests for phone number", 429),
    60213: _K("A messaging configuration for this country exists", 409),
    60217: _K("Invalid configuration of the verification service: {reason}"),
    60223: _K("Delivery channel disabled: {name}", 403),
    60410: _K("Verification blocked: suspected fraud", 403),
    60605: _K("Verification blocked: the destination country is not permitted", 403),
    # Channels.
    63001: _K("Channel could not authenticate the request"),
    63002: _K("Channel could not find the From address"),
    63003: _K("Channel could not find the To address"),
    63005: _K("Channel did not accept the content"),
    63007: _K("Could not find a Channel with the specified From address"),
    63009: _K("Channel provider returned an error"),
    63010: _K("Channel internal error"),
    63012: _K("Channel provider returned an internal service error"),
    63013: _K("Message violates a policy of the channel"),
    63015: _K("Recipient has not joined the sandbox"),
    63016: _K("Free-form message outside the allowed window; use an approved template"),
    63018: _K("Channel rate limit exceeded"),
    63019: _K("Media failed to download"),
    63020: _K("Channel business account is not in order"),
    63021: _K("Channel found the content invalid"),
    63024: _K("Recipient is not on the channel"),
    63025: _K("Media already exists"),
    63027: _K("Template does not exist for the language"),
    63028: _K("Number of template parameters does not match"),
    63029: _K("Recipient could not download the template"),
    63030: _K("Parameter not supported by this kind of message"),
    63031: _K("Sender and recipient of a channel message cannot be the same"),
    63032: _K("Channel limits messages to this user"),
    63033: _K("Recipient has blocked or left the sender"),
    63034: _K("Media exceeds the size limit"),
    63035: _K("RCS agent is not launched and the recipient is no tester"),
    63036: _K("Recipient is not reachable over RCS"),
    63038: _K("Account exceeded its daily messages limit", 429),
    63040: _K("Template rejected"),
    63041: _K("Template paused"),
    63042: _K("Template disabled"),
    63049: _K("Channel chose not to deliver this marketing message"),
    63050: _K("Recipient has opted out of marketing messages"),
    63051: _K("Channel business account is locked"),
    90007: _K("Invalid validity period"),
    # Content templates.
    92001: _K("Content types are required"),
    92002: _K("Content has too many variables"),
    92003: _K("Content language is required"),
    92004: _K("Content language is invalid"),
    92005: _K("ContentSid is required"),
    92006: _K("ContentSid is invalid"),
    92007: _K("ContentVariables is invalid"),
    92008: _K("Content type is not supported"),
}

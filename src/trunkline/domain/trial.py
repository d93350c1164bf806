"""What a trial account may do: Twilio's classic trial, which every code sample has in mind.

Twilio's trial of 2026, which sends prepared texts only, is not this one.
"""

# Letter by letter Twilio's own: tests of applications look for it, or cut it off.
TRIAL_PREFIX = "Sent from your Twilio trial account - "
# Twilio's limit of a trial account, by days of UTC.
MESSAGES_A_DAY_MAX = 50
TRIAL_NUMBERS_MAX = 1


def introduced(body: str, recipient: str) -> str:
    """Return what a trial account sends: a text says what it is; other channels have no such."""
    return body if ":" in recipient else TRIAL_PREFIX + body

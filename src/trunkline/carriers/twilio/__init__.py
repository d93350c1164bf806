"""The connector to an upstream Twilio account, or to whatever else speaks its messaging API."""

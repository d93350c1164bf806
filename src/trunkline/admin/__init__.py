"""Trunkline's own API, for what Twilio's has no resource for: carriers, routes, phones and such."""

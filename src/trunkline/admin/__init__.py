"""Trunkline's own API, for what Twilio's has no resource for: phones, traces, the clock."""

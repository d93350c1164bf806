"""Twilio's HTTP API: every resource is declared once, and everything else follows from it."""

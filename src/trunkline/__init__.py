"""Trunkline: a self-hosted communications platform that speaks Twilio's HTTP API."""

from trunkline.connecting import connect

__all__ = ["__version__", "connect"]

__version__ = "0.1.0"

"""Requests to customers' applications: how they look, where they may go, and how they are sent."""

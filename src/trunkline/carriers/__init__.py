"""Connectors to carriers, and the port they all implement."""

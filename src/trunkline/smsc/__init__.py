"""The SMSC that others bind to: our customers, and whoever tests an SMPP client."""

"""The connector to a carrier's SMSC over SMPP; we are the ESME."""

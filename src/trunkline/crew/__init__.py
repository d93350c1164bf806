"""Several processes that are one Trunkline on one machine: a supervisor, and workers that serve.

Rules: the supervisor knows no HTTP, no SMPP and no database; each worker is a whole node.
"""

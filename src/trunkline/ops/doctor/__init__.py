"""The examination of one installation, running or stopped: what is wrong with it, and what to do.

Rules: a check changes nothing but a file of its own that is gone at once; it ends within seconds,
whatever it meets; trouble is a Finding, never an exception.
"""

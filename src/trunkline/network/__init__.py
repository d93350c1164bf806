"""The simulated phone network: handsets, the way texts take to them, and what can go wrong."""

"""The console: pages that show the phones, the messages and what a program needs to connect."""

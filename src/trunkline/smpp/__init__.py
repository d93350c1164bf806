"""SMPP 3.4, and what peers use of 5.0: octets and deadlines in, values out; no socket, no clock.

Names are those of the specification, "Short Message Peer to Peer Protocol Specification v3.4,
Issue 1.2"; sections are cited as SMPP 3.4 §n.

Rule: assertions and ValueError guard our callers; what a peer sends raises MalformedPdu where one
PDU is decoded, and becomes an event where a Session reads.
"""

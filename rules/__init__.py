"""Rules: CEL expressions checked against declared types and compiled into a bitmask index.

Pure: no clock, no I/O and no randomness of its own; `now` and the customer's zone are arguments.
"""

"""Benchmarks: each side runs in a fresh process, prints JSON, and is reported as a ratio to its baseline of the same
run. `make bench` prints the table; absolute numbers mean little on a shared machine.
"""

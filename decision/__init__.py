"""Deciding: gates, scores, arbitration and the commit. All but `engine` is pure: time and randomness are arguments."""

"""Models: how likely each treatment is to succeed for a customer. Scoring is pure: no clock, no randomness."""

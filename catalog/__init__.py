"""Catalog: the declared files, read, checked as a whole and compiled.

Nothing here runs at decision time but the templates: what loads is immutable.
"""

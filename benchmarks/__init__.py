"""Measured studies and their results."""

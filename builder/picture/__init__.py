"""Hostile bytes to pixels: every picture is walked, measured and decoded here, within limits."""

"""Tests of builder/picture."""

"""Tests of builder/card."""

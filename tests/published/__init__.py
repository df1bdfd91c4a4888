"""Tests of builder/published."""

"""Tests of builder/published/verify."""

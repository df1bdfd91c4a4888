"""Tests of builder/verify."""

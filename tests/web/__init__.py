"""Tests of builder/web."""

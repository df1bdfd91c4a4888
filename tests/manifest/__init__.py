"""Tests of builder/manifest."""

"""Tests of builder/hub."""

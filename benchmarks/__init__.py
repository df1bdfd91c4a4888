"""Benchmarks, each run by its name from the repository: `python benchmarks/rebuild.py`; see README.md beside this."""

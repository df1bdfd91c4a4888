"""The second stage: a manifest in, the same pairs with refined texts out, and fewer of them.

danqing refine ./candidates ./refined

rows ─▶ steps by themselves, and their words counted ─▶ thresholds over all ─▶ key buckets ─▶ shards sorted by key
"""

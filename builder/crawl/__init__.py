"""The first stage: Common Crawl in, candidates out, which are a manifest for `rebuild`.

danqing crawl CC-MAIN-2025-30 ./candidates

files ─▶ transfer ─▶ records ─▶ wat | html ─▶ Page ─▶ recipe ─▶ key buckets ─▶ shards sorted by key
"""

"""Stage `rebuild`: manifest in, image shards, outcomes and ledger out.

danqing rebuild manifest/ ./danqing --image-size 256
"""

"""Stage `revalidate`: image shards in, scores and verdicts out.

danqing revalidate ./danqing --model google/siglip2-base-patch16-256
"""

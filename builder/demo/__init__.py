"""`danqing demo`: the main job on real files without a network, and the proof that it did what it should.

    small web of pictures ─▶ pages that name them, as Common Crawl has them ─▶ danqing crawl ─▶ danqing refine
    the refined manifest, and a loopback host that also misbehaves ─▶ danqing rebuild ─▶ load_dataset("danqing")
    the same web a year later ─▶ danqing rebuild ─▶ danqing revalidate ─▶ danqing curate ─▶ danqing report,
    load_dataset("danqing")
    both roots ─▶ danqing release, to folders ─▶ danqing verify, stock load_dataset, danqing rebuild --verify-hash
    what was kept ─▶ danqing train

Every step drives danqing as a user does, by its command line and its public module, and compares what came out
with what was planted.
"""

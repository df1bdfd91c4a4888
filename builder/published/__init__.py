"""A published release, as its readers find it: a local folder or a revision of a Hub repository.

README.md                               the card; every number in it was counted
release.json                            what was released, from what, with which counts: `document.Release`
manifest/train-00000-of-00016.parquet   a verified manifest, or
images/train-00000-of-00016.parquet     pairs with pixels (or .tar)
removals/removals.parquet               digests of what was taken out for good, of all releases so far
changes/v2026.11.parquet                pairs of the release before that are not in this one, and why
figures/*.png  croissant.json           made from the same counts
"""

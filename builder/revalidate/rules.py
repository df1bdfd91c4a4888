"""Every rule and constant of the verdicts, each once, with its reason. The first rule that applies decides.

    dead         rebuild dropped the row, or what it stored cannot be decoded today
    same         the bytes hash as the reference recorded: nothing to test
    drifted      the checkpoint gave no finite number for it: no_score, kept by no option (judge.UNSCORED: of how many)
    placeholder  a picture of a cluster (CLUSTER) whose captions disagree (DISTINCT) and do not fit it (MISFIT)
    tested       the other changed pairs: p = min(1, 2 min(p_code, p_caption)), Benjamini-Hochberg at alpha;
                 rejected -> moved or matching, not rejected -> drifted

The null hypothesis of the test is the bad case: "this picture has to do neither with the recorded one nor with
the caption". To reject it is to keep the pair, so alpha bounds the expected share of junk among the changed
pairs that are kept; it is no bound on the good pairs that are lost, whose number the power of the checkpoint
decides.
"""

from __future__ import annotations

# The panel: the pairs that every pair is ranked among. A rank among M others gives no p below 1 / M, and a
# caption that several pictures fit ranks the more stably the larger M is. With 4,096 the least p of both tests is
# 2 / 4,096, so a level of .01 keeps good pairs wherever they are a twentieth of the changed ones. Pictures and
# captions of 1,152 floats are then 38 MB, and ranking one more pair costs a hundredth of its forward.
PANEL = 4096

# Cosines that differ by less are equal. The same picture scored in another batch, or on another device, gives a
# cosine that is off by some 1e-6 in float32; a placeholder must not win over its own copy in the panel by that.
TIE = 1e-4

# A picture under so many pairs is a cluster. Released data are deduplicated by picture, so two equal ones are
# rare already; three may be a meme and its crops; "this image was removed" comes by the hundred.
CLUSTER = 4

# Captions of a cluster disagree when this share of them is distinct: a product shot under one name repeated is no
# placeholder. Of four captions three must differ.
DISTINCT = 0.75

# ... and the picture must not fit them: the median p_caption of a cluster of real duplicates is far below the
# usual .05, that of a banner is about one half.
MISFIT = 0.05

# Storey (2002): p-values above lambda are taken as those of junk, which are uniform. 0.5 is his choice where
# nothing is known of the others.
LAMBDA = 0.5

# Suspects: kept, though the score fell by more than re-encoding does. How far that goes is read off the pairs
# whose code moved by at most 16 of 256 bits (unrelated pictures differ by 128 +- 8): below their first percentile
# is a suspect, by construction 1 % of them. Fewer than 100 such pairs have no first percentile. Of what is kept in
# benchmarks/verdicts.py this flags 84 % of the scenes with one thing changed, and 6 % of the harmless versions.
SUSPECT_DISTANCE = 16
SUSPECT_QUANTILE = 0.01
SUSPECT_PAIRS = 100

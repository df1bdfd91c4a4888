"""Scores from embeddings: a piece of a shard with its embeddings in, rows of scores/ out.

Cosines, code and, among the panel, the two p-values: three matrix products on the device, in float32.

    p_caption = max(row, column)
    row       = (1 + #{j: s(caption i, picture j) >= s(caption i, picture i) - TIE}) / (1 + M)
    column    = (1 + #{j: s(caption j, picture i) >= s(caption i, picture i) - TIE}) / (1 + M)
    p_code    = (1 + #{j: H(recorded code i, code j) <= H(recorded code i, code i)}) / (1 + M)

over the M pairs j of the panel that are not i: permutation p-values of "the picture has nothing to do with the
caption" and "... with the recorded picture" (Phipson and Smyth 2010 on the 1 in both halves).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.digests import unhex
from ..disk.schema import CODE, CODE_BITS, SCORED
from ..web.hostname import host_of
from . import rules
from .panel import Panel
from .pieces import Piece
from .reference import SCORES

if TYPE_CHECKING:
    from torch import Tensor

    from ..towers import Embedded, Siglip

CHUNK = 1024  # pairs ranked at once: 16 MB a product with a panel of 4,096
Floats = npt.NDArray[np.float32]
HALF = pa.float16()


@dataclass(frozen=True, slots=True)
class Ranked:
    """What is computed of m pairs, (m,) or more: their rows in the piece, scores by caption, p-values and such.

    NaN: there is none. void: the rows whose picture or caption came to no numbers, of which nothing is computed.
    """

    rows: npt.NDArray[np.intp]
    void: npt.NDArray[np.intp]
    scores: dict[str, Floats]
    p_caption: Floats
    p_code: Floats
    code: npt.NDArray[np.uint8]
    distance: Floats
    embeddings: dict[str, npt.NDArray[np.float16]]


class Scorer:
    """Scores pieces; the panel is on the device of the model.

    captions: names of the columns that are scored; embeddings: whether they are wanted too.
    """

    def __init__(self, siglip: Siglip, panel: Panel, captions: tuple[str, ...], *, embeddings: bool) -> None:
        import torch

        from ..towers import embedded

        device = siglip.device
        self._captions, self._wanted, self._dim = captions, embeddings, siglip.dim
        self._projection = torch.from_numpy(embedded.projection(siglip.checkpoint.name, siglip.dim)).to(
            device
        )
        self._image = torch.from_numpy(panel.image).to(device)
        self._caption = torch.from_numpy(panel.caption).to(device)
        self._each = [torch.from_numpy(panel.captions[name]).to(device) for name in captions]
        self._signs = torch.from_numpy(embedded.signs(embedded.encode(self._image, self._projection))).to(
            device
        )
        order = np.argsort(panel.keys)
        self._keys, self._order = panel.keys[order], order

    def score(self, piece: Piece, made: Embedded) -> tuple[pa.Table, pa.Table | None]:
        """The rows of scores/ of a piece, and of embeddings/ where they are wanted."""
        ranked = self._ranked(piece, made)
        table = pa.Table.from_arrays(self._columns(piece, ranked), schema=SCORED)
        return table, self._embeddings(piece, ranked) if self._wanted else None

    def _ranked(self, piece: Piece, made: Embedded) -> Ranked:
        import torch

        from ..towers import embedded

        rows, image, each = self._together(piece, made)
        sound = torch.stack([torch.isfinite(values).all(dim=1) for values in (image, *each)]).all(dim=0)
        image, *each = (values[sound] for values in (image, *each))
        numbers = sound.cpu().numpy()
        rows, void = rows[numbers], rows[~numbers]
        there = [caption.any(dim=1) for caption in each]
        mean = sum(each[1:], each[0]) / sum(there[1:], there[0].int()).clamp(min=1)[:, None]
        own = torch.from_numpy(self._own(piece, rows)).to(image.device)
        codes = embedded.encode(image, self._projection)
        # Only changed pairs are tested: by the code where one was recorded, by the caption where there is one.
        known = piece.rows[rows]
        changed = ~known["same"]
        coded = np.flatnonzero(changed & known["found"]["coded"])
        told = np.flatnonzero(changed & torch.stack(there).any(dim=0).cpu().numpy())
        both = (embedded.signs(some) for some in (known["found"]["code"][coded], codes[coded]))
        recorded, new = (torch.from_numpy(signs).to(image.device) for signs in both)
        p_code, distance = self._p_code(recorded, new, own[coded])
        p_caption = self._p_caption(image[told], mean[told], own[told])
        cosines = (
            (image * caption).sum(dim=1).where(has, torch.nan)
            for caption, has in zip(each, there, strict=True)
        )
        kept = {"image": image, **dict(zip(self._captions, each, strict=True))} if self._wanted else {}
        return Ranked(
            rows,
            void,
            {name: cosine.cpu().numpy() for name, cosine in zip(self._captions, cosines, strict=True)},
            _spread(len(rows), told, p_caption),
            _spread(len(rows), coded, p_code),
            codes,
            _spread(len(rows), coded, distance),
            {name: values.half().cpu().numpy() for name, values in kept.items()},
        )

    def _together(self, piece: Piece, made: Embedded) -> tuple[npt.NDArray[np.intp], Tensor, list[Tensor]]:
        """The rows of a piece that are embedded, now or in the panel, m of them; pictures and captions (m, d)."""
        import torch

        intact, inside = np.flatnonzero(made.intact), np.flatnonzero(piece.rows["place"] >= 0)
        picked = torch.from_numpy(intact).to(made.image.device)
        known = torch.from_numpy(piece.rows["place"][inside]).to(made.image.device)
        pairs = zip((made.image, *made.captions), (self._image, *self._each), strict=True)
        image, *each = (torch.cat([new[picked], old[known]]) for new, old in pairs)
        return np.concatenate([piece.forward[intact], inside]), image, each

    def _own(self, piece: Piece, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """The place in the panel of the pair with the key of each row, which is not ranked among itself; -1: none."""
        if not len(self._keys):
            return np.full(len(rows), -1, np.int64)
        keys = piece.rows["key"][rows]
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._order[at], -1).astype(np.int64)

    def _p_caption(self, image: Tensor, caption: Tensor, own: Tensor) -> Floats:
        """p_caption of m pairs; image, caption: (m, d); own: (m,)."""
        import torch

        parts = []
        for start in range(0, len(image), CHUNK):
            x, c, mine = (values[start : start + CHUNK] for values in (image, caption, own))
            least = (x * c).sum(dim=1, keepdim=True) - rules.TIE
            row = _count(c @ self._image.T >= least, mine)
            column = _count(x @ self._caption.T >= least, mine)
            parts.append(self._p(torch.maximum(row, column), mine))
        return torch.cat(parts).cpu().numpy() if parts else np.empty(0, np.float32)

    def _p_code(self, recorded: Tensor, new: Tensor, own: Tensor) -> tuple[Floats, Floats]:
        """p_code of m pairs, and the bits between both codes; recorded, new: signs (m, 256)."""
        import torch

        parts = []
        agreement = (recorded * new).sum(dim=1)  # 256 - 2 H
        for start in range(0, len(new), CHUNK):
            chunk = slice(start, start + CHUNK)
            as_near = recorded[chunk] @ self._signs.T >= agreement[chunk, None]
            parts.append(self._p(_count(as_near, own[chunk]), own[chunk]))
        p = torch.cat(parts).cpu().numpy() if parts else np.empty(0, np.float32)
        return p, ((CODE_BITS - agreement) / 2).cpu().numpy()

    def _p(self, count: Tensor, own: Tensor) -> Tensor:
        others = len(self._image) - (own >= 0).int()
        return (1 + count).float() / (1 + others).float()

    def _columns(self, piece: Piece, ranked: Ranked) -> list[Any]:
        """The columns SCORED; of a pair whose bytes are the recorded ones, what was recorded."""
        known, rows = piece.rows, ranked.rows
        n, found = len(known), known["found"]
        there = np.zeros(n, np.bool_)
        there[rows] = True
        copied = known["same"] & ~there
        scores, changes = {}, []
        for i, name in enumerate(SCORES):
            values = np.full(n, np.nan, np.float32)
            column = name.removeprefix("score_")
            if column in self._captions:
                values[rows] = ranked.scores[column]
                changes.append(np.where(known["same"], np.float32("nan"), values - found["scores"][:, i]))
                values[copied] = found["scores"][copied, i]
            scores[name] = values
        code, coded = np.zeros((n, CODE_BITS // 8), np.uint8), there | (copied & found["coded"])
        code[copied], code[rows] = found["code"][copied], ranked.code
        coded[ranked.void] = True  # all zero, by which a decision knows them
        phash, hashed = _phash(piece.table)
        made = {
            "key": piece.table["key"],
            "host": pa.array([host_of(url) for url in piece.table["url"].to_pylist()], pa.string()),
            **{name: _floats(values) for name, values in scores.items()},
            "code": _blobs(code, coded),
            "p_code": _floats(_spread(n, rows, ranked.p_code)),
            "p_caption": _floats(_spread(n, rows, ranked.p_caption)),
            "same": pa.array(known["same"], mask=~known["hashed"]),
            "code_distance": _floats(_spread(n, rows, ranked.distance)).cast(pa.int16()),
            "score_change": _floats(_mean(changes)),
            "phash": pa.array(phash, mask=~hashed),
            "caption_hash": pa.array(known["caption_hash"], mask=~known["captioned"]),
        }
        return [made[name] for name in SCORED.names]

    def _embeddings(self, piece: Piece, ranked: Ranked) -> pa.Table:
        """key, image and the captions as lists of `dim` float16; null where nothing was embedded."""
        columns: list[Any] = [piece.table["key"]]
        for values in ranked.embeddings.values():
            every = np.zeros((len(piece.rows), self._dim), np.float16)
            there = np.zeros(len(every), np.bool_)
            every[ranked.rows], there[ranked.rows] = values, values.any(axis=1)
            flat = pa.array(every.reshape(-1), HALF)
            columns.append(pa.FixedSizeListArray.from_arrays(flat, self._dim, mask=pa.array(~there)))
        return pa.table(columns, names=["key", *ranked.embeddings])


def _count(hits: Tensor, own: Tensor) -> Tensor:
    """How many of the panel, of each pair (c, M), without the pair itself (c,)."""
    import torch

    inside = torch.nonzero(own >= 0).flatten()
    hits[inside, own[inside]] = False
    return hits.sum(dim=1)


def _spread(n: int, rows: npt.NDArray[np.intp], values: Floats) -> Floats:
    every = np.full(n, np.nan, np.float32)
    every[rows] = values
    return every


def _mean(changes: Sequence[Floats]) -> Floats:
    """The mean of those that are known, NaN where none is."""
    known = [~np.isnan(change) for change in changes]
    total = sum(np.nan_to_num(change) for change in changes)
    count = sum(one.astype(np.float32) for one in known)
    return np.where(count > 0, total / np.maximum(count, 1), np.float32("nan"))


def _floats(values: Floats) -> Any:
    return pa.array(values.astype(np.float32), mask=np.isnan(values))


def _blobs(code: npt.NDArray[np.uint8], there: npt.NDArray[np.bool_]) -> Any:
    return pa.array([row.tobytes() if has else None for row, has in zip(code, there, strict=True)], CODE)


def _phash(rows: pa.Table) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """The perceptual hashes of images/ as numbers, and where there are such."""
    if "phash" not in rows.column_names:
        return np.zeros(len(rows), np.uint64), np.zeros(len(rows), np.bool_)
    data, valid = unhex(rows["phash"], 8)
    return np.ascontiguousarray(data).view(">u8").reshape(-1).astype(np.uint64), valid

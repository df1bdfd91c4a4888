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

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.digests import unhex
from ..disk.schema import CODE, CODE_BITS, SCORED, mean_of
from ..stage.embeddings import lists_of
from ..web.hostname import host_of
from . import rules
from .panel import Panel, finder
from .pieces import Piece
from .reference import SCORES

if TYPE_CHECKING:
    from torch import Tensor

    from ..towers import DualEncoder, Embedded

CHUNK = 1024  # pairs ranked at once: 16 MB a product with a panel of 4,096
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


class Scorer:
    """Scores pieces; the panel is on the device of the model.

    captions: names of the columns that are scored; embeddings: whether they are wanted too.
    """

    def __init__(
        self, siglip: DualEncoder, panel: Panel, captions: tuple[str, ...], *, embeddings: bool
    ) -> None:
        from ..towers import embedded

        self._captions, self._wanted, self._dim = captions, embeddings, siglip.dim
        self._device = siglip.device
        self._projection = self._on(embedded.projection(siglip.checkpoint.name, siglip.dim))
        self._image, self._caption = self._on(panel.image), self._on(panel.caption)
        self._each = [self._on(panel.captions[name]) for name in captions]
        self._signs = self._on(embedded.signs(embedded.encode(self._image, self._projection)))
        self._own = finder(panel.keys)

    def _on(self, values: npt.NDArray[Any]) -> Tensor:
        """An array on the device."""
        import torch

        return torch.from_numpy(values).to(self._device)

    def score(self, piece: Piece, made: Embedded) -> dict[str, pa.Table]:
        """The rows of a piece by folder: of scores/, and of embeddings/ where they are wanted."""
        from ..towers import embedded

        rows, void, image, each = self._together(piece, made)
        codes = embedded.encode(image, self._projection)
        columns = {
            "key": piece.table["key"],
            "host": pa.array([host_of(url) for url in piece.table["url"].to_pylist()], pa.string()),
            "same": pa.array(piece.rows["same"], mask=~piece.rows["hashed"]),
            "phash": _phash(piece.table),
            "caption_hash": pa.array(piece.rows["caption_hash"], mask=~piece.rows["captioned"]),
            "code": _codes(piece, rows, void, codes),
            **self._scores(piece, rows, image, each),
            **self._tests(piece, rows, image, each, codes),
        }
        scores = [columns[name] for name in SCORED.names]
        tables = {"scores": pa.Table.from_arrays(scores, schema=SCORED)}
        return tables | ({"embeddings": self._embeddings(piece, rows, image, each)} if self._wanted else {})

    def _together(self, piece: Piece, made: Embedded) -> tuple[Indices, Indices, Tensor, list[Tensor]]:
        """The rows of a piece that are embedded, now or in the panel, m of them; pictures and captions (m, d).

        Second the rows whose picture or caption came to no numbers, of which nothing is computed.
        """
        import torch

        intact, inside = np.flatnonzero(made.intact), np.flatnonzero(piece.rows["place"] >= 0)
        picked, known = self._on(intact), self._on(piece.rows["place"][inside])
        pairs = zip((made.image, *made.captions), (self._image, *self._each), strict=True)
        both = [torch.cat([new[picked], old[known]]) for new, old in pairs]
        sound = torch.stack([torch.isfinite(values).all(dim=1) for values in both]).all(dim=0)
        image, *each = (values[sound] for values in both)
        rows, numbers = np.concatenate([piece.forward[intact], inside]), sound.cpu().numpy()
        return rows[numbers], rows[~numbers], image, each

    def _scores(self, piece: Piece, rows: Indices, image: Tensor, each: list[Tensor]) -> dict[str, Any]:
        """The cosines and how far they fell; of a pair whose bytes are the recorded ones, what was recorded."""
        columns, changes = {}, []
        recorded, same = piece.rows["scores"], piece.rows["same"]
        copied = _copied(piece, rows)
        for i, name in enumerate(SCORES):
            values = np.full(len(same), np.nan, np.float32)
            if (caption := name.removeprefix("score_")) in self._captions:
                text = each[self._captions.index(caption)]
                values[rows] = (image * text).sum(dim=1).where(text.any(dim=1), float("nan")).cpu().numpy()
                changes.append(np.where(same, np.float32("nan"), values - recorded[:, i]))
                values[copied] = recorded[copied, i]
            columns[name] = _floats(values)
        return columns | {"score_change": _floats(mean_of(changes))}

    def _tests(
        self, piece: Piece, rows: Indices, image: Tensor, each: list[Tensor], codes: npt.NDArray[np.uint8]
    ) -> dict[str, Any]:
        """The p-values of changed pairs: by the code where one was recorded, by the caption where there is one."""
        import torch

        from ..towers import embedded

        there = torch.stack([caption.any(dim=1) for caption in each])
        mean = sum(each[1:], each[0]) / there.sum(dim=0).clamp(min=1)[:, None]
        known = piece.rows[rows]
        own = self._on(self._own(known["key"]))
        coded = np.flatnonzero(~known["same"] & known["coded"])
        told = np.flatnonzero(~known["same"] & there.any(dim=0).cpu().numpy())
        both = (known["code"][coded], codes[coded])
        recorded, new = (self._on(embedded.signs(some)) for some in both)
        p_code, distance = self._p_code(recorded, new, own[coded])
        p_caption = self._p_caption(image[told], mean[told], own[told])
        n = len(piece.rows)
        return {
            "p_code": _floats(_spread(n, rows[coded], p_code)),
            "p_caption": _floats(_spread(n, rows[told], p_caption)),
            "code_distance": _floats(_spread(n, rows[coded], distance)).cast(pa.int16()),
        }

    def _p_caption(self, image: Tensor, caption: Tensor, own: Tensor) -> Floats:
        """p_caption of m pairs; image, caption: (m, d); own: (m,)."""
        import torch

        def better(some: slice) -> Tensor:
            x, c, mine = image[some], caption[some], own[some]
            least = (x * c).sum(dim=1, keepdim=True) - rules.TIE
            row = _count(c @ self._image.T >= least, mine)
            return torch.maximum(row, _count(x @ self._caption.T >= least, mine))

        return self._p(better, own)

    def _p_code(self, recorded: Tensor, new: Tensor, own: Tensor) -> tuple[Floats, Floats]:
        """p_code of m pairs, and the bits between both codes; recorded, new: signs (m, 256)."""
        agreement = (recorded * new).sum(dim=1)  # 256 - 2 H

        def as_near(some: slice) -> Tensor:
            return _count(recorded[some] @ self._signs.T >= agreement[some, None], own[some])

        return self._p(as_near, own), ((CODE_BITS - agreement) / 2).cpu().numpy()

    def _p(self, count: Callable[[slice], Tensor], own: Tensor) -> Floats:
        """The p-values of m pairs; count: how many of the panel do as well as some of them; own: (m,)."""
        import torch

        parts = [slice(start, start + CHUNK) for start in range(0, len(own), CHUNK)]
        counts = torch.cat([own[:0], *map(count, parts)])
        return ((1 + counts).float() / (1 + len(self._image) - (own >= 0).int()).float()).cpu().numpy()

    def _embeddings(self, piece: Piece, rows: Indices, image: Tensor, each: list[Tensor]) -> pa.Table:
        """key, image and the captions as lists of `dim` float16; null where nothing was embedded."""
        columns: list[Any] = [piece.table["key"]]
        for tensor in (image, *each):
            values = tensor.half().cpu().numpy()
            every = np.zeros((len(piece.rows), self._dim), np.float16)
            every[rows] = values
            columns.append(lists_of(every))
        return pa.table(columns, names=["key", "image", *self._captions])


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


def _floats(values: Floats) -> Any:
    return pa.array(values.astype(np.float32), mask=np.isnan(values))


def _copied(piece: Piece, rows: Indices) -> npt.NDArray[np.bool_]:
    """Which rows take what was recorded: their bytes are the recorded ones, and they are not among those embedded."""
    copied = piece.rows["same"].copy()
    copied[rows] = False
    return copied


def _codes(piece: Piece, rows: Indices, void: Indices, codes: npt.NDArray[np.uint8]) -> Any:
    """The codes of all rows, made now or recorded; of what came to no numbers all zero: so a decision knows it."""
    found = piece.rows
    copied = _copied(piece, rows) & found["coded"]
    every, there = np.where(copied[:, None], found["code"], np.uint8(0)), copied
    every[rows], there[rows], there[void] = codes, True, True
    return pa.array([row.tobytes() if has else None for row, has in zip(every, there, strict=True)], CODE)


def _phash(rows: pa.Table) -> Any:
    """The perceptual hashes of images/ as numbers; null where there is none."""
    if "phash" not in rows.column_names:
        return pa.nulls(len(rows), pa.uint64())
    data, valid = unhex(rows["phash"], 8)
    return pa.array(data.view(">u8").reshape(-1).astype(np.uint64), mask=~valid)

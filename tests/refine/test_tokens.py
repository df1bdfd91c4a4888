"""Unknown pieces of a text, by tokenizers of the tests' own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from builder.errors import InputError
from builder.refine.tokens import Pieces
from builder.towers.checkpoint import TINY

HAN = "北京的春天在公园"


def fallback(path: Path) -> Path:
    """A BPE that writes what it does not know as bytes, as SigLIP2's does."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *HAN, "a"]
    model = models.BPE({word: n for n, word in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    Tokenizer(model).save(str(path))
    return path


def bert(path: Path) -> Path:
    """A WordPiece of which each unknown word is one [UNK]."""
    words = ["[UNK]", "[CLS]", "[SEP]", *HAN, "a", "##a"]
    made = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.save(str(path))
    return path


def test_bytes_that_a_tokenizer_falls_back_to_are_unknown(tmp_path: Path) -> None:
    pieces = Pieces(str(fallback(tmp_path / "t.json")))
    assert pieces.unknown(["北京", "北京龘", "龘龘龘", "", "aé"]).tolist() == [0, 3, 9, 0, 2]
    assert pieces.unknown([]).tolist() == []


def test_unknown_words_of_bert(tmp_path: Path) -> None:
    pieces = Pieces(str(bert(tmp_path / "t.json")))
    assert pieces.unknown(["北京的公园", "龘龘", "aaa", "aab 北京", "[UNK]"]).tolist()[:4] == [0, 2, 0, 1]


def test_what_is_looked_at_is_what_a_look_at_all_finds(tmp_path: Path) -> None:
    pieces = Pieces(str(fallback(tmp_path / "t.json")))
    texts = [HAN[n % 8] * (n % 4) + "龘é"[: n % 3] for n in range(40)]
    assert pieces.unknown(texts).tolist() == [pieces.unknown([text])[0] for text in texts]


def test_a_folder_means_its_tokenizer_and_the_fingerprint_is_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = fallback(tmp_path / "model" / "tokenizer.json")
    assert Pieces(str(tmp_path / "model")).fingerprint == Pieces(str(path)).fingerprint
    assert Pieces(str(TINY)).fingerprint != Pieces(str(path)).fingerprint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "no tokenizer that can be read"),
        (b'{"model": {}}', "no tokenizer that can be read"),
    ],
)
def test_what_is_no_tokenizer_is_told(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "t.json").write_bytes(data)
    with pytest.raises(InputError, match=said):
        Pieces(str(tmp_path / "t.json"))


def test_a_tokenizer_that_knows_everything_is_told(tmp_path: Path) -> None:
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "t.json"))
    with pytest.raises(InputError, match="nothing is unknown to it"):
        Pieces(str(tmp_path / "t.json"))
    with pytest.raises(InputError, match="no such file or folder"):
        Pieces(str(tmp_path / "gone.json"))
    with pytest.raises(InputError, match=r"holds no tokenizer\.json"):
        Pieces(str(tmp_path))

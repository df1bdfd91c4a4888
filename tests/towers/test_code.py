"""Codes are what the published rule says: fixed by seed and name, near for near pictures, halfway for others."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from builder.towers import embedded


def test_the_projection_is_the_bits_of_the_published_seed() -> None:
    found = embedded.projection("siglip2-base-patch16-256", 768)
    first = hashlib.shake_256(b"danqing code 1\0siglip2-base-patch16-256").digest(1)[0]
    assert found.shape == (256, 768)
    assert [int(one > 0) for one in found[0, :8]] == [first >> (7 - bit) & 1 for bit in range(8)]
    assert set(np.unique(found)) == {-1, 1}
    assert abs(found.mean()) < 0.01
    assert not np.array_equal(found, embedded.projection("other", 768))


def test_a_code_has_the_first_sign_in_its_first_bit() -> None:
    torch = pytest.importorskip("torch")
    projection = np.ones((256, 2), np.int8)
    projection[0] = projection[9] = -1
    found = embedded.encode(torch.tensor([[1.0, 0.5], [-1.0, -0.5]]), torch.from_numpy(projection))
    assert found.dtype == np.uint8
    assert found[0].tolist() == [0x7F, 0xBF] + [0xFF] * 30
    assert found[1].tolist() == [0x80, 0x40] + [0] * 30


def test_signs_give_hamming_distances() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (5, 32), np.uint8)
    found = (256 - embedded.signs(codes) @ embedded.signs(codes).T) / 2
    bits = np.unpackbits(codes, axis=1)
    assert np.array_equal(found, (bits[:, None] != bits[None]).sum(-1))


def test_distance_grows_with_the_angle() -> None:
    """256 t / pi bits for an angle of t, within four standard deviations."""
    torch = pytest.importorskip("torch")
    projection = torch.from_numpy(embedded.projection("m", 512))
    generator = torch.Generator().manual_seed(0)
    base, off = torch.linalg.qr(torch.randn(512, 2, generator=generator)).Q.T
    for angle in (0.05, 0.5, np.pi / 2):
        turned = np.cos(angle) * base + np.sin(angle) * off
        first, second = embedded.signs(embedded.encode(torch.stack([base, turned]), projection))
        share = angle / np.pi
        assert abs((256 - first @ second) / 2 - 256 * share) < 4 * np.sqrt(256 * share * (1 - share)) + 1

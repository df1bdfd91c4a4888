"""The last attention of the picture tower: one learned query over all patches, computed without a detour.

SigLIP pools its patches by nn.MultiheadAttention, which wants them patch first and so multiplies a view that is not
contiguous: in bfloat16 on a CPU it copies the weights once for each patch, a fifth of the time of the whole tower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Probe:
    """The forward of `attention`, an nn.MultiheadAttention with batch_first, for equal keys and values."""

    def __init__(self, attention: Any) -> None:
        self._attention = attention

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
    ) -> tuple[Tensor]:
        """Of a query (n, 1, width) over keys (n, patches, width): (n, 1, width), alone in a tuple.

        attn_mask: (n * heads, 1, patches), added to the logits.
        """
        from torch.nn.functional import linear, scaled_dot_product_attention

        own, (count, _, width) = self._attention, key.shape
        weight, bias = own.in_proj_weight, own.in_proj_bias

        def heads(tensor: Tensor) -> Tensor:
            return tensor.view(count, -1, own.num_heads, width // own.num_heads).transpose(1, 2)

        asked = linear(query, weight[:width], bias[:width])
        keys, values = linear(key, weight[width:], bias[width:]).chunk(2, dim=-1)
        mask = None if attn_mask is None else attn_mask.view(count, own.num_heads, 1, -1)
        found = scaled_dot_product_attention(heads(asked), heads(keys), heads(values), attn_mask=mask)
        pooled: Tensor = own.out_proj(found.transpose(1, 2).reshape(count, -1, width))
        return (pooled,)

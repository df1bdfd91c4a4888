"""The two towers of a checkpoint: prepared batches in, embeddings of length one out.

Weights are read once, checked to be whole, and put on the device in the precision wanted. Pixels arrive as uint8 and
are normalised where the tower runs; a forward has one shape, so that it is compiled once and what a row comes to does
not depend on its neighbours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DanqingError, EnvironmentProblem, InputError, first_line
from ..web.tokens import chain
from .checkpoint import CHINESE_CLIP, PIP
from .device import Options, Placement, place
from .lane import is_out_of_memory, on_device
from .pixels import Patches, Preparation, Squash
from .text import PADDING, WORD_PIECES

if TYPE_CHECKING:
    from torch import Tensor

    from .checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint in memory. scale, bias: logit = scale * cosine + bias; length: of a caption in tokens."""

    towers: Towers
    place: Placement
    preparation: Preparation
    dim: int
    length: int
    scale: float
    bias: float


@dataclass(frozen=True, slots=True)
class Whole:
    """A checkpoint read and checked, in float32 on the CPU. levels: (gain, shift) of pixels, see _normalisation.

    length: of a caption in tokens.
    """

    model: Any
    preparation: Preparation
    levels: tuple[Tensor, Tensor]
    length: int


class Towers:
    """The forward of either tower, of pictures as uint8 (n, *shape) with their grids, and of token ids (n, length)."""

    def __init__(self, model: Any, levels: tuple[Tensor, Tensor], *, naflex: bool) -> None:
        self._model = self._tuned(model, naflex=naflex)
        self._gain, self._shift = levels
        self._naflex = naflex
        self._plain: Callable[..., Tensor] = self._patches if naflex else self._square
        self.eager()

    def _tuned(self, model: Any, *, naflex: bool) -> Any:
        """The model with faster ways to what it does."""
        pooling = model.vision_model.head.attention
        pooling.forward = _Probe(pooling)
        if naflex:
            positions = model.vision_model.embeddings
            positions.resize_positional_embeddings = self._positions(positions.resize_positional_embeddings)
        return model

    def _positions(self, compute: Any) -> Any:
        return _Positions(compute)

    def eager(self) -> None:
        """Run as Python says."""
        self._image, self._text = self._plain, self._caption

    def compile(self) -> None:
        """Run as torch.compile makes it, for one shape of batch; the first forward takes most of a minute."""
        import torch

        self._image = torch.compile(self._plain, dynamic=False)
        self._text = torch.compile(self._caption, dynamic=False)

    def image(self, pixels: Tensor, grid: Tensor) -> Tensor:
        """Float32 embeddings (n, dim), see _unit. grid: (n, 2) on the CPU, height and width in patches."""
        counts = [on_device(grid.prod(1), pixels.device)] if self._naflex else []
        return self._image(pixels, grid, *counts)

    def text(self, ids: Tensor) -> Tensor:
        """Float32 embeddings (n, dim), see _unit."""
        return self._text(ids)

    def _square(self, pixels: Tensor, grid: Tensor) -> Tensor:
        return _unit(self._model.vision_model(pixel_values=self._levels(pixels).permute(0, 3, 1, 2)))

    def _patches(self, pixels: Tensor, grid: Tensor, counts: Tensor) -> Tensor:
        import torch

        # Of four dimensions, as transformers would otherwise ask the device whether any patch is masked at all, and
        # choose another kernel for a batch where none is.
        mask = (torch.arange(pixels.shape[1], device=pixels.device) < counts[:, None])[:, None, None, :]
        return _unit(
            self._model.vision_model(
                pixel_values=self._levels(pixels), pixel_attention_mask=mask, spatial_shapes=grid
            )
        )

    def _levels(self, pixels: Tensor) -> Tensor:
        return (pixels.float() * self._gain + self._shift).to(self._model.dtype)

    def _caption(self, ids: Tensor) -> Tensor:
        return _unit(self._model.text_model(input_ids=ids))


class LearningTowers(Towers):
    """The towers of a model whose weights change from one forward to the next. Its grids may be on the device too."""

    def image(self, pixels: Tensor, grid: Tensor) -> Tensor:
        """Embeddings as of Towers, with their graph."""
        return super().image(pixels, grid.cpu() if self._naflex else grid)

    def _positions(self, compute: Any) -> Any:
        import torch

        def resized(table: Tensor, spatial_shapes: Tensor, max_length: int) -> Tensor:
            shapes, which = torch.unique(spatial_shapes.cpu(), dim=0, return_inverse=True)
            found: Tensor = compute(table, shapes, max_length)[on_device(which, table.device)]
            return found

        return torch.compiler.disable(resized)  # type: ignore[no-untyped-call]


class ChineseTowers(Towers):
    """The towers of Chinese-CLIP, whose vectors are projected, and whose captions attend to no padding."""

    def _tuned(self, model: Any, *, naflex: bool) -> Any:
        return model

    def _square(self, pixels: Tensor, grid: Tensor) -> Tensor:
        return _unit(self._model.get_image_features(pixel_values=self._levels(pixels).permute(0, 3, 1, 2)))

    def _caption(self, ids: Tensor) -> Tensor:
        mask = (ids != PADDING)[:, None, None, :]  # of four dimensions, as in _patches
        return _unit(self._model.get_text_features(input_ids=ids.clamp(min=0), attention_mask=mask))


def _unit(output: Any) -> Tensor:
    """Rows of length one; all NaN where a row is not finite, or has no direction."""
    import torch

    rows = output.pooler_output.float()
    length = rows.norm(dim=-1, keepdim=True)
    return torch.where((length > 0) & (length < torch.inf), rows / length, torch.nan)


class _Probe:
    """The last attention of the picture tower, one learned query over all patches, without a detour.

    SigLIP pools its patches by nn.MultiheadAttention, which wants them patch first and so multiplies a view that is not
    contiguous; in bfloat16 on a CPU it copies the weights once for each patch, a fifth of the time of the whole tower.
    This is its forward with batch_first, for equal keys and values.
    """

    def __init__(self, attention: Any) -> None:
        self._attention = attention

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
    ) -> tuple[Tensor]:
        """The pooled (n, 1, width), alone in a tuple, of a query (n, 1, width) over keys (n, patches, width).

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


class _Positions:
    """The position embeddings of a batch of shapes, each shape computed once.

    transformers interpolates them anew for every picture of every batch, which on a GPU is 512 small kernels.
    """

    def __init__(self, compute: Any) -> None:
        self._compute = compute
        self._known: dict[tuple[int, int], Tensor] = {}

    def __call__(self, table: Tensor, spatial_shapes: Tensor, max_length: int) -> Tensor:
        import torch

        # Which shapes there are is data, and nothing to compile.
        stacked = torch.compiler.disable(self._stacked)  # type: ignore[no-untyped-call]
        return stacked(table, spatial_shapes, max_length)  # type: ignore[no-any-return]

    def _stacked(self, table: Tensor, spatial_shapes: Tensor, max_length: int) -> Tensor:
        import torch

        found = []
        for height, width in spatial_shapes.tolist():
            if (height, width) not in self._known:
                one = torch.tensor([(height, width)])
                self._known[height, width] = self._compute(table, one, max_length)[0]
            found.append(self._known[height, width])
        return torch.stack(found)


def load(checkpoint: Checkpoint, options: Options) -> Loaded:
    """Read a checkpoint onto its device.

    Raises EnvironmentProblem where torch, transformers or the device is missing or broken; InputError where weights
    are missing or are of another shape than the configuration says.
    """
    whole = read(checkpoint, options.decode)
    with explained(checkpoint.model):
        return _loaded(checkpoint, options, whole)


def read(checkpoint: Checkpoint, decode: str) -> Whole:
    """A checkpoint with all its weights, and its own preparation of pictures. Raises as `load` does."""
    with explained(checkpoint.model):
        import torch
        from transformers import AutoModel

        # By its module: before 5.23, transformers itself gives the class only beside torchvision, which nothing needs.
        from transformers.models.auto.image_processing_auto import AutoImageProcessor

        with quiet():
            processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                checkpoint.folder, local_files_only=True, backend="pil"
            )
            model, report = AutoModel.from_pretrained(
                checkpoint.folder,
                local_files_only=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are in the report
            )
        chinese, config = checkpoint.kind == CHINESE_CLIP, model.config
        if fault := unfit(report) if chinese else _misfit(report, config):
            raise InputError(f"{checkpoint.model}: {fault}; download the checkpoint again")
        preparation = _preparation(checkpoint, processor, config.vision_config, fast=decode == "fast")
        levels = _normalisation(checkpoint, processor, preparation)
        longest = int(config.text_config.max_position_embeddings)
        return Whole(model, preparation, levels, min(longest, WORD_PIECES) if chinese else longest)


def _loaded(checkpoint: Checkpoint, options: Options, whole: Whole) -> Loaded:
    """The checkpoint that was read, put in its place."""
    import torch

    model, chinese = whole.model, checkpoint.kind == CHINESE_CLIP
    chosen = place(options, sum(weight.numel() for weight in model.parameters()))
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    if chosen.device.type == "cuda":
        # Else page-locked memory would be made known to the first GPU too.
        torch.cuda.set_device(chosen.device)
        # Of itself torch cuts a convolution, here of the patches, to 10 bits.
        if chosen.dtype == torch.float32:
            torch.backends.cudnn.allow_tf32 = False
    # Before the weights lose their precision: bfloat16 would round the scale by up to 0.4 %.
    scale = float(model.logit_scale.detach().exp())
    bias = 0.0 if chinese else float(model.logit_bias.detach())
    model = model.to(chosen.device, chosen.dtype).eval().requires_grad_(False)
    gain, shift = (one.to(chosen.device) for one in whole.levels)
    return Loaded(
        towers=(ChineseTowers if chinese else Towers)(model, (gain, shift), naflex=checkpoint.naflex),
        place=chosen,
        preparation=whole.preparation,
        dim=int(model.config.projection_dim if chinese else model.config.text_config.projection_size),
        length=whole.length,
        scale=scale,
        bias=bias,
    )


def unfit(report: Any) -> str | None:
    """Why the weights are not those of the configuration, by what transformers reports of reading them; else None."""
    for name, what in (("missing", "are missing"), ("unexpected", "are none of what config.json describes")):
        if keys := sorted(report[f"{name}_keys"]):
            return f"{len(keys)} of its weights {what}, such as {keys[0]}"
    for name, there, wanted in sorted(report["mismatched_keys"]):
        return f"weight {name} has shape {tuple(there)}, and config.json says {tuple(wanted)}"
    return None


def _misfit(report: Any, config: Any) -> str | None:
    """Why a checkpoint is not one of two towers that meet, with all their weights; else None."""
    if fault := unfit(report):
        return fault
    dims = config.text_config.projection_size, config.vision_config.hidden_size
    if dims[0] != dims[1]:
        return f"config.json says captions of {dims[0]} dimensions and pictures of {dims[1]}"
    if not getattr(config.vision_config, "vision_use_head", True):
        return "config.json says that the picture tower has no head, and it gives no embedding then"
    return None


def _preparation(checkpoint: Checkpoint, processor: Any, vision: Any, *, fast: bool) -> Preparation:
    """The preparation that the checkpoint's own processor names, held against the configuration of the tower."""
    resample = int(processor.resample)
    if checkpoint.naflex:
        patch, limit = int(processor.patch_size), int(processor.max_num_patches)
        if patch != vision.patch_size:
            raise InputError(
                f"{checkpoint.model}: pictures are cut into patches of {patch} pixels, and the tower takes "
                f"{vision.patch_size}; take the processor that was published with it"
            )
        return Patches(patch, limit, resample, fast)
    if not processor.do_resize or getattr(processor, "do_center_crop", False) or not processor.size.height:
        raise InputError(
            f"{checkpoint.model}: its processor crops pictures or keeps their shape, and the tower takes a square that "
            "they are squashed to; take the processor that was published with it"
        )
    size = (processor.size.height, processor.size.width)
    if size != (vision.image_size, vision.image_size):
        raise InputError(
            f"{checkpoint.model}: pictures are prepared as {size[0]}x{size[1]}, and the tower takes "
            f"{vision.image_size}x{vision.image_size}; take the processor that was published with it"
        )
    return Squash(vision.image_size, resample, fast)


def _normalisation(checkpoint: Checkpoint, processor: Any, preparation: Preparation) -> tuple[Tensor, Tensor]:
    """(gain, shift), to be applied to uint8 levels in the last dimension: (level * factor - mean) / std."""
    import torch

    mean = torch.tensor(processor.image_mean if processor.do_normalize else [0.0] * 3, dtype=torch.float64)
    std = torch.tensor(processor.image_std if processor.do_normalize else [1.0] * 3, dtype=torch.float64)
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    times = preparation.shape[-1] // 3  # a row of a patch repeats red, green, blue
    gain, shift = (factor / std).repeat(times), (-mean / std).repeat(times)
    if not (torch.isfinite(gain).all() and torch.isfinite(shift).all()):
        raise InputError(
            f"{checkpoint.model}: its processor divides levels by {std.tolist()}; take the one published with it"
        )
    return gain.float(), shift.float()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Turn the bars and advice of transformers off, then back as they were."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def explained(model: str) -> Iterator[None]:
    """Turn what reading a checkpoint can run into into one line."""
    try:
        yield
    except DanqingError:
        raise
    except Exception as error:  # transformers wraps what it meets in nearly every class there is
        raise explain(error, model) from error


def explain(error: BaseException, model: str) -> EnvironmentProblem | InputError:
    """The error of ours for one in importing torch and transformers, or in reading weights with them."""
    origins = list(chain(error))
    if any("torchvision" in str(one) for one in origins):
        return EnvironmentProblem(
            "the torchvision that is installed does not fit this torch, and transformers cannot start beside it; "
            "nothing here needs it: pip uninstall torchvision"
        )
    missing = [one.name for one in origins if isinstance(one, ModuleNotFoundError)]
    if missing:
        return EnvironmentProblem(f"{missing[-1]} is not installed: {PIP}")
    if isinstance(error, ImportError):
        return EnvironmentProblem(
            f"torch and transformers cannot start: {first_line(error)}; reinstall danqing[siglip2]"
        )
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and is_out_of_memory(error)):
        return EnvironmentProblem(
            f"{model}: out of memory while it was loaded; free memory, or take a smaller one"
        )
    return InputError(f"{model}: cannot be read: {first_line(error)}; download the checkpoint again")

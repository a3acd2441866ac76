"""Kernels of BatchNorm over parts of a batch for GPUs, all parts in one launch.

Torch has kernels for one batch. Called for every part they read a GPU's memory at a fraction of its rate, and
the gradients need copies. Here a map ``(B, C, H, W)`` in the channels-last layout is a table of B H W rows
and C columns, a part is consecutive rows of it, and the third axis of a grid counts the parts. A pass is
three launches: sums over blocks of rows, their merger, and one walk over the table. Sums are float32 and have
one order, so that results are the same bits every time. Nothing waits for the host or searches for settings,
so that passes can be recorded as CUDA graphs.

Triton comes with the CUDA builds of torch alone; :mod:`drfm.learning.batchnorm` imports this module late.
"""

from contextlib import nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 4096
"""Numbers that a program reads at once; 16 for each of its threads."""
_WARPS = 8
_COLUMNS = 64
"""Columns of a tile at most: 128 bytes of a row in half precision."""
_MERGED_ROWS, _MERGED_COLUMNS = 128, 8
"""The tile of sums in which a merger reads."""
_SUMMING, _WALKING = 4, 16
"""Programs for each multiprocessor: few that sum, as each leaves sums to merge; more that walk."""
_REGISTERS = 64
"""Of a thread that sums, at most: so many let the programs above all run at once."""
_SIZES = ["samples", "parts", "area", "units", "tiles", "blocks", "counted"]
"""Arguments that are never compiled in, or each shape would be compiled anew."""


def forward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running: tuple[Tensor, Tensor, Tensor | None] | None,
    parts: int,
    counted: int,
    factor: float,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Normalise every part of ``x`` by its own statistics.

    Args:
        x: ``(B, C, H, W)`` in the channels-last layout; float32, bfloat16 or float16.
        weight: ``(C,)`` float32, or none.
        bias: ``(C,)`` float32, or none.
        running: running mean and variance ``(C,)`` float32 and, if it is to be raised, the int64 number of
            batches; changed in place.
        parts: number of parts, cut as ``tensor_split`` does; each has two rows at least.
        counted: the running statistics follow the mean over so many parts, from the first on.
        factor: share of the new statistics in the running ones, in 0..1.
        eps: added to the variance.

    Returns:
        The result, as ``x``; and mean, 1 / standard deviation and variance of each part, float32
        ``(3, parts, C)``.
    """
    shape = _Shape(x, parts)
    y = torch.empty_like(x, memory_format=torch.channels_last)
    saved = torch.empty((3, parts, shape.channels), dtype=torch.float32, device=x.device)
    blocks, tiles = shape.split(_SUMMING)
    partial = torch.empty((2, parts, blocks, shape.channels), dtype=torch.float32, device=x.device)
    with _on(x):
        _moments[shape.grid(blocks)](
            x, partial, *shape.sizes, tiles, blocks, **shape.tile, maxnreg=_REGISTERS
        )
        _merge_moments[shape.merging(parts)](
            partial, saved, *shape.sizes, tiles, blocks, eps, **shape.merger, SPAN=shape.tile["ROWS"]
        )
        blocks, tiles = shape.split(_WALKING)
        _normalise[shape.grid(blocks)](
            x, y, saved, weight, bias, *(running or (None, None, None)), *shape.sizes, tiles, counted, factor,
            **shape.tile,
        )  # fmt: skip
    return y, saved


def backward(
    dy: Tensor, x: Tensor, weight: Tensor | None, saved: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of what went into :func:`forward`.

    Args:
        dy: gradient of the result, as ``x`` but in any layout.
        x: as in :func:`forward`.
        weight: as in :func:`forward`.
        saved: what :func:`forward` returned.
        wanted: whether weight and bias get a gradient.

    Returns:
        Gradients of ``x``, weight and bias; those of the last two are summed over the parts.
    """
    parts = saved.shape[1]
    shape = _Shape(x, parts)
    dy = dy.contiguous(memory_format=torch.channels_last)
    dx = torch.empty_like(x, memory_format=torch.channels_last)
    dw, db = (torch.empty_like(saved[0, 0]) if asked else None for asked in wanted)
    blocks, tiles = shape.split(_SUMMING)
    partial = torch.empty((2, parts, blocks, shape.channels), dtype=torch.float32, device=x.device)
    sums = torch.empty((2, parts, shape.channels), dtype=torch.float32, device=x.device)
    with _on(x):
        _gradient_sums[shape.grid(blocks)](
            dy, x, saved, partial, *shape.sizes, tiles, blocks, **shape.tile, maxnreg=_REGISTERS
        )
        _merge_sums[shape.merging(2 * parts)](partial, sums, shape.sizes[-1], blocks, **shape.merger)
        blocks, tiles = shape.split(_WALKING)
        _gradient[shape.grid(blocks)](
            dy, x, dx, saved, sums, weight, dw, db, *shape.sizes, tiles, **shape.tile
        )
    return dx, dw, db


class _Shape:
    """How a map is cut into tiles, by rules that need no trial."""

    def __init__(self, x: Tensor, parts: int) -> None:
        samples, self.channels, height, width = x.shape
        self._parts, self._device = parts, x.device
        # A multiple of 8 is told as such: only then is it known that 16 bytes can be read at once.
        unit = 8 if self.channels % 8 == 0 else 1
        self.sizes = (samples, parts, height * width, self.channels // unit)
        columns = min(_COLUMNS, max(16, triton.next_power_of_2(self.channels)))
        self.tile = {"UNIT": unit, "ROWS": _TILE // columns, "COLUMNS": columns, "num_warps": _WARPS}
        self.merger = {"UNIT": unit, "ROWS": _MERGED_ROWS, "COLUMNS": _MERGED_COLUMNS, "num_warps": 4}
        self._across = triton.cdiv(self.channels, columns)
        self._down = triton.cdiv(triton.cdiv(samples, parts) * height * width, self.tile["ROWS"])

    def split(self, each: int) -> tuple[int, int]:
        """Blocks of rows in a part, and tiles in a block, for ``each`` programs a multiprocessor."""
        programs = each * _multiprocessors(self._device)
        blocks = min(self._down, max(1, programs // (self._across * self._parts)))
        tiles = triton.cdiv(self._down, blocks)
        return triton.cdiv(self._down, tiles), tiles

    def grid(self, blocks: int) -> tuple[int, int, int]:
        """Neighbours in the first axis read neighbouring memory."""
        return self._across, blocks, self._parts

    def merging(self, sets: int) -> tuple[int, int]:
        return triton.cdiv(self.channels, _MERGED_COLUMNS), sets


def _multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":  # Triton's interpreter
        return 2
    return torch.cuda.get_device_properties(device).multi_processor_count


def _on(x: Tensor) -> torch.cuda.device | nullcontext[None]:
    """Triton launches on the current GPU, whatever the tensors' own."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


# The kernels. Each program has some columns, a block of rows, and a part. -----------------------------------


@triton.jit
def _rows_of(part, samples, parts, area):
    """First row and number of rows of a part."""
    each, more = samples // parts, samples % parts
    first = part * each + tl.minimum(part, more)
    return first * area, (each + (part < more).to(tl.int32)) * area


@triton.jit(do_not_specialize=_SIZES)
def _moments(
    x, partial, samples, parts, area, units, tiles, blocks,
    UNIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Mean of a block of rows, and sum of squares about it."""
    channels = units * UNIT
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    block, part = tl.program_id(1), tl.program_id(2)
    first, count = _rows_of(part, samples, parts, area)
    begin = block * tiles * ROWS
    left = tl.minimum(count - begin, tiles * ROWS)  # rows of this block; none in the last of a short part
    rows = tl.arange(0, ROWS)
    offsets = rows[:, None] * channels + columns[None, :]
    inside = (columns < channels)[None, :]
    # Welford's update in every place of the tile, over the tiles: nothing large is ever subtracted.
    mean = tl.zeros([ROWS, COLUMNS], tl.float32)
    squares = tl.zeros([ROWS, COLUMNS], tl.float32)
    for tile in range(tiles):
        here = (tile * ROWS + rows < left)[:, None]
        start = (first + begin + tile * ROWS).to(tl.int64) * channels
        value = tl.load(x + start + offsets, mask=here & inside, other=0.0).to(tl.float32)
        away = tl.where(here, value - mean, 0.0)
        mean += away * (1.0 / (tile + 1))
        squares += away * (value - mean)
    # Then the places of a column are merged, each with the number of rows that it has seen, about the first
    # value: so a constant column has exactly its value as mean.
    seen = (tl.maximum(left - rows + ROWS - 1, 0) // ROWS).to(tl.float32)[:, None]
    start = (first + begin).to(tl.int64) * channels
    pilot = tl.load(x + start + columns, mask=(columns < channels) & (left > 0), other=0.0).to(tl.float32)
    number = tl.maximum(left, 1).to(tl.float32)
    whole = pilot + tl.sum((mean - pilot[None, :]) * seen, 0) / number
    away = mean - whole[None, :]
    spread = tl.sum(squares + away * away * seen, 0)
    target = partial + (part * blocks + block) * channels + columns
    tl.store(target, whole, mask=columns < channels)
    tl.store(target + parts * blocks * channels, spread, mask=columns < channels)


@triton.jit(do_not_specialize=_SIZES)
def _merge_moments(
    partial, saved, samples, parts, area, units, tiles, blocks, eps,
    UNIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Mean, 1 / standard deviation and variance of a part from those of its blocks."""
    channels = units * UNIT
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.program_id(1)
    _, count = _rows_of(part, samples, parts, area)
    inside = columns < channels
    means = partial + part * blocks * channels + columns
    squares = means + parts * blocks * channels
    # About the mean of the first block. That costs the variance a factor of ``blocks`` in precision at most,
    # since that block has its own share of it.
    pilot = tl.load(means, mask=inside, other=0.0)
    first = tl.zeros([ROWS, COLUMNS], tl.float32)
    second = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, blocks, ROWS):
        rows = start + tl.arange(0, ROWS)
        mask = (rows < blocks)[:, None] & inside[None, :]
        offsets = rows[:, None] * channels
        seen = tl.minimum(tl.maximum(count - rows * tiles * SPAN, 0), tiles * SPAN).to(tl.float32)[:, None]
        away = tl.load(means[None, :] + offsets, mask=mask, other=0.0) - pilot[None, :]
        first += seen * away
        second += tl.load(squares[None, :] + offsets, mask=mask, other=0.0) + seen * away * away
    number = count.to(tl.float32)
    shift = tl.sum(first, 0) / number
    variance = tl.maximum(tl.sum(second, 0) / number - shift * shift, 0.0)
    target = saved + part * channels + columns
    tl.store(target, pilot + shift, mask=inside)
    tl.store(target + parts * channels, 1.0 / tl.sqrt(variance + eps), mask=inside)
    tl.store(target + 2 * parts * channels, variance, mask=inside)


@triton.jit(do_not_specialize=_SIZES)
def _normalise(
    x, y, saved, weight, bias, running_mean, running_variance, batches,
    samples, parts, area, units, tiles, counted, factor,
    UNIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The result; the program of the first rows also moves the running statistics."""
    channels = units * UNIT
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    block, part = tl.program_id(1), tl.program_id(2)
    first, count = _rows_of(part, samples, parts, area)
    inside = columns < channels
    mean = tl.load(saved + part * channels + columns, mask=inside, other=0.0)[None, :]
    scale = tl.load(saved + (parts + part) * channels + columns, mask=inside, other=0.0)
    if weight is not None:
        scale *= tl.load(weight + columns, mask=inside, other=0.0)
    shift = tl.zeros([COLUMNS], tl.float32)
    if bias is not None:
        shift = tl.load(bias + columns, mask=inside, other=0.0)
    begin = block * tiles * ROWS
    rows = tl.arange(0, ROWS)
    offsets = rows[:, None] * channels + columns[None, :]
    for tile in range(tiles):
        mask = (begin + tile * ROWS + rows < count)[:, None] & inside[None, :]
        start = (first + begin + tile * ROWS).to(tl.int64) * channels
        value = tl.load(x + start + offsets, mask=mask, other=0.0).to(tl.float32)
        tl.store(y + start + offsets, (value - mean) * scale[None, :] + shift[None, :], mask=mask)
    if running_mean is not None and (block == 0) & (part == 0):
        new_mean = tl.zeros([COLUMNS], tl.float32)
        new_variance = tl.zeros([COLUMNS], tl.float32)
        for each in range(counted):
            _, number = _rows_of(each, samples, parts, area)
            unbiased = number.to(tl.float32) / (number - 1).to(tl.float32)
            new_mean += tl.load(saved + each * channels + columns, mask=inside, other=0.0)
            new_variance += unbiased * tl.load(
                saved + (2 * parts + each) * channels + columns, mask=inside, other=0.0
            )
        old_mean = tl.load(running_mean + columns, mask=inside, other=0.0)
        old_variance = tl.load(running_variance + columns, mask=inside, other=0.0)
        tl.store(running_mean + columns, old_mean + factor * (new_mean / counted - old_mean), mask=inside)
        tl.store(
            running_variance + columns,
            old_variance + factor * (new_variance / counted - old_variance),
            mask=inside,
        )
        if batches is not None and tl.program_id(0) == 0:
            tl.store(batches, tl.load(batches) + 1)


@triton.jit(do_not_specialize=_SIZES)
def _gradient_sums(
    dy, x, saved, partial, samples, parts, area, units, tiles, blocks,
    UNIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums over a block of rows of the gradient, and of the gradient times the distance from the mean."""
    channels = units * UNIT
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    block, part = tl.program_id(1), tl.program_id(2)
    first, count = _rows_of(part, samples, parts, area)
    inside = columns < channels
    mean = tl.load(saved + part * channels + columns, mask=inside, other=0.0)[None, :]
    begin = block * tiles * ROWS
    rows = tl.arange(0, ROWS)
    offsets = rows[:, None] * channels + columns[None, :]
    plain = tl.zeros([ROWS, COLUMNS], tl.float32)
    weighted = tl.zeros([ROWS, COLUMNS], tl.float32)
    for tile in range(tiles):
        mask = (begin + tile * ROWS + rows < count)[:, None] & inside[None, :]
        start = (first + begin + tile * ROWS).to(tl.int64) * channels
        value = tl.load(x + start + offsets, mask=mask, other=0.0).to(tl.float32)
        gradient = tl.load(dy + start + offsets, mask=mask, other=0.0).to(tl.float32)
        plain += gradient
        weighted += gradient * (value - mean)
    target = partial + (part * blocks + block) * channels + columns
    tl.store(target, tl.sum(plain, 0), mask=inside)
    tl.store(target + parts * blocks * channels, tl.sum(weighted, 0), mask=inside)


@triton.jit(do_not_specialize=_SIZES)
def _merge_sums(partial, sums, units, blocks, UNIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Sums over blocks, each set for itself."""
    channels = units * UNIT
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    which = tl.program_id(1)
    inside = columns < channels
    found = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, blocks, ROWS):
        rows = start + tl.arange(0, ROWS)
        mask = (rows < blocks)[:, None] & inside[None, :]
        offsets = (which * blocks + rows)[:, None] * channels + columns[None, :]
        found += tl.load(partial + offsets, mask=mask, other=0.0)
    tl.store(sums + which * channels + columns, tl.sum(found, 0), mask=inside)


@triton.jit(do_not_specialize=_SIZES)
def _gradient(
    dy, x, dx, saved, sums, weight, dw, db, samples, parts, area, units, tiles,
    UNIT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The gradient of the input; the program of the first rows also writes those of weight and bias."""
    channels = units * UNIT
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    block, part = tl.program_id(1), tl.program_id(2)
    first, count = _rows_of(part, samples, parts, area)
    inside = columns < channels
    number = count.to(tl.float32)
    here = part * channels + columns
    mean = tl.load(saved + here, mask=inside, other=0.0)[None, :]
    scale = tl.load(saved + parts * channels + here, mask=inside, other=0.0)
    plain = (tl.load(sums + here, mask=inside, other=0.0) / number)[None, :]
    weighted = tl.load(sums + parts * channels + here, mask=inside, other=0.0)
    slope = (weighted * scale * scale / number)[None, :]
    if weight is not None:
        scale *= tl.load(weight + columns, mask=inside, other=0.0)
    begin = block * tiles * ROWS
    rows = tl.arange(0, ROWS)
    offsets = rows[:, None] * channels + columns[None, :]
    for tile in range(tiles):
        mask = (begin + tile * ROWS + rows < count)[:, None] & inside[None, :]
        start = (first + begin + tile * ROWS).to(tl.int64) * channels
        value = tl.load(x + start + offsets, mask=mask, other=0.0).to(tl.float32)
        gradient = tl.load(dy + start + offsets, mask=mask, other=0.0).to(tl.float32)
        tl.store(
            dx + start + offsets, (gradient - plain - slope * (value - mean)) * scale[None, :], mask=mask
        )
    if (block == 0) & (part == 0):
        if dw is not None:
            found = tl.zeros([COLUMNS], tl.float32)
            for each in range(parts):
                at = (parts + each) * channels + columns
                of_part = tl.load(sums + at, mask=inside, other=0.0)
                found += of_part * tl.load(saved + at, mask=inside, other=0.0)
            tl.store(dw + columns, found, mask=inside)
        if db is not None:
            found = tl.zeros([COLUMNS], tl.float32)
            for each in range(parts):
                found += tl.load(sums + each * channels + columns, mask=inside, other=0.0)
            tl.store(db + columns, found, mask=inside)

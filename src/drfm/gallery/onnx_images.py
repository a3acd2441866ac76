"""The preparation of a crop as an ONNX graph: raw bytes in, the inputs of the network out.

Pillow resizes in two passes, one along each axis, each a product with a banded matrix of whole numbers (the
weights of the kernel times 2^22), after which it rounds to bytes. Here the matrices are computed in the graph
from the size of the crop, and the products in float64, which holds every sum exactly; so the bytes are those
of Pillow. The shapes of the kernels are those of :data:`drfm.resolution.downsample.KERNELS`.
"""

from collections.abc import Sequence
from typing import Any

from drfm.errors import DrfmError
from drfm.gallery.bundle import Preprocessing
from drfm.gallery.encoder import twin_rate
from drfm.resolution.pairs import Source

_UNIT, _HALF = float(1 << 22), float(1 << 21)
"""What Pillow's whole-number weights are multiples of, and half of it for rounding."""

_SHAPES = {
    "box": (0.5, "half = Constant <value = double {0.5}> () minus = Neg (half)"
                 " above = Greater (at, minus) below = LessOrEqual (at, half) inside = And (above, below)"
                 " shape = CastLike (inside, half)"),
    "bilinear": (1.0, "one = Constant <value = double {1.0}> () size = Abs (at) rest = Sub (one, size)"
                      " zero = Sub (one, one) shape = Max (rest, zero)"),
    "bicubic": (2.0, "one = Constant <value = double {1.0}> () two = Constant <value = double {2.0}> ()"
                     " near3 = Constant <value = double {1.5}> () near2 = Constant <value = double {2.5}> ()"
                     " far3 = Constant <value = double {5.0}> () far2 = Constant <value = double {8.0}> ()"
                     " far1 = Constant <value = double {4.0}> () a = Constant <value = double {-0.5}> ()"
                     " size = Abs (at)"
                     " n3 = Mul (near3, size) n2 = Sub (n3, near2) n1 = Mul (n2, size) n0 = Mul (n1, size)"
                     " near = Add (n0, one)"
                     " f3 = Sub (size, far3) f2 = Mul (f3, size) f1 = Add (f2, far2) f0 = Mul (f1, size)"
                     " fx = Sub (f0, far1) far = Mul (fx, a)"
                     " is_near = Less (size, one) is_far = Less (size, two) zero = Sub (one, one)"
                     " outer = Where (is_far, far, zero) shape = Where (is_near, near, outer)"),
    "lanczos": (3.0, "pi = Constant <value = double {3.141592653589793}> ()"
                     " three = Constant <value = double {3.0}> () one = Constant <value = double {1.0}> ()"
                     " zero = Sub (one, one) middle = Equal (at, zero) safe = Where (middle, one, at)"
                     " p = Mul (safe, pi) ps = Sin (p) s = Div (ps, p)"
                     " third = Div (safe, three) q = Mul (third, pi) qs = Sin (q) t = Div (qs, q)"
                     " both = Mul (s, t) full = Where (middle, one, both)"
                     " minus = Neg (three) above = GreaterOrEqual (at, minus) below = Less (at, three)"
                     " inside = And (above, below) shape = Where (inside, full, zero)"),
}  # fmt: skip
"""Support of each kernel, and its value ``shape`` at ``at``."""


def _weights(kernel: str, opset: int) -> str:
    """The function from two lengths to a matrix ``(out, in)`` of whole numbers."""
    support, shape = _SHAPES[kernel]
    return f"""
<domain: "drfm", opset_import: ["" : {opset}]>
weights_{kernel} (rows_in, rows_out) => (matrix) {{
    first = Constant <value = double {{0.0}}> ()
    unit = Constant <value = double {{1.0}}> ()
    middle_of = Constant <value = double {{0.5}}> ()
    reach = Constant <value = double {{{support}}}> ()
    length = CastLike (rows_in, first)
    wanted = CastLike (rows_out, first)
    scale = Div (length, wanted)
    stretch = Max (scale, unit)
    span = Mul (reach, stretch)
    rows = Range (first, wanted, unit)
    row_axis = Constant <value_ints = [1]> ()
    row = Unsqueeze (rows, row_axis)
    row_middle = Add (row, middle_of)
    centre = Mul (row_middle, scale)
    low_end = Sub (centre, span)
    low_round = Add (low_end, middle_of)
    low_cut = Max (low_round, first)
    low = Floor (low_cut)
    high_end = Add (centre, span)
    high_round = Add (high_end, middle_of)
    high_cut = Min (high_round, length)
    high = Floor (high_cut)
    column = Range (first, length, unit)
    offset = Sub (column, centre)
    from_centre = Add (offset, middle_of)
    shrink = Div (unit, stretch)
    at = Mul (from_centre, shrink)
    {shape}
    after = GreaterOrEqual (column, low)
    before = Less (column, high)
    within = And (after, before)
    kept = Where (within, shape, first)
    axis = Constant <value_ints = [1]> ()
    total = ReduceSum (kept, axis)
    share = Div (kept, total)
    scale_up = Constant <value = double {{{_UNIT}}}> ()
    large = Mul (share, scale_up)
    positive = Add (large, middle_of)
    negative = Sub (large, middle_of)
    floor = Floor (positive)
    ceil = Ceil (negative)
    is_negative = Less (large, first)
    matrix = Where (is_negative, ceil, floor)
}}"""


def _pass(kernel: str, opset: int, along: str) -> str:
    """The function from ``(B, 3, H, W)`` whole numbers in float64 and a length to the resized image."""
    axis, product = {
        "columns": (3, "turned = Transpose <perm = [1, 0]> (matrix) sums = MatMul (image, turned)"),
        "rows": (2, "sums = MatMul (matrix, image)"),
    }[along]
    return f"""
<domain: "drfm", opset_import: ["" : {opset}, "drfm" : 1]>
{along}_{kernel} (image, length) => (resized) {{
    shape = Shape (image)
    axis = Constant <value_int = {axis}> ()
    own = Gather <axis = 0> (shape, axis)
    matrix = drfm.weights_{kernel} (own, length)
    {product}
    half = Constant <value = double {{{_HALF}}}> ()
    unit = Constant <value = double {{{_UNIT}}}> ()
    rounded_up = Add (sums, half)
    shares = Div (rounded_up, unit)
    whole = Floor (shares)
    black = Constant <value = double {{0.0}}> ()
    white = Constant <value = double {{255.0}}> ()
    resized = Clip (whole, black, white)
}}"""


def _resize(kernel: str, opset: int) -> str:
    """The function from an image, as in :func:`_pass`, and a size to the image of that size.

    Pillow resizes columns before rows, since version 13 the other way round where the image loses rows, and
    more than twice as many as columns.
    """
    return f"""
<domain: "drfm", opset_import: ["" : {opset}, "drfm" : 1]>
resize_{kernel} (image, height, width) => (resized) {{
    shape = Shape (image)
    rows_axis = Constant <value_int = 2> ()
    columns_axis = Constant <value_int = 3> ()
    own_height = Gather <axis = 0> (shape, rows_axis)
    own_width = Gather <axis = 0> (shape, columns_axis)
    lost_rows = Sub (own_height, height)
    lost_columns = Sub (own_width, width)
    twice = Add (lost_columns, lost_columns)
    none = Sub (height, height)
    loses = Greater (lost_rows, none)
    more = Greater (lost_rows, twice)
    rows_first = And (loses, more)
    resized = If (rows_first) <
        then_branch = down () => (double[N, C, a, b] second_a) {{
            first_a = drfm.rows_{kernel} (image, height)
            second_a = drfm.columns_{kernel} (first_a, width)
        }},
        else_branch = across () => (double[N, C, c, d] second_b) {{
            first_b = drfm.columns_{kernel} (image, width)
            second_b = drfm.rows_{kernel} (first_b, height)
        }}>
}}"""


def _functions(kernel: str, opset: int) -> list[str]:
    passes = [_pass(kernel, opset, along) for along in ("rows", "columns")]
    return [_weights(kernel, opset), *passes, _resize(kernel, opset)]


def images_model(preparation: Preprocessing, views: Sequence[Source], opset: int, ir_version: int) -> Any:
    """An ONNX model from ``images`` and ``lr`` to one normalised input for each of ``views``.

    Inputs: ``images``, ``(B, H, W, 3)`` uint8 RGB of any size; ``lr``, one bool: all of them are blurry
    captures. Outputs: ``hr``, ``lr_image`` or ``native``, ``(B, 3, h, w)`` float32.

    Args:
        preparation: of the bundle.
        views: images of a pair that the network takes, in order.
        opset: version of the standard operators.
        ir_version: of the file format.

    Raises:
        DrfmError: blurry crops are super-resolved by a network, which is not part of the graph.
    """
    import onnx.parser

    options = preparation.images
    if options.sr != "bicubic":
        raise DrfmError(
            f"images.sr = {options.sr}: a network that super-resolves is not exported; "
            "use the bundle itself, or train with --images.sr bicubic"
        )
    for name, plain in (("twin_degradation", "benchmark"), ("sr_rates", "fixed")):
        if getattr(options, name) != plain:
            raise DrfmError(
                f"images.{name} = {getattr(options, name)}: is not exported; use the bundle itself, "
                f"or train with --images.{name} {plain}"
            )
    if "native" in views and options.hr_size != options.lr_size:
        raise DrfmError("images.hr_size and images.lr_size: one encoder for both needs the same")
    kernels = sorted({"bicubic", options.kernel})
    header = f'<ir_version: {ir_version}, opset_import: ["" : {opset}, "drfm" : 1]>'
    model = onnx.parser.parse_model(header + _graph(preparation, views))
    for kernel in kernels:
        model.functions.extend(onnx.parser.parse_function(text) for text in _functions(kernel, opset))
    return model


def output_name(view: Source) -> str:
    """Name of the tensor that holds ``view``."""
    return {"hr": "hr_input", "lr": "lr_input", "native": "native_input"}[view]


def _graph(preparation: Preprocessing, views: Sequence[Source]) -> str:
    options, rate = preparation.images, twin_rate(preparation)
    outputs = ", ".join(f"float[B,3,h{n},w{n}] {output_name(view)}" for n, view in enumerate(views))
    scale = ", ".join(repr(1 / (255 * s)) for s in preparation.std)
    shift = ", ".join(repr(-m / s) for m, s in zip(preparation.mean, preparation.std, strict=True))
    return f"""
prepare (uint8[B,H,W,3] images, bool lr) => ({outputs})
<float[1,3,1,1] scale = {{{scale}}}, float[1,3,1,1] shift = {{{shift}}}>
{{
    channels = Transpose <perm = [0, 3, 1, 2]> (images)
    capture = Cast <to = 11> (channels)
    shape = Shape (capture)
    one = Constant <value_int = 1> ()
    two = Constant <value_int = 2> ()
    three = Constant <value_int = 3> ()
    height = Gather <axis = 0> (shape, two)
    width = Gather <axis = 0> (shape, three)
    sr_rate = Constant <value_int = {options.sr_rate}> ()
    twin_rate = Constant <value_int = {rate}> ()
    tall = Mul (height, sr_rate)
    wide = Mul (width, sr_rate)
    short_cut = Div (height, twin_rate)
    narrow_cut = Div (width, twin_rate)
    short = Max (short_cut, one)
    narrow = Max (narrow_cut, one)
    high = If (lr) <
        then_branch = enlarge () => (double[B, 3, a, b] large) {{
            large = drfm.resize_bicubic (capture, tall, wide)
        }},
        else_branch = keep_high () => (double[B, 3, c, d] kept_high) {{ kept_high = Identity (capture) }}>
    low = If (lr) <
        then_branch = keep_low () => (double[B, 3, e, f] kept_low) {{ kept_low = Identity (capture) }},
        else_branch = reduce () => (double[B, 3, g, h] small) {{
            small = drfm.resize_{options.kernel} (capture, short, narrow)
        }}>
    hr_rows = Constant <value_int = {options.hr_size[0]}> ()
    hr_columns = Constant <value_int = {options.hr_size[1]}> ()
    lr_rows = Constant <value_int = {options.lr_size[0]}> ()
    lr_columns = Constant <value_int = {options.lr_size[1]}> ()
    hr_bytes = drfm.resize_{options.kernel} (high, hr_rows, hr_columns)
    lr_bytes = drfm.resize_{options.kernel} (low, lr_rows, lr_columns)
    {_normalised(views)}
}}"""


def _normalised(views: Sequence[Source]) -> str:
    lines = ["native_bytes = Where (lr, lr_bytes, hr_bytes)"] if "native" in views else []
    for view in views:
        lines += [
            f"{view}_float = Cast <to = 1> ({view}_bytes)",
            f"{view}_scaled = Mul ({view}_float, scale)",
            f"{output_name(view)} = Add ({view}_scaled, shift)",
        ]
    return "\n    ".join(lines)

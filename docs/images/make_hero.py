"""Make hero.png, the picture on README's first screen, from drawn pedestrians.

It is an illustration: persons and their order are chosen here, not ranked by a model.

    python docs/images/make_hero.py
"""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from drfm.data.drawn import draw_person_image
from drfm.files import write_atomic

SEED = 0
CAPTION = (
    "Illustration. The people are drawn by the project, not photographed, and the order is not a result."
)
QUERY = (9, 1)
"""Person and shot of the far camera."""
GALLERY = ((9, 6), (47, 1), (44, 0), (23, 0), (15, 1))
"""Persons and shots of the near camera, best match first."""

Ink = tuple[int, int, int]
Point = tuple[float, float]

WIDTH, HEIGHT = 1400, 420
SCALE = 2  # drawn larger and reduced, for smooth edges
TOP, CROP = 58, (136, 296)
PAPER, INK, FAINT, LINE = (247, 248, 250), (31, 36, 43), (104, 112, 122), (208, 213, 220)
RIGHT = (26, 146, 84)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)


def _crop(person: int, camera: int, shot: int, size: tuple[int, int]) -> Image.Image:
    """A drawn picture cut to the shape of ``size`` and resized; a far one stays as blurry as it is."""
    image = Image.fromarray(draw_person_image(person, camera, shot, SEED))  # type: ignore[arg-type]
    width = min(image.width, round(image.height * size[0] / size[1]))
    height = min(image.height, round(width * size[1] / size[0]))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    image = image.crop((left, top, left + width, top + height))
    return image.resize((size[0] * SCALE, size[1] * SCALE), Image.Resampling.BICUBIC)


def _place(
    sheet: Image.Image, image: Image.Image, at: Point, *, frame: Ink = LINE, line: float = 1.5
) -> None:
    """Paste with round corners, a soft shadow and a frame."""
    x, y, radius = round(at[0] * SCALE), round(at[1] * SCALE), min(9 * SCALE, image.width // 10)
    box = (x, y, x + image.width, y + image.height)
    shadow = Image.new("L", sheet.size, 0)
    ImageDraw.Draw(shadow).rounded_rectangle(
        (box[0], box[1] + 4 * SCALE, box[2], box[3] + 6 * SCALE), radius, 70
    )
    sheet.paste((150, 158, 170), (0, 0), shadow.filter(ImageFilter.GaussianBlur(7 * SCALE)))
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, image.width - 1, image.height - 1), radius, 255)
    sheet.paste(image, (x, y), mask)
    edge = round(line * SCALE)
    outline = (box[0] - edge, box[1] - edge, box[2] + edge - 1, box[3] + edge - 1)
    ImageDraw.Draw(sheet).rounded_rectangle(outline, radius + edge, outline=frame, width=edge)


def _arrow(pen: ImageDraw.ImageDraw, left: float, right: float, y: float) -> None:
    a, b, c = left * SCALE, right * SCALE, y * SCALE
    head = 13 * SCALE
    pen.line((a, c, b - head, c), fill=INK, width=4 * SCALE)
    pen.polygon([(b, c), (b - head * 1.35, c - head * 0.8), (b - head * 1.35, c + head * 0.8)], fill=INK)


def _mark(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """A tick in a disc."""
    x, y, radius = x * SCALE, y * SCALE, 15 * SCALE
    pen.ellipse((x - radius - 4, y - radius - 4, x + radius + 4, y + radius + 4), fill=PAPER)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=RIGHT)
    s = SCALE
    pen.line(
        [(x - 7 * s, y), (x - 2 * s, y + 6 * s), (x + 7 * s, y - 6 * s)],
        fill=PAPER,
        width=4 * s,
        joint="curve",
    )


def hero() -> Image.Image:
    """The picture, ``WIDTH`` x ``HEIGHT``, RGB."""
    sheet = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    pen = ImageDraw.Draw(sheet)

    def text(at: Point, words: str, size: float, fill: Ink, anchor: str = "lm") -> None:
        pen.text((at[0] * SCALE, at[1] * SCALE), words, fill=fill, font=_font(size), anchor=anchor)

    query_left, gallery_left, step = 60, 484, 180
    wide, high = CROP
    text((query_left, 32), "Query", 21, INK)
    text((query_left + 68, 33), "far camera, blurry", 16, FAINT)
    text((gallery_left, 32), "Gallery", 21, INK)
    text((gallery_left + 84, 33), "near camera, sharp, best match first", 16, FAINT)

    who_asked, asked_shot = QUERY
    native = draw_person_image(who_asked, 1, asked_shot, SEED)
    _place(sheet, _crop(who_asked, 1, asked_shot, CROP), (query_left + 66, TOP))
    high_far, wide_far = native.shape[:2]
    thumb = Image.fromarray(native).resize((wide_far * SCALE, high_far * SCALE), Image.Resampling.BICUBIC)
    _place(sheet, thumb, (query_left, TOP))
    text((query_left + wide_far / 2, TOP + high_far + 16), f"{high_far} px", 13, FAINT, "mm")

    _arrow(pen, query_left + 66 + wide + 44, gallery_left - 44, TOP + high / 2)
    middle = (query_left + 66 + wide + gallery_left) / 2
    text((middle, TOP + high / 2 - 26), "DRFM", 20, INK, "mm")
    text((middle, TOP + high / 2 + 26), "trained without labels", 15, FAINT, "mm")

    for rank, (who, when) in enumerate(GALLERY):
        left = gallery_left + rank * step
        right = who == who_asked
        picture = _crop(who, 0, when, CROP)
        _place(sheet, picture, (left, TOP), frame=RIGHT if right else LINE, line=5 if right else 1.5)
        text((left + wide / 2, TOP + high + 24), str(rank + 1), 17, RIGHT if right else FAINT, "mm")
        if right:
            _mark(pen, left + wide - 2, TOP + 2)
    text((WIDTH / 2, HEIGHT - 18), CAPTION, 14, FAINT, "mm")
    return sheet.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def main() -> None:
    """Write hero.png beside this script."""
    file = io.BytesIO()
    hero().save(file, "PNG", optimize=True)
    write_atomic(Path(__file__).with_name("hero.png"), file.getvalue())


if __name__ == "__main__":
    main()

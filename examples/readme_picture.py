"""Composes the picture at the top of the README from two figures of the gallery.

python examples/readme_picture.py docs/digits.png docs/posterior_digits.png docs/readme.png
"""

import sys

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

INK = "#1f1e1b"
FONT = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 19)
ROW, HEIGHT = 445, 171  # the second digit with its upper half measured
TRUTH, MEASURED, DRAWS = 35, 215, (759, 940, 1120, 1301, 1482)
SIDE = 171

digits, posterior = (Image.open(path).convert("RGB") for path in sys.argv[1:3])
page = Image.new("RGB", (digits.width, digits.height + HEIGHT + 116), "white")
draw = ImageDraw.Draw(page)


def caption(text: str, x: int, y: int) -> None:
    draw.text((x, y), text, fill=INK, font=FONT)


caption("data: 72 of 1,797 digits", 4, 8)
caption("new samples, after two minutes of training on a CPU", 644, 8)
page.paste(digits, (0, 44))
top = 44 + digits.height + 62
caption("truth", 4, top - 34)
caption("measured: the upper half", 185, top - 34)
caption("five samples of the posterior", 450, top - 34)
for place, left in zip((4, 185, *range(450, 450 + 5 * 158, 158)), (TRUTH, MEASURED, *DRAWS)):
    tile = posterior.crop((left, ROW, left + SIDE, ROW + HEIGHT))
    side = 168 if place < 400 else 152
    page.paste(tile.resize((side, side), Image.Resampling.NEAREST), (place, top + (168 - side) // 2))
page.convert("P", palette=Image.Palette.ADAPTIVE, colors=32).save(sys.argv[3], optimize=True)
print(sys.argv[3])

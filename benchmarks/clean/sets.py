"""Clean sets of many kinds, in two halves: one to fit on, one to judge by. None shares a picture or a speaker."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy import signal
from torch import Tensor

HALVES = ("fit", "judge")
PHOTOGRAPHS = {
    "fit": ("astronaut", "camera", "coins", "retina", "rocket", "immunohistochemistry", "china.jpg", "clock"),
    "judge": ("coffee", "chelsea", "cell", "moon", "hubble_deep_field", "motorcycle", "flower.jpg"),
}
TEXTURES = ("brick", "grass", "gravel")
"""Left halves to fit on, right halves to judge by."""
SPEAKERS = {"fit": ("jackson", "nicolas", "theo"), "judge": ("george", "lucas", "yweweler")}
RATES = {"ecg": 250.0, "ecg notched": 360.0, "speech": 8000.0}

Array = np.ndarray


def make(kind: str, half: str, seed: int, data: Path) -> Tensor:
    """One set, `(N, C, *spatial)`, float32: values of 0 to 255 of images, of unit variance of records."""
    g = np.random.default_rng([seed, HALVES.index(half), sum(map(ord, kind))])
    used.clear()
    return torch.from_numpy(np.ascontiguousarray(KINDS[kind](half, g, data), dtype=np.float32))


used: list[str] = []
"""Names of the photographs that the last set was made of."""


def photograph(name: str) -> Array:
    """`(rows, columns, 3)` or `(rows, columns)`, 8 bit."""
    used.append(name)
    return _photograph(name)


@functools.cache
def _photograph(name: str) -> Array:
    import skimage.data
    from sklearn.datasets import load_sample_image

    if name.endswith(".jpg"):
        return np.asarray(load_sample_image(name))
    return np.asarray(skimage.data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(skimage.data, name)())


def picture(half: str, g: np.random.Generator, least: int = 0) -> Array:
    """A grey photograph of the half, sometimes made smaller, of at least so many pixels a side."""
    image = photograph(str(g.choice(PHOTOGRAPHS[half])))
    grey = Image.fromarray(image).convert("L")
    factor = float(g.choice([1.0, 1.5, 2.0, 3.0]))
    if max(grey.size) > 1000:
        factor = max(factor, 2.0)
    if min(grey.size) / factor >= max(least, 192):
        grey = grey.resize([round(n / factor) for n in grey.size], Image.Resampling.LANCZOS)
    return np.asarray(grey)


def crop(image: Array, g: np.random.Generator, side: int | tuple[int, int] | None = None) -> Array:
    """A part at random, of random sides unless they are given."""
    h, w = image.shape[:2]
    if side is None:
        side = (int(g.integers(min(h, 160), min(h, 360) + 1)), int(g.integers(min(w, 160), min(w, 360) + 1)))
    a, b = (side, side) if isinstance(side, int) else side
    i, j = int(g.integers(h - a + 1)), int(g.integers(w - b + 1))
    return image[i : i + a, j : j + b]


def one(image: Array) -> Array:
    """As a set of one image."""
    return (image[None, None] if image.ndim == 2 else image.transpose(2, 0, 1)[None]).astype(np.float32)


def _photographs(half: str, g: np.random.Generator, data: Path) -> Array:
    return one(crop(picture(half, g), g))


def _colour(half: str, g: np.random.Generator, data: Path) -> Array:
    while True:
        image = photograph(str(g.choice(PHOTOGRAPHS[half])))
        if image.ndim == 3:
            return one(crop(image, g))


def _textures(half: str, g: np.random.Generator, data: Path) -> Array:
    image = photograph(str(g.choice(TEXTURES)))
    middle = image.shape[1] // 2
    part = image[:, :middle] if half == "fit" else image[:, middle:]
    side = int(g.integers(192, 257))
    part = crop(part, g, (int(g.integers(192, 400)), side))
    return one(np.rot90(part, int(g.integers(4))).copy())


def _small(half: str, g: np.random.Generator, data: Path) -> Array:
    """Photographs of less detail: blurred."""
    image = Image.fromarray(crop(picture(half, g), g)).filter(ImageFilter.GaussianBlur(float(g.uniform(0.6, 2))))
    return one(np.asarray(image))


def _jpeg(half: str, g: np.random.Generator, data: Path) -> Array:
    return one(_compressed(crop(picture(half, g), g), int(g.choice([10, 20, 35, 50, 75, 90]))))


def _compressed(image: Array, quality: int) -> Array:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _enlarged(half: str, g: np.random.Generator, data: Path) -> Array:
    small = Image.fromarray(crop(picture(half, g), g, (int(g.integers(100, 190)), int(g.integers(100, 190)))))
    factor = float(g.choice([1.3, 1.5, 2.0, 3.0, 4.0]))
    how = Image.Resampling(
        int(g.choice([Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.NEAREST]))
    )
    return one(np.asarray(small.resize([round(n * factor) for n in small.size], how)))


def _patches(half: str, g: np.random.Generator, data: Path) -> Array:
    side = int(g.choice([24, 32, 48, 64]))
    return np.concatenate([one(crop(picture(half, g), g, side)) for _ in range(int(g.integers(64, 200)))])


def _enlarged_patches(half: str, g: np.random.Generator, data: Path) -> Array:
    small = (_cifar, _patches, _mnist, _digits)[int(g.integers(4))](half, g, data)[:400, 0]
    how = Image.Resampling(int(g.choice([Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])))
    size = round(float(g.choice([1.5, 2.0, g.uniform(1.1, 2)])) * small.shape[-1])
    return np.stack([one(np.asarray(Image.fromarray(i.astype(np.uint8)).resize((size, size), how)))[0] for i in small])


@functools.cache
def _table(path: Path, most: int = 2000) -> Array:
    from sagd.data.config import DataConfig
    from sagd.data.load import load

    return load(DataConfig(source=str(path), limit=most)).tensor().numpy() * 127.5 + 127.5


def _mnist(half: str, g: np.random.Generator, data: Path) -> Array:
    table = _table(data / ("mnist-train.parquet" if half == "fit" else "mnist-test.parquet"))
    return table[g.permutation(len(table))[: int(g.integers(64, 600))]]


def _cifar(half: str, g: np.random.Generator, data: Path) -> Array:
    table = _table(data / ("cifar10-train.parquet" if half == "fit" else "cifar10-test.parquet"))
    return table[g.permutation(len(table))[: int(g.integers(64, 300))]]


_LETTERS = {"fit": "etaoinshrdlucmfwypvbgkjqxz", "judge": "enisratdhulcgmobwfkzpvjyxq"}
_FONTS = {"fit": ("DejaVuSans.ttf", "DejaVuSerif.ttf"), "judge": ("DejaVuSansMono.ttf", "STIXGeneral.ttf", "cmr10.ttf")}


def page(half: str, g: np.random.Generator) -> Array:
    """A page of text, as a scanner sees it: margins, paragraphs, a little blur, turned a little, grain."""
    from matplotlib import get_data_path

    h, w = int(g.integers(220, 420)), int(g.integers(220, 420))
    size = int(g.integers(9, 26))
    lead = round(size * g.uniform(1.15, 1.6))
    font = ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / str(g.choice(_FONTS[half]))), size)
    paper, ink = int(g.integers(200, 256)), int(g.integers(0, 70))
    image = Image.new("L", (w, h), paper)
    draw, margin = ImageDraw.Draw(image), int(g.integers(0, 40))
    letters = np.array(list(_LETTERS[half]))
    weights = 1 / (np.arange(26) + 3.0)
    y = margin - int(g.integers(0, lead))
    while y < h - margin:
        text = ""
        full = g.random() < 0.85
        while font.getlength(text) < (w - 2 * margin) * (1 if full else g.uniform(0.2, 0.9)):
            word = "".join(g.choice(letters, int(g.integers(2, 10)), p=weights / weights.sum()))
            text += (word.capitalize() if g.random() < 0.1 else word) + (", " if g.random() < 0.1 else " ")
        draw.text((margin, y), text.strip(), fill=ink, font=font)
        y += lead if full or g.random() < 0.6 else 2 * lead
    if g.random() < 0.7:
        image = image.rotate(float(g.uniform(-2, 2)), Image.Resampling.BICUBIC, fillcolor=paper)
        image = image.filter(ImageFilter.GaussianBlur(float(g.uniform(0.2, 1.2))))
    grain = g.normal(0, float(g.choice([0.0, 1.0, 3.0])), (h, w))
    return np.clip(np.round(np.asarray(image) + grain), 0, 255).astype(np.uint8)


def _pages(half: str, g: np.random.Generator, data: Path) -> Array:
    image = page(half, g)
    return one(_compressed(image, 70) if g.random() < 0.3 else image)


def _text_patches(half: str, g: np.random.Generator, data: Path) -> Array:
    side, image = int(g.choice([32, 48, 64])), page(half, g)
    return np.concatenate([one(crop(image, g, side)) for _ in range(int(g.integers(64, 150)))])


def _scans(half: str, g: np.random.Generator, data: Path) -> Array:
    """Real scans of text."""
    image = photograph("page" if half == "fit" else "text")
    return one(crop(image, g, (int(g.integers(128, min(image.shape) + 1)), int(g.integers(160, 380)))))


def _screens(half: str, g: np.random.Generator, data: Path) -> Array:
    """Windows on a screen: frames, rows of a table, buttons and text, all on whole pixels."""
    from matplotlib import get_data_path

    h, w = int(g.integers(220, 420)), int(g.integers(220, 420))
    size = int(g.integers(9, 16))
    font = ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / str(g.choice(_FONTS[half]))), size)
    dark = g.random() < 0.3
    back, ink = (int(g.integers(20, 60)), 220) if dark else (int(g.integers(225, 256)), int(g.integers(0, 60)))
    image = Image.new("L", (w, h), back)
    draw, row = ImageDraw.Draw(image), size + int(g.integers(4, 12))
    left = int(g.integers(0, w // 3))
    columns = sorted(int(c) for c in g.integers(left, w, int(g.integers(1, 5))))
    draw.rectangle((0, 0, left, h), fill=back + (12 if dark else -25))
    draw.rectangle((0, 0, w, row + 4), fill=int(g.integers(60, 200)))
    letters = np.array(list(_LETTERS[half]))
    for number, y in enumerate(range(row + 8, h, row)):
        if g.random() < 0.1:
            continue
        if g.random() < 0.6 and number % 2:
            draw.rectangle((left, y, w, y + row - 1), fill=back + (8 if dark else -12))
        for x in (4, *columns):
            if g.random() < 0.8:
                draw.text((x + 3, y + 1), "".join(g.choice(letters, int(g.integers(2, 9)))), fill=ink, font=font)
        if g.random() < 0.1:
            draw.rounded_rectangle((left + 10, y, left + 90, y + row - 2), 4, outline=ink)
    return one(np.asarray(image))


def _drawings(half: str, g: np.random.Generator, data: Path) -> Array:
    """Plans: lines, circles and boxes of a few thicknesses, some of them hatched."""
    h, w = int(g.integers(220, 420)), int(g.integers(220, 420))
    image = Image.new("L", (2 * w, 2 * h), 255)
    draw = ImageDraw.Draw(image)
    for _ in range(int(g.integers(15, 50))):
        x, y, a, b = (int(v) for v in (g.integers(2 * w), g.integers(2 * h), g.integers(10, w), g.integers(10, h)))
        width = int(g.choice([2, 3, 5]))
        shape = str(g.choice(["line", "box", "circle", "hatched"] if half == "fit" else ["line", "arc", "hatched"]))
        if shape == "line":
            draw.line((x, y, *((x + a, y) if g.random() < 0.4 else (x, y + b))), fill=20, width=width)
        elif shape == "box":
            draw.rectangle((x, y, x + a, y + b), outline=20, width=width)
        elif shape == "circle":
            draw.ellipse((x, y, x + a, y + a), outline=20, width=width)
        elif shape == "arc":
            draw.arc((x, y, x + a, y + b), int(g.integers(360)), int(g.integers(360)), fill=20, width=width)
        else:
            box = Image.new("L", (a, b), 255)
            inner, step = ImageDraw.Draw(box), int(g.integers(8, 20))
            for k in range(-b, a, step):
                inner.line((k, b, k + b, 0), fill=60, width=2)
            image.paste(box, (x, y))
            draw.rectangle((x, y, x + a, y + b), outline=20, width=width)
    return one(np.asarray(image.resize((w, h), Image.Resampling.LANCZOS)))


def _prints(half: str, g: np.random.Generator, data: Path) -> Array:
    """Photographs as they are printed: dots on a turned screen, larger where it is darker, and scanned."""
    grey = crop(picture(half, g), g) / 255.0
    period, turn, fine = float(g.uniform(3.5, 8)), np.radians(g.choice([15, 45, 75, 0])), 4
    i, j = np.meshgrid(*(np.arange(fine * n) / fine for n in grey.shape), indexing="ij")
    u, v = i * np.sin(turn) + j * np.cos(turn), i * np.cos(turn) - j * np.sin(turn)
    level = (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)) / 4 + 0.5
    dots = (np.kron(0.1 + 0.8 * grey, np.ones((fine, fine))) > level).astype(np.float64)
    scanned = dots.reshape(grey.shape[0], fine, grey.shape[1], fine).mean((1, 3))
    image = Image.fromarray((20 + 220 * scanned).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(float(g.uniform(0.3, 1)))
    )
    return one(np.clip(np.round(np.asarray(image) + g.normal(0, 2, grey.shape)), 0, 255))


def _fabrics(half: str, g: np.random.Generator, data: Path) -> Array:
    """Woven cloth: threads of uneven thickness and shade, over and under each other, in folds."""
    h, w = int(g.integers(192, 320)), int(g.integers(192, 320))
    bent = 3 * field((2 * max(h, w),), -1.5, g, None)

    def threads(count: int, period: float) -> tuple[Array, Array, Array]:
        ends = np.cumsum(period * (1 + g.uniform(0.04, 0.12) * g.normal(size=count + 8)))
        at = np.arange(count)
        number = np.searchsorted(ends, at)
        start = np.concatenate([[0], ends])[number]
        return number, np.sin(np.pi * (at - start) / (ends[number] - start)), g.normal(0, 0.15, count + 9)[number]

    period = g.uniform(4, 9, 2)
    (a, across, shade), (b, down, tint) = threads(h, period[0]), threads(w, period[1])
    over = (a[:, None] + b[None, :]) % (2 if half == "fit" else int(g.integers(2, 4))) == 0
    cloth = np.where(over, (down + tint)[None, :], (across + shade)[:, None])
    moved = np.stack([np.roll(row, round(s)) for row, s in zip(cloth, bent, strict=False)])
    light = field((h, w), -1.8, g, None)
    image = 120 + 60 * moved + 15 * light + g.normal(0, 3, (h, w))
    return one(np.clip(np.round(image), 0, 255))


def _slanted(image: Array, g: np.random.Generator, shape: tuple[int, int]) -> Array:
    """A picture `(rows, columns)` of a plane as a camera sees it: turned, and slanted."""
    h, w = image.shape
    a, b = shape
    corners = np.array([(0, 0), (b, 0), (b, a), (0, a)], float)
    turn = float(g.choice([0, g.uniform(0, 2 * np.pi)]))
    middle, spin = np.array([b, a]) / 2, np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    seen = (corners - middle) @ spin.T * float(g.uniform(0.9, 1.3)) + np.array([w, h]) / 2
    seen = seen + g.uniform(-0.12, 0.12) * np.array([(1, 0), (-1, 0), (0, 0), (0, 0)]) * b * (g.random() < 0.7)
    rows = [
        ((x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y))
        for (x, y), (u, v) in zip(corners, seen, strict=True)
    ]
    solved = np.linalg.solve(np.array(rows).reshape(8, 8), seen.flatten())
    low = Image.fromarray(image.astype(np.uint8))
    return np.asarray(low.transform((b, a), Image.Transform.PERSPECTIVE, tuple(solved), Image.Resampling.BICUBIC))


def _camera(image: Array, g: np.random.Generator) -> Array:
    """With uneven light, a lens and grain; sometimes so bright that much is clipped."""
    light = 1 + 0.12 * field(image.shape, -1.8, g, None)
    seen = float(g.choice([0.85, 1.0, 1.4])) * image * light
    seen = np.asarray(
        Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(float(g.uniform(0, 1.2)))
        )
    )
    return np.clip(np.round(seen + g.normal(0, float(g.choice([0, 1.0, 4.0])), image.shape)), 0, 255)


def _weaves(half: str, g: np.random.Generator, data: Path) -> Array:
    """Cloth of even threads, as machines weave it."""
    shape, n = (int(g.integers(192, 400)), int(g.integers(192, 400))), 900
    y, x = np.mgrid[:n, :n].astype(float)
    fx, fy = g.uniform(0.06, 0.14, 2) if g.random() < 0.5 else np.repeat(g.uniform(0.06, 0.14), 2)
    warp, weft = np.abs(np.sin(np.pi * fx * x)), np.abs(np.sin(np.pi * fy * y))
    i, j = np.floor(fx * x), np.floor(fy * y)
    over = (i + j) % 2 == 0 if half == "fit" else (i + int(g.choice([1, 2])) * j) % int(g.choice([2, 3, 4])) == 0
    cloth = np.where(over, warp * float(g.uniform(0.7, 1)), weft)
    image = int(g.integers(40, 120)) + int(g.integers(50, 120)) * cloth
    return one(_camera(_slanted(image, g, shape).astype(float), g))


def _boards(half: str, g: np.random.Generator, data: Path) -> Array:
    """Boards of squares, and tiles with joints, photographed or rendered."""
    shape, n = (int(g.integers(192, 400)), int(g.integers(192, 400))), 900
    if g.random() < 0.25:
        import skimage.data
        from skimage import data_dir

        board = (
            np.asarray(Image.open(Path(data_dir) / "chessboard_GRAY.png").convert("L"))
            if half == "fit"
            else skimage.data.checkerboard()
        )
        board = board if g.random() < 0.5 else np.rot90(board)
        return one(
            board
            if g.random() < 0.3
            else _camera(np.kron(board, np.ones((2, 2))).astype(float)[: shape[0], : shape[1]], g)
        )
    a, b = g.uniform(10, 60, 2) if g.random() < 0.3 else np.repeat(g.uniform(10, 60), 2)
    y, x = np.mgrid[:n, :n].astype(float)
    i, j = np.floor(x / a), np.floor(y / b)
    dark, bright = int(g.integers(0, 90)), int(g.integers(150, 256))
    if g.random() < 0.6:
        image = np.where((i + j) % 2 == 0, dark, bright)
    else:
        joint = float(g.uniform(0.05, 0.2))
        across = x / a + (0.5 * (j % 2) if half == "fit" or g.random() < 0.5 else j / 3)
        shade = g.normal(0, float(g.choice([0, 10])), (200, 200))[j.astype(int), np.floor(across).astype(int)]
        image = np.where((across % 1 < joint) | (y / b % 1 < joint), dark, bright - 20 + shade)
    return one(_camera(_slanted(np.clip(image, 0, 255), g, shape).astype(float), g))


def _sinograms(half: str, g: np.random.Generator, data: Path) -> Array:
    """Projections of ellipses, by angle, in closed form."""
    angles, places = int(g.integers(180, 300)), int(g.integers(200, 400))
    theta, s = np.linspace(0, np.pi, angles)[:, None], np.linspace(-1, 1, places)[None]
    total = np.zeros((angles, places))
    for _ in range(int(g.integers(8, 40))):
        x, y = g.uniform(-0.5, 0.5, 2)
        a, b = g.uniform(0.02, 0.35, 2) if half == "fit" else np.repeat(g.uniform(0.02, 0.2), 2)
        turn = g.uniform(0, np.pi)
        r2 = (a * np.cos(theta - turn)) ** 2 + (b * np.sin(theta - turn)) ** 2
        off = s - x * np.cos(theta) - y * np.sin(theta)
        total += g.uniform(0.2, 1) * 2 * a * b / r2 * np.sqrt(np.maximum(0, r2 - off**2))
    total = 255 * total / total.max() + g.normal(0, float(g.choice([0, 0.5, 2])), total.shape)
    return one(np.clip(np.round(total), 0, 255))


def _weather(half: str, g: np.random.Generator, data: Path) -> Array:
    """Maps of wind and height, January to fit on, July to judge by; scaled to 8 bits, but not rounded."""
    from scipy.io import netcdf_file

    with netcdf_file(data / "weather" / "eraint_uvz.nc", mmap=False) as file:
        maps = file.variables[str(g.choice(["u", "v", "z"]))].data
    part = crop(maps[0 if half == "fit" else 1, int(g.integers(maps.shape[1]))].astype(np.float64), g)
    return one(255 * (part - part.min()) / np.ptp(part))


def _digits(half: str, g: np.random.Generator, data: Path) -> Array:
    """Handwritten digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:900] if half == "fit" else load_digits().images[900:]
    return 15.9375 * images[g.permutation(len(images))[: int(g.integers(100, 800))], None]


def field(
    shape: tuple[int, ...],
    slope: float,
    g: np.random.Generator,
    bump: tuple[float, float, float] | None,
    stretch: Array | None = None,
) -> Array:
    """A Gaussian field whose amplitude goes as a power of the frequency, perhaps with a bump; of unit variance."""
    f = np.stack(np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij"))
    stretch = g.uniform(0.6, 1.6, len(shape)) if stretch is None else stretch
    r = np.maximum(np.sqrt(((f * stretch.reshape(-1, *(1,) * len(shape))) ** 2).sum(0)), 1 / max(shape))
    w = r**slope
    if bump is not None:
        w = w * np.sqrt(1 + bump[2] * np.exp(-((r - bump[0]) ** 2) / 2 / bump[1] ** 2))
    x = np.fft.ifftn(np.fft.fftn(g.normal(size=shape)) * w).real
    return x / x.std()


def _bump(g: np.random.Generator) -> tuple[float, float, float] | None:
    return (
        (float(g.uniform(0.08, 0.3)), float(g.uniform(0.04, 0.1)), float(g.uniform(1, 6))) if g.random() < 0.4 else None
    )


def _fields(half: str, g: np.random.Generator, data: Path) -> Array:
    slope, bump = float(g.uniform(-1.6, 0)), _bump(g)
    if g.random() < 0.4:
        shape, count = (int(g.integers(192, 320)), int(g.integers(192, 320))), 1
    else:
        shape, count = (int(g.choice([24, 32, 48])),) * 2, int(g.integers(32, 300))
    stretch = g.uniform(0.6, 1.6, 2)
    fields = np.stack([field(shape, slope, g, bump, stretch) for _ in range(count)])
    return np.clip(np.round(128 + 40 * fields[:, None]), 0, 255)


def _noise(half: str, g: np.random.Generator, data: Path) -> Array:
    x = field((int(g.integers(20_000, 120_000)),), float(g.uniform(-1.2, 0)), g, _bump(g))
    return x[None, None]


def _unit(x: Array) -> Array:
    return ((x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True))[None]


def _ecg(half: str, g: np.random.Generator, data: Path) -> Array:
    record = np.load(data / "ecg" / "alarm-v102s-250Hz.npy").T
    middle, count = record.shape[1] // 2, int(g.integers(12_000, 30_000))
    part = record[:, :middle] if half == "fit" else record[:, middle:]
    start = int(g.integers(part.shape[1] - count))
    return _unit(part[:, start : start + count])


def _ecg_notched(half: str, g: np.random.Generator, data: Path) -> Array:
    record = np.load(data / "ecg" / "mitdb-100-360Hz.npy", mmap_mode="r")
    middle, count = len(record) // 2, int(g.integers(15_000, 60_000))
    start = int(g.integers(middle - count)) + (0 if half == "fit" else middle)
    part = np.array(record[start : start + count]).T
    # All that the mains may have touched is gone, by 84 dB at 60 Hz: what is left ends below it.
    low = signal.butter(12, 40, fs=360, output="sos")
    return _unit(signal.sosfiltfilt(low, part) + g.normal(0, 0.004, part.shape))


def _hearts(half: str, g: np.random.Generator, data: Path) -> Array:
    """Beats that are drawn: waves of random form, at a rate that varies by a few per cent."""
    rate, count = 250.0, int(g.integers(15_000, 60_000))
    t, x = np.arange(count) / rate, np.zeros(count)
    waves = [(g.normal(0, 0.15), g.uniform(0.008, 0.05), g.normal()) for _ in range(5)]
    at, pace = 0.0, g.uniform(0.5, 1.2)
    while at < t[-1] + 1:
        near = slice(max(0, round((at - 1) * rate)), max(0, round((at + 1) * rate)))
        for delay, width, height in waves:
            x[near] += height * np.exp(-((t[near] - at - delay) ** 2) / 2 / width**2)
        at += pace * (1 + g.normal(0, 0.02) + 0.03 * np.sin(2 * np.pi * 0.25 * at))
    return _unit((x + 0.02 * field((count,), -0.7, g, None))[None])


def _speech(half: str, g: np.random.Generator, data: Path) -> Array:
    from scipy.io import wavfile

    speaker = str(g.choice(SPEAKERS[half]))
    words = []
    for _ in range(int(g.integers(15, 40))):
        _, word = wavfile.read(data / "speech" / f"{g.integers(10)}_{speaker}_{g.integers(50)}.wav")
        words += [word.astype(float), g.normal(0, 2, int(g.integers(200, 2000)))]
    return _unit(np.concatenate(words)[None])


def _melody(half: str, g: np.random.Generator, data: Path) -> Array:
    """Tones with overtones that begin and die away, and a little noise."""
    rate, count = 8000, 80_000
    x, at = np.zeros(count + rate), 0
    scale = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    while at < count:
        length = int(g.integers(1000, 5000))
        t, f = np.arange(length) / rate, float(g.choice(scale)) * float(g.choice([1, 2]))
        tone = sum(np.sin(2 * np.pi * k * f * t + g.uniform(0, 6)) / k**1.5 for k in range(1, 6))
        x[at : at + length] += tone * np.exp(-t * g.uniform(3, 10)) * g.uniform(0.3, 1)
        at += int(g.integers(500, 4000))
    return _unit((x[:count] + 0.01 * g.normal(size=count))[None])


def _chords(half: str, g: np.random.Generator, data: Path) -> Array:
    """A piano's chords: strings a little out of tune with their overtones, struck, held, and damped."""
    rate, count = 8000, 80_000
    x, at = np.zeros(count + 4 * rate), 0
    base = 110 * 2 ** (g.integers(0, 12) / 12)
    scale = base * 2 ** (np.array([0, 3, 5, 7, 10, 12, 15] if half == "fit" else [0, 2, 4, 7, 9, 12, 14]) / 12)
    while at < count:
        length = int(g.integers(2000, 16_000))
        t = np.arange(length + 800) / rate
        damped = np.clip((len(t) - np.arange(len(t))) / 800, 0, 1)
        for f in g.choice(scale, int(g.integers(1, 5)), replace=False):
            stiff = [k * f * np.sqrt(1 + 4e-4 * k**2) for k in range(1, 9)]
            loud = g.uniform(0.3, 1)
            for k, partial in enumerate(stiff, 1):
                if partial < rate / 2:
                    tone = np.sin(2 * np.pi * partial * t + g.uniform(0, 6)) * np.exp(-t * (0.5 + 0.4 * k))
                    x[at : at + len(t)] += loud * tone * damped / k
        at += length
    return _unit((x[:count] + 0.003 * g.normal(size=count))[None])


def _seasons(half: str, g: np.random.Generator, data: Path) -> Array:
    """Temperatures by the hour: days and years, both larger under a clear sky, and weather, rougher by day."""
    count = int(g.integers(10_000, 60_000))
    t = np.arange(count)
    year = np.cos(2 * np.pi * (t / 8766 + g.uniform()))
    sky = np.clip(0.6 + 0.25 * year + 0.35 * signal.lfilter([1], [1, -0.98], g.normal(0, 0.2, count)), 0.05, 1.2)
    hour = 2 * np.pi * (t / 24 + g.uniform())
    day = np.cos(hour) + (0.25 * np.cos(2 * hour + 1) if half == "fit" else 0.15 * np.cos(2 * hour + 2))
    front = signal.lfilter([1], [1, -0.985], g.normal(0, 0.5, count))
    gusts = g.normal(0, 0.3, count) * (1 + 0.5 * np.cos(hour) * sky)
    return _unit((8 * year + 4 * sky * day + front + gusts)[None])


def _words(half: str, g: np.random.Generator, data: Path) -> Array:
    """Many short records: words, parts of an ECG, or noise."""
    side, count = int(g.choice([128, 256, 512])), int(g.integers(48, 250))
    make = (_speech, _ecg, _noise)[int(g.integers(3))]
    long = make(half, g, data)[0, 0]
    starts = g.integers(0, len(long) - side, count)
    return np.stack([long[s : s + side] for s in starts])[:, None]


KINDS: dict[str, Callable[[str, np.random.Generator, Path], Array]] = {
    "photographs": _photographs,
    "colour photographs": _colour,
    "smoothed photographs": _small,
    "JPEG": _jpeg,
    "enlarged": _enlarged,
    "textures": _textures,
    "text pages": _pages,
    "scanned text": _scans,
    "screenshots": _screens,
    "line drawings": _drawings,
    "halftone prints": _prints,
    "fabrics": _fabrics,
    "even cloth": _weaves,
    "boards and tiles": _boards,
    "sinograms": _sinograms,
    "weather maps": _weather,
    "photograph patches": _patches,
    "enlarged patches": _enlarged_patches,
    "text patches": _text_patches,
    "MNIST": _mnist,
    "CIFAR-10": _cifar,
    "digits": _digits,
    "Gaussian fields": _fields,
    "noise": _noise,
    "ECG": _ecg,
    "ECG, low-passed": _ecg_notched,
    "drawn heartbeats": _hearts,
    "speech": _speech,
    "melodies": _melody,
    "chords": _chords,
    "hourly temperatures": _seasons,
    "short records": _words,
}

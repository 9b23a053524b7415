"""The photos that are measured with, made once out of those of `make photos`."""
from io import BytesIO

from PIL import Image, ImageOps

SOURCES = ("astronaut.png", "chelsea.png", "china.jpg", "coffee.png", "flower.jpg", "motorcycle_left.png", "rocket.jpg",
           "obama3.jpg", "biden.jpg", "obama2.jpg", "obama.jpg")
# Name: columns and rows of photos, size of one, and how many bytes the file is to have (None: a PNG).
PHOTOS = {
    "800x600 JPEG": (1, 1, (800, 600), 99_000),
    "1080p JPEG": (3, 2, (640, 540), 450_000),
    "12-megapixel JPEG": (4, 4, (1000, 750), 3_600_000),
    "800x600 PNG": (1, 1, (800, 600), None),
}


def photos(sources, target):
    """{name: path}. A large photo is a mosaic: real photos have more detail than one small photo made large."""
    target.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, recipe in PHOTOS.items():
        made[name] = target / f"{name.split()[0]}.{name.split()[1].lower()}"
        if not made[name].exists():
            part = made[name].with_suffix(".part")
            part.write_bytes(encoded(mosaic(sources, *recipe[:3]), recipe[3]))
            part.replace(made[name])
    return made | {path.name: path for path in sources.iterdir()} | {"EAN-13 page": book_page(target)}


def book_page(target):
    """The code of a book, drawn on a white page."""
    import zxingcpp

    path = target / "ean13.png"
    if not path.exists():
        code = zxingcpp.create_barcode("9780140013993", zxingcpp.BarcodeFormat.EAN13)
        page = Image.new("L", (800, 600), "white")
        page.paste(Image.fromarray(zxingcpp.write_barcode_to_image(code, scale=3)), (200, 220))
        page.save(path)
    return path


def mosaic(sources, columns, rows, tile):
    picture = Image.new("RGB", (columns * tile[0], rows * tile[1]))
    # A single one is china.jpg.
    first = SOURCES.index("china.jpg")
    for number in range(columns * rows):
        photo = Image.open(sources / SOURCES[(first + number) % len(SOURCES)]).convert("RGB")
        place = number % columns * tile[0], number // columns * tile[1]
        picture.paste(ImageOps.fit(photo, tile, Image.Resampling.LANCZOS), place)
    return picture


def encoded(picture, size):
    """As PNG, or as the JPEG of that quality which comes nearest to the wanted number of bytes."""
    if size is None:
        return saved(picture, "PNG")
    low, high = 20, 97
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if len(saved(picture, "JPEG", quality=middle)) <= size else (low, middle)
    return min((saved(picture, "JPEG", quality=quality) for quality in (low, high)), key=lambda f: abs(len(f) - size))


def saved(picture, kind, **options):
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()

"""The live page (nbs/live.ipynb) in Chromium or Chrome, held against Python."""

import csv
import functools
import io
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from fkp_nb.core import IMAGE_SIZE
from fkp_nb.inference import COLUMNS, KeypointModel, predict
from fkp_nb.photo import MIN_SIDE, FaceCrop, cut_faces, read_photo

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((program for name in NAMES if (program := shutil.which(name))), None)
if not ((CHROMIUM and shutil.which("npm")) or os.environ.get("CI")):
    pytest.skip("the live page's test needs Chromium or Chrome, and npm", allow_module_level=True)
expect.set_options(timeout=60_000)  # milliseconds


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Start the browser that is installed."""
    return {"executable_path": CHROMIUM}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a bare page, of the very lines of HTML that the notebook has, and all that it needs."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(["nbdev_test", "--path", "nbs/live.ipynb", "--n_workers", "0"], cwd=ROOT, check=True)
    shutil.copytree(ROOT / "nbs" / "live", folder / "live")
    cells = json.loads((ROOT / "nbs" / "live.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    lines = re.findall(r"^<(?:link|div|script)\b.*$", text, re.MULTILINE)
    assert len(lines) == 3, lines
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>live</title><link rel="icon" href="data:,">'
    size = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    (folder / "live.html").write_text("\n".join([head, size, *lines]), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def base_url(site: Path) -> Iterator[str]:
    """Serve the folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def live(page: Page, base_url: str) -> Iterator[Page]:
    """Open the page; at the end it has complained of nothing and asked nobody else."""
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto("/live.html")
    expect(page.get_by_role("button", name="Grace Hopper")).to_be_visible()
    assert not any("wasm" in url for url in requests), "the runtime is loaded before it is needed"
    yield page
    assert not complaints
    assert not [url for url in requests if not url.startswith((base_url, f"blob:{base_url}", "data:"))]


def settle(page: Page) -> None:
    """Wait until the page has answered."""
    for _ in range(2):
        expect(page.locator("#live-page")).to_have_attribute("aria-busy", "false")
        expect(page.locator("#live-table tbody tr, #live-alert:not(:empty)").first).to_be_attached()


def arrive(page: Page, name: str) -> None:
    """Wait until a photo of this name is shown with its keypoints."""
    expect(page.locator("#live-photo")).to_have_attribute("aria-label", re.compile(f"^{re.escape(name)} "))
    settle(page)


def pick(page: Page, title: str = "Grace Hopper", name: str = "grace_hopper.jpg") -> None:
    """Pick a face to try."""
    page.get_by_role("button", name=title, exact=True).click()
    arrive(page, name)


def give(page: Page, name: str, content: bytes) -> None:
    """Choose a file."""
    page.set_input_files("#live-file", {"name": name, "mimeType": "image/*", "buffer": content})


def drag(page: Page, what: str, by: float) -> None:
    """Take hold of something in its middle with the pointer, and drag it, as far in both directions."""
    page.locator(what).hover()
    box = page.locator(what).bounding_box()
    assert box
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + by, box["y"] + box["height"] / 2 + by, steps=5)
    page.mouse.up()
    settle(page)


def as_file(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    """Write a picture as the bytes of a file."""
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def table(page: Page) -> np.ndarray:
    """Give the table's numbers, `(k, 4)`."""
    rows = page.locator("#live-table tbody tr").all_inner_texts()
    return np.array([[float(number) for number in row.split("\t")[1:]] for row in rows])


def compare(page: Page, photo: Any, left: float, top: float, side: float) -> None:
    """Hold the page's table against Python's answer for a square, counted from the photo's edges."""
    expect(page.locator("#live-alert")).to_be_empty()
    (face,) = predict(photo, [FaceCrop(left - 0.5, top - 0.5, side)], KeypointModel.load(runtime="onnx")).faces
    expected = np.column_stack([face.keypoints, face.error, face.confidence])
    apart = np.abs(table(page) - expected) * [*[IMAGE_SIZE / side] * 3, 1]
    assert apart[:, :3].max() < 0.1  # pixels of the face
    assert apart[:, 3].max() < 0.02


def test_cut(live: Page, site: Path) -> None:
    """The page cuts faces as fkp_nb.photo does."""
    photo = np.random.default_rng(0).integers(0, 256, (1700, 1650, 3)).astype(np.uint8)
    Image.fromarray(photo).save(site / "random.png")
    script = """async ([image, squares, size]) => {
      const { cutFace, toGrey } = await import("./live/face.js");
      const bitmap = await createImageBitmap(await (await fetch(image)).blob());
      const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
      pen.drawImage(bitmap, 0, 0);
      const levels = toGrey(pen.getImageData(0, 0, bitmap.width, bitmap.height).data);
      return squares.map(([left, top, side]) => [...cutFace(levels, bitmap.width, { left, top, side }, size)]);
    }"""
    squares = [(3, 5, 96), (0, 0, 40.5), (10.25, 20.5, 16), (31.3, 7.7, 191.4), (0, 40, 1650), (100.5, 0, 700)]
    expected = cut_faces(photo, [FaceCrop(left - 0.5, top - 0.5, side) for left, top, side in squares])
    cut = np.array(live.evaluate(script, ["random.png", squares, IMAGE_SIZE])).reshape(expected.shape)
    assert np.abs(cut - expected.astype(int)).max() <= 1


def test_samples(live: Page, site: Path) -> None:
    """Each face to try gives what Python gives."""
    for sample in json.loads((site / "live" / "card.json").read_text(encoding="utf-8"))["samples"]:
        pick(live, sample["title"], sample["file"])
        compare(live, site / "live" / sample["file"], **sample["square"])


def test_square(live: Page, site: Path) -> None:
    """Sliders, keys and the pointer move the square, and the keypoints follow."""
    pick(live)
    photo, before = site / "live" / "grace_hopper.jpg", table(live)
    for name, value in {"side": 250, "left": 140, "top": 90}.items():
        live.fill(f"#live-{name}", str(value))
    settle(live)
    assert np.abs(table(live) - before).max() > 0.1
    compare(live, photo, 140, 90, 250)
    live.press("#live-left", "ArrowRight")
    settle(live)
    compare(live, photo, 141, 90, 250)
    drag(live, "#live-frame", -2000)
    compare(live, photo, 0, 0, 250)
    drag(live, "#live-corner", 2000)
    compare(live, photo, 0, 0, 512)


def test_turned_photo(live: Page, site: Path) -> None:
    """A photo that only its EXIF orientation turns upright; its table as a file."""
    with Image.open(site / "live" / "grace_hopper.jpg") as image:
        exif = image.getexif()
        exif[0x0112] = 6  # to be turned by a quarter, clockwise
        turned = as_file(image.rotate(90, expand=True), "jpeg", quality=95, exif=exif)
    give(live, "turned.jpg", turned)
    arrive(live, "turned.jpg")
    compare(live, turned, 0, 44, 512)
    with live.expect_download() as download:
        live.click("#live-save")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["keypoint"] for row in rows][10] == "nose_tip"
    assert rows[0]["photo"] == "turned.jpg"
    saved = np.array([[float(row[name]) for name in COLUMNS[3:]] for row in rows])
    assert np.abs(saved - table(live)).max() < 0.0101


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_brought_photo(live: Page, site: Path, kind: str) -> None:
    """A photo is pasted or dropped."""
    bring = """kind => fetch("live/a-drawn-face.png").then(r => r.blob()).then(blob => {
      const carried = new DataTransfer();
      carried.items.add(new File([blob], "brought.png", { type: blob.type }));
      const data = { bubbles: true, cancelable: true, dataTransfer: carried, clipboardData: carried };
      document.body.dispatchEvent(kind === "drop" ? new DragEvent("drop", data) : new ClipboardEvent("paste", data));
    })"""
    live.evaluate(bring, kind)
    arrive(live, "brought.png")
    compare(live, site / "live" / "a-drawn-face.png", 0, 0, IMAGE_SIZE)


def test_unusual_photos(live: Page, site: Path) -> None:
    """A see-through photo, and one of 25 million pixels."""
    photo = read_photo(site / "live" / "grace_hopper.jpg")
    glass = np.dstack([photo, np.linspace(0, 255, photo.size // 3).reshape(photo.shape[:2]).astype(np.uint8)])
    large = as_file(Image.fromarray(photo).resize((4608, 5400)), "jpeg")
    for name, content, width in (("glass.png", as_file(Image.fromarray(glass)), 512), ("large.jpg", large, 4608)):
        give(live, name, content)
        arrive(live, name)
        compare(live, content, 0, 44 * width / 512, width)


def test_errors(live: Page) -> None:
    """What is no photo is said in one line, and the page goes on."""
    unreadable = "is no picture that this browser can read: use JPEG, PNG or WebP."
    small = f"is 40 x {MIN_SIDE - 1} pixels, too small for a face: at least {MIN_SIDE} x {MIN_SIDE}."
    for name, content, line in (
        ("words.png", b"these are words", unreadable),
        ("empty.png", b"", unreadable),
        ("tiny.png", as_file(Image.new("L", (40, MIN_SIDE - 1))), small),
    ):
        give(live, name, content)
        expect(live.locator("#live-alert")).to_have_text(f"{name} {line}")
    pick(live)
    expect(live.locator("#live-alert")).to_be_empty()


def test_narrow(browser: Browser, base_url: str) -> None:
    """On a telephone nothing sticks out."""
    page = browser.new_page(viewport={"width": 360, "height": 800}, base_url=base_url)
    page.goto("/live.html")
    pick(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_network(page: Page) -> None:
    """A page whose network does not come says so, and tries again when asked again."""
    page.route("**/network.onnx", lambda route: route.abort())
    page.goto("/live.html")
    pick(page)
    expect(page.locator("#live-alert")).to_contain_text("The network could not be loaded.")
    page.unroute("**/network.onnx")
    pick(page, "a drawn face", "a-drawn-face.png")
    expect(page.locator("#live-alert")).to_be_empty()

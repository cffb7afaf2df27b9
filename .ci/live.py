#!/usr/bin/env python3
"""Test the live page (nbs/live.ipynb) in a browser, against Python; or, with a folder, put all that the page needs into its live/.

python .ci/live.py            the test: fetches ONNX Runtime by npm and a driver by pip, and needs Chromium or Chrome
python .ci/live.py _docs      completes the built pages; with nbs, what nbdev_preview shows
"""

import base64
import csv
import functools
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

from fkp_nb.core import IMAGE_SIZE, PREDICTION_COLOR, TARGET_SIGMA, WEIGHTS
from fkp_nb.data import make_sample
from fkp_nb.detection import detect_faces
from fkp_nb.inference import COLUMNS, MIN_ERROR, TOLERANCE, KeypointModel, predict
from fkp_nb.photo import MIN_SIDE, FaceCrop, cut_faces, read_photo

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = "onnxruntime-web@1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # SHA-512, as npm states it
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
DRIVER = "playwright==1.65.2"
QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
CLOSE = 0.1  # pixels of the face; how far the page may lie from Python
WAIT = 60_000  # milliseconds


class Missing(Exception):
    """Something that the page or its test needs cannot be had here."""


def run(*command: str) -> None:
    """Run a command that fetches something."""
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        raise Missing(f"{' '.join(command)} failed")


def find_program(package: str, *names: str) -> str:
    """Find a program by its names; in continuous integration, install its package where that can be done."""

    def found() -> str | None:
        return next((path for name in names if (path := shutil.which(name))), None)

    if not found() and os.environ.get("CI") and shutil.which("apt-get") and os.access("/usr/bin", os.W_OK):
        run("apt-get", "-qq", "update")
        run("apt-get", "-qq", "install", "-y", "--no-install-recommends", package)
    if program := found():
        return program
    raise Missing(f"no {package}")


def fetch_runtime(target: Path) -> None:
    """Copy the two files of ONNX Runtime that a page needs, from the package of exactly one version."""
    if all((target / name).exists() for name in RUNTIME_FILES):
        return
    with tempfile.TemporaryDirectory() as folder:
        npm = find_program("npm", "npm")
        run(npm, "pack", "--silent", "--prefer-offline", "--pack-destination", folder, RUNTIME)
        (packed,) = Path(folder).iterdir()
        if base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode() != INTEGRITY:
            sys.exit(f"{RUNTIME} is not the file it was: its SHA-512 differs from the one in {Path(__file__).name}")
        with tarfile.open(packed) as archive:
            for name in RUNTIME_FILES:
                content = archive.extractfile(f"package/dist/{name}")
                assert content is not None
                (target / name).write_bytes(content.read())


def write_samples(target: Path) -> list[dict[str, Any]]:
    """Write the faces to try, and say where each one's square lies."""
    portrait = Path(get_sample_data("grace_hopper.jpg", asfileobj=False))
    shutil.copy(portrait, target)
    photo = read_photo(portrait)
    samples = [(portrait.name, "Grace Hopper", detect_faces(photo)[0].crop)]
    drawn = make_sample(10, 20).test_images
    for title, image in (("a drawn face", drawn[6]), ("a drawn face with glasses", drawn[19])):
        name = title.replace(" ", "-") + ".png"
        Image.fromarray(image).save(target / name)
        samples.append((name, title, FaceCrop.whole(image)))
    return [
        # the page counts from the photo's edges
        {"file": name, "title": title, "square": {"left": f.left + 0.5, "top": f.top + 0.5, "side": f.side}}
        for name, title, f in samples
    ]


def complete(folder: Path) -> Path:
    """Put the page's own files, the network, its numbers, ONNX Runtime and the samples into `folder`/live."""
    own, target = ROOT / "nbs" / "live", folder / "live"
    target.mkdir(parents=True, exist_ok=True)
    if not target.samefile(own):
        shutil.copytree(own, target, dirs_exist_ok=True)
    shutil.copy(WEIGHTS / "network.onnx", target)
    fetch_runtime(target)
    card = json.loads((WEIGHTS / "card.json").read_text(encoding="utf-8"))
    size = sum((target / name).stat().st_size for name in ("network.onnx", *RUNTIME_FILES))
    numbers = {
        "names": card["names"],
        "mirrored": card["mirrored"],
        "face_size": IMAGE_SIZE,
        "min_side": MIN_SIDE,
        "target_sigma": TARGET_SIGMA,
        "surest": MIN_ERROR,
        "tolerance": TOLERANCE,
        "mark_color": PREDICTION_COLOR,
        "megabytes": round(size / 1e6),
        "samples": write_samples(target),
    }
    (target / "card.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    return target


def write_page(folder: Path) -> None:
    """Write a bare page with the very lines of HTML that the notebook has."""
    cells = json.loads((ROOT / "nbs" / "live.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    lines = re.findall(r"^<(?:link|div|script)\b.*$", text, re.MULTILINE)
    assert len(lines) == 3, f"nbs/live.ipynb should have the page's three lines of HTML, and has {lines}"
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>live</title>'
    size = '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
    (folder / "live.html").write_text("\n".join([head, size, *lines]), encoding="utf-8")


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine."""
    handler = functools.partial(_Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def browser_driver() -> Iterator[Any]:
    """Start a browser that can be told what to do."""
    program = find_program("chromium", "chromium", "chromium-browser", "google-chrome", "chrome")
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", folder, DRIVER)
        sys.path.append(folder)
        from playwright.sync_api import sync_playwright

        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=program, args=QUIET.split())
            yield browser
            browser.close()


class Visit:
    """The page in one tab, and what went wrong in it."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.tab = browser.new_context(**options).new_page()
        self.tab.set_default_timeout(WAIT)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda said: self.complaints.extend([said.text] if said.type == "error" else []))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.context.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(f"{address}/live.html")

    def settle(self) -> None:
        """Wait until the page has answered."""
        self.tab.wait_for_selector("#live-page[aria-busy=false]")
        self.tab.wait_for_function("document.querySelector('#live-table tbody tr, #live-alert:not(:empty)')")
        self.tab.wait_for_selector("#live-page[aria-busy=false]")

    def arrive(self, name: str) -> None:
        """Wait until a photo of this name is shown with its keypoints."""
        self.tab.wait_for_selector(f"#live-photo[aria-label^='{name}']")
        self.settle()

    def pick(self, title: str, name: str) -> None:
        """Pick a face to try, of this title and in this file."""
        self.tab.get_by_role("button", name=title, exact=True).click()
        self.arrive(name)

    def give(self, name: str, content: bytes) -> None:
        """Choose a file."""
        self.tab.set_input_files("#live-file", {"name": name, "mimeType": "image/*", "buffer": content})

    def alert(self) -> str:
        """Give the line that says what is wrong."""
        return self.tab.inner_text("#live-alert")

    def slide(self, **values: int) -> None:
        """Set sliders, in this order."""
        for name, value in values.items():
            self.tab.fill(f"#live-{name}", str(value))
        self.settle()

    def drag(self, what: str, by: float) -> None:
        """Take hold of something in its middle with the pointer, and drag it, as far in both directions."""
        self.tab.locator(what).scroll_into_view_if_needed()
        box = self.tab.locator(what).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.tab.mouse.move(x, y)
        self.tab.mouse.down()
        self.tab.mouse.move(x + by, y + by, steps=5)
        self.tab.mouse.up()
        self.settle()

    def keypoints(self) -> np.ndarray:
        """Give the table's numbers, `(k, 4)`."""
        rows = "Array.from(document.querySelectorAll('#live-table tbody tr'), row => Array.from(row.cells, c => c.innerText))"
        return np.array([[float(number) for number in row[1:]] for row in self.tab.evaluate(rows)])


def as_file(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    """Write a picture as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned_portrait() -> bytes:
    """Give a photo that only its EXIF orientation turns upright."""
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        exif = image.getexif()
        exif[0x0112] = 6  # to be turned by a quarter, clockwise
        return as_file(image.rotate(90, expand=True), "jpeg", quality=95, exif=exif)


def compare(name: str, visit: Visit, photo: Any, left: float, top: float, side: float) -> None:
    """Hold the page's table against Python's answer for a square, counted from the photo's edges."""
    assert not visit.alert(), visit.alert()
    (face,) = predict(photo, [FaceCrop(left - 0.5, top - 0.5, side)], KeypointModel.load(runtime="onnx")).faces
    expected = np.column_stack([face.keypoints, face.error, face.confidence])
    apart = np.abs(visit.keypoints() - expected) * [*[IMAGE_SIZE / side] * 3, 1]
    print(f"{name}: {apart[:, :3].max():.3f} px from Python at most, confidence {apart[:, 3].max():.3f}")
    assert apart[:, :3].max() < CLOSE and apart[:, 3].max() < 0.02


def test_cut(visit: Visit, live: Path) -> None:
    """The page cuts faces as fkp_nb.photo does."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (1700, 1650, 3)).astype(np.uint8)
    script = """async ([image, squares, size]) => {
      const { cutFace, toGrey } = await import("./live/face.js");
      const bitmap = await createImageBitmap(await (await fetch(image)).blob());
      const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
      pen.drawImage(bitmap, 0, 0);
      const levels = toGrey(pen.getImageData(0, 0, bitmap.width, bitmap.height).data);
      return squares.map((square) => [...cutFace(levels, bitmap.width, square, size)]);
    }"""
    squares = [(3, 5, 96), (0, 0, 40.5), (10.25, 20.5, 16), (31.3, 7.7, 191.4), (0, 40, 1650), (100.5, 0, 700)]
    (live.parent / "random.png").write_bytes(as_file(Image.fromarray(photo)))
    named = [dict(zip(("left", "top", "side"), square, strict=True)) for square in squares]
    cut = visit.tab.evaluate(script, ["random.png", named, IMAGE_SIZE])
    expected = cut_faces(photo, [FaceCrop(left - 0.5, top - 0.5, side) for left, top, side in squares])
    apart = np.abs(np.array(cut).reshape(expected.shape) - expected.astype(int)).max(axis=(1, 2))
    assert apart.max() <= 1, f"the page cuts faces {apart} grey levels off"
    print(f"cut faces: {apart.max()} grey levels from Python's at most")


def test_samples(visit: Visit, live: Path) -> None:
    """Each sample gives what Python gives."""
    for sample in json.loads((live / "card.json").read_text(encoding="utf-8"))["samples"]:
        visit.pick(sample["title"], sample["file"])
        compare(sample["title"], visit, live / sample["file"], **sample["square"])


def test_square(visit: Visit, live: Path) -> None:
    """Sliders, keys and the pointer move the square, and the keypoints follow."""
    visit.pick("Grace Hopper", "grace_hopper.jpg")
    before = visit.keypoints()
    visit.slide(side=250, left=140, top=90)
    assert np.abs(visit.keypoints() - before).max() > 0.1
    compare("moved by sliders", visit, live / "grace_hopper.jpg", 140, 90, 250)
    visit.tab.focus("#live-left")
    visit.tab.keyboard.press("ArrowRight")
    visit.settle()
    compare("moved by a key", visit, live / "grace_hopper.jpg", 141, 90, 250)
    visit.drag("#live-frame", -2000)
    compare("dragged to the corner", visit, live / "grace_hopper.jpg", 0, 0, 250)
    visit.drag("#live-corner", 2000)
    compare("widened by its corner", visit, live / "grace_hopper.jpg", 0, 0, 512)


def test_own_photo(visit: Visit, live: Path) -> None:
    """A photo of the visitor's own: chosen, pasted and dropped; turned upright; see-through; large."""
    visit.give("turned.jpg", turned_portrait())
    visit.arrive("turned.jpg")
    compare("turned upright, the centred square", visit, turned_portrait(), 0, 44, 512)
    with visit.tab.expect_download() as download:
        visit.tab.click("#live-save")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert tuple(rows[0]) == COLUMNS and [row["keypoint"] for row in rows][10] == "nose_tip", rows
    saved = np.array([[float(row[name]) for name in COLUMNS[3:]] for row in rows])
    assert np.abs(saved - visit.keypoints()).max() < 0.0101 and rows[0]["photo"] == "turned.jpg"
    bring = """([kind, name]) => fetch("live/" + name).then(r => r.blob()).then(blob => {
      const carried = new DataTransfer();
      carried.items.add(new File([blob], kind + ".png", { type: blob.type }));
      const data = { bubbles: true, cancelable: true, dataTransfer: carried, clipboardData: carried };
      document.body.dispatchEvent(kind === "drop" ? new DragEvent("drop", data) : new ClipboardEvent("paste", data));
    })"""
    for kind in ("paste", "drop"):
        visit.tab.evaluate(bring, [kind, "a-drawn-face.png"])
        visit.arrive(f"{kind}.png")
        compare(f"brought by {kind}", visit, live / "a-drawn-face.png", 0, 0, 96)
    photo = read_photo(live / "grace_hopper.jpg")
    glass = np.dstack([photo, np.linspace(0, 255, photo.size // 3).reshape(photo.shape[:2]).astype(np.uint8)])
    large = Image.fromarray(photo).resize((4608, 5400))  # 25 million pixels
    for name, content, width in (
        ("glass.png", as_file(Image.fromarray(glass)), 512),
        ("large.jpg", as_file(large, "jpeg"), 4608),
    ):
        visit.give(name, content)
        visit.arrive(name)
        compare(name, visit, content, 0, 44 * width / 512, width)


def test_errors(visit: Visit, live: Path) -> None:
    """What is no photo is said in one line, and the page goes on."""
    unreadable = "is no picture that this browser can read: use JPEG, PNG or WebP."
    small = f"is 40 x {MIN_SIDE - 1} pixels, too small for a face: at least {MIN_SIDE} x {MIN_SIDE}."
    for name, content, line in (
        ("words.png", b"these are words", unreadable),
        ("empty.png", b"", unreadable),
        ("tiny.png", as_file(Image.new("L", (40, MIN_SIDE - 1))), small),
    ):
        visit.give(name, content)
        visit.tab.wait_for_selector(f"#live-alert:text-is('{name} {line}')")
    visit.pick("Grace Hopper", "grace_hopper.jpg")
    assert not visit.alert(), visit.alert()


def test_narrow(browser: Any, address: str) -> None:
    """On a telephone nothing sticks out."""
    visit = Visit(browser, address, viewport={"width": 360, "height": 800})
    visit.pick("Grace Hopper", "grace_hopper.jpg")
    assert visit.tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_network(browser: Any, address: str) -> None:
    """A page whose network does not come says so, and tries again when asked again."""
    visit = Visit(browser, address)
    visit.tab.route("**/network.onnx", lambda route: route.abort())
    visit.pick("Grace Hopper", "grace_hopper.jpg")
    assert visit.alert().startswith("The network could not be loaded."), visit.alert()
    visit.tab.unroute("**/network.onnx")
    visit.pick("a drawn face", "a-drawn-face.png")
    assert not visit.alert(), visit.alert()


def test_page() -> None:
    """Build a small site as it is published, and visit it."""
    with tempfile.TemporaryDirectory() as name, browser_driver() as browser, served(Path(name)) as address:
        live = complete(Path(name))
        write_page(Path(name))
        visit = Visit(browser, address)
        visit.tab.wait_for_selector("#live-samples button")
        assert not any(RUNTIME_FILES[1] in url for url in visit.requests), "the runtime is loaded before it is needed"
        tests: list[Callable[[Visit, Path], None]] = [test_cut, test_samples, test_square, test_own_photo, test_errors]
        for test in tests:
            test(visit, live)
        assert not visit.complaints, visit.complaints
        elsewhere = [url for url in visit.requests if not url.startswith((address, f"blob:{address}", "data:"))]
        assert not elsewhere, f"the page asks elsewhere: {elsewhere}"
        test_narrow(browser, address)
        test_without_network(browser, address)
        print(f"no errors in the console, and no request to elsewhere among {len(visit.requests)}")


def main() -> None:
    """Test the page, or complete a folder."""
    try:
        if sys.argv[1:]:
            print(f"all that the live page needs is in {complete(Path(sys.argv[1]))}")
        else:
            test_page()
    except Missing as error:
        if sys.argv[1:] or os.environ.get("CI"):
            sys.exit(f"the live page: {error}")
        print(f"== skipped: live page ({error})")


if __name__ == "__main__":
    main()

// The live page: takes a photo, lets the visitor set a square about the face, and shows the keypoints that the network finds in it.
// Everything happens in the browser. live.ipynb puts the network, ONNX Runtime and the faces to try beside this file; tests/test_live_page.py tests the page.
import { cutFace, readLooks, toGrey, toPhoto, twoLooks } from "./face.js";

const MOST_PIXELS = 16e6; // more, and some browsers refuse the canvas: the photo is kept smaller then
const here = (name) => new URL(name, import.meta.url).href;
const part = (name) => document.getElementById(`live-${name}`);
const root = part("page");

let card; // card.json: names and numbers that Python wrote
let photo; // {name, width, height, scale, levels, columns}: its true size, and the grey levels, `scale` times as large
let frame; // {left, top, side} in pixels of the photo, counted from its edges
let found = []; // the keypoints last shown

class Trouble extends Error {} // with a line for the visitor

function tell(error) {
  if (!(error instanceof Trouble)) console.error(error);
  part("alert").textContent = error instanceof Trouble ? error.message : `Something went wrong: ${error.message}`;
}

async function get(name) {
  const answer = await fetch(here(name)).catch(() => ({ ok: false }));
  if (!answer.ok) throw new Trouble(`${name} could not be loaded: reload the page.`);
  return answer;
}

// The network, loaded when it is first needed: a function from two looks to means and variances.
let loading;
function network() {
  loading ??= loadNetwork().catch(() => {
    loading = undefined;
    throw new Trouble("The network could not be loaded. Reload the page; it needs a connection and a browser with WebAssembly.");
  });
  return loading;
}

async function loadNetwork() {
  part("status").textContent = `Loading the network and what runs it, ${card.megabytes} MB …`;
  const ort = await import("./ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = 1; // several need headers that a plain web server does not send
  const session = await ort.InferenceSession.create(here("network.onnx"), { executionProviders: ["wasm"] });
  return async (looks) => {
    const image = new ort.Tensor("float32", looks, [2, card.face_size, card.face_size, 1]);
    const { keypoints, variance } = await session.run({ image });
    return [keypoints.data, variance.data];
  };
}

// Browsers turn a picture upright themselves; its colours are taken as they are, for Pillow does so too.
async function decode(file, name) {
  const picture = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
    throw new Trouble(`${name} is no picture that this browser can read: use JPEG, PNG or WebP.`);
  });
  const { width, height } = picture;
  if (Math.min(width, height) < card.min_side) {
    throw new Trouble(
      `${name} is ${width} x ${height} pixels, too small for a face: at least ${card.min_side} x ${card.min_side}.`,
    );
  }
  return picture;
}

// A picture becomes the photo: drawn on the page, with its grey levels at hand.
function takePhoto(picture, name) {
  const { width, height } = picture;
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  const canvas = part("photo");
  [canvas.width, canvas.height] = [Math.ceil(width * scale), Math.ceil(height * scale)];
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white"; // behind what is transparent
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, width * scale, height * scale);
  const levels = toGrey(pen.getImageData(0, 0, canvas.width, canvas.height).data);
  photo = { name, width, height, scale, levels, columns: canvas.width };
  canvas.setAttribute("aria-label", `${name} with its keypoints, which the table lists`);
  part("stage").style.setProperty("--shape", width / height);
  part("stage").style.setProperty("--width", width);
  part("marks").setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`);
  part("result").hidden = false;
}

// Show a file, or the promise of one; where no square is given, the largest in the middle.
let turn = 0;
async function show(file, name, square) {
  const mine = ++turn;
  part("alert").textContent = "";
  try {
    const picture = await decode(await file, name);
    if (mine === turn) {
      takePhoto(picture, name);
      showKeypoints([]); // those of the photo before
      const side = Math.min(photo.width, photo.height);
      setFrame(square ?? { left: (photo.width - side) / 2, top: (photo.height - side) / 2, side });
    }
    picture.close();
  } catch (error) {
    if (mine === turn) tell(error); // else another was chosen meanwhile
  }
}

// The square, kept inside the photo.
function setFrame(wanted) {
  const between = (value, most, least = 0) => Math.max(least, Math.min(value, most));
  const side = between(wanted.side, Math.min(photo.width, photo.height), card.min_side);
  frame = { left: between(wanted.left, photo.width - side), top: between(wanted.top, photo.height - side), side };
  const percent = (value, whole) => `${(100 * value) / whole}%`;
  Object.assign(part("frame").style, {
    left: percent(frame.left, photo.width),
    top: percent(frame.top, photo.height),
    width: percent(side, photo.width),
    height: percent(side, photo.height),
  });
  const most = { left: photo.width - side, top: photo.height - side, side: Math.min(photo.width, photo.height) };
  for (const name of ["left", "top", "side"]) {
    const input = part(name);
    Object.assign(input, { min: name === "side" ? card.min_side : 0, max: most[name], value: frame[name] });
    input.disabled = input.min === input.max;
    input.previousElementSibling.value = Math.round(frame[name]);
  }
  update();
}

// Ask the network about the square as it is now; what changes meanwhile is asked next.
let busy = false;
let stale = false;
async function update() {
  stale = true;
  if (busy) return;
  busy = true;
  root.setAttribute("aria-busy", "true");
  try {
    const ask = await network();
    while (stale) {
      stale = false;
      await new Promise(requestAnimationFrame); // lets the page show the square first
      const { scale, levels, columns } = photo;
      const square = { ...frame };
      const scaled = { left: square.left * scale, top: square.top * scale, side: square.side * scale };
      const face = cutFace(levels, columns, scaled, card.face_size);
      const answer = await ask(twoLooks(face, card.face_size));
      if (photo.levels !== levels) continue; // another photo came
      showFace(face);
      showKeypoints(toPhoto(readLooks(...answer, card), square, card.face_size));
    }
  } catch (error) {
    part("status").textContent = "";
    tell(error);
  } finally {
    busy = false;
    root.setAttribute("aria-busy", "false");
  }
}

function showFace(face) {
  const image = new ImageData(card.face_size, card.face_size);
  face.forEach((level, i) => image.data.set([level, level, level, 255], 4 * i));
  part("face").getContext("2d").putImageData(image, 0, 0);
}

function showKeypoints(keypoints) {
  found = keypoints;
  const doubtful = found.filter((k) => k.confidence < 0.5).length;
  part("status").textContent = found.length ? `${photo.name}: ${found.length} keypoints, ${doubtful} of them doubtful` : "";
  const rows = found.map(({ name, x, y, error, confidence }) => {
    const row = document.createElement("tr");
    const mark = confidence < 0.5 ? "○" : "×";
    row.append(cell("th", `${mark} ${name.replaceAll("_", " ")}`));
    row.append(...[x, y, error, confidence].map((value) => cell("td", value.toFixed(2))));
    return row;
  });
  part("table").tBodies[0].replaceChildren(...rows);
  drawMarks();
}

function cell(kind, text) {
  const made = document.createElement(kind);
  if (kind === "th") made.scope = "row";
  made.textContent = text;
  return made;
}

// Crosses of one size on the screen, however large the photo; circles of the size of the expected error.
function drawMarks() {
  const svg = part("marks");
  const arm = (4 * photo.width) / (svg.clientWidth || photo.width);
  const shapes = found.map(({ x, y, error, confidence }) =>
    confidence < 0.5
      ? `M${x - error} ${y}a${error} ${error} 0 1 0 ${2 * error} 0a${error} ${error} 0 1 0 ${-2 * error} 0`
      : `M${x - arm} ${y - arm}l${2 * arm} ${2 * arm}m0 ${-2 * arm}l${-2 * arm} ${2 * arm}`,
  );
  svg.innerHTML = ["rim", "mark"].map((kind) => `<path class="${kind}" d="${shapes.join("")}"/>`).join("");
}

// The table as fkp_predict writes it.
function save() {
  const quoted = /[",\n\r]/.test(photo.name) ? `"${photo.name.replaceAll('"', '""')}"` : photo.name;
  const row = (k) => [quoted, 0, k.name, ...[k.x, k.y, k.error].map((v) => +v.toFixed(2)), +k.confidence.toFixed(3)].join(",");
  const text = ["photo,face,keypoint,x,y,error,confidence", ...found.map(row), ""].join("\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `${photo.name.replace(/\.\w+$/, "")}-keypoints.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Dragging moves the square; dragging its corner changes its side.
function dragFrame(down) {
  const start = { ...frame };
  const pixel = photo.width / part("stage").clientWidth; // of the photo, for each of the screen
  const resize = down.target === part("corner");
  const move = (event) => {
    const [dx, dy] = [(event.clientX - down.clientX) * pixel, (event.clientY - down.clientY) * pixel];
    const most = Math.min(photo.width - start.left, photo.height - start.top); // so that the other corner stays
    setFrame(
      resize
        ? { ...start, side: Math.min(start.side + Math.max(dx, dy), most) }
        : { ...start, left: start.left + dx, top: start.top + dy },
    );
  };
  down.preventDefault();
  part("frame").setPointerCapture(down.pointerId);
  part("frame").onpointermove = move;
  part("frame").onlostpointercapture = () => (part("frame").onpointermove = null);
}

function listen() {
  const take = ([file]) => file && show(file, file.name);
  part("file").addEventListener("click", ({ target }) => (target.value = "")); // so that the same file can be chosen again
  part("file").addEventListener("change", ({ target }) => take(target.files));
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // else the browser would open the file itself
      root.classList.toggle("live-dropping", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files);
    });
  }
  part("frame").addEventListener("pointerdown", dragFrame);
  for (const name of ["left", "top"]) {
    part(name).addEventListener("input", ({ target }) => setFrame({ ...frame, [name]: Number(target.value) }));
  }
  part("side").addEventListener("input", ({ target }) => {
    const grown = Number(target.value) - frame.side; // about its middle
    setFrame({ left: frame.left - grown / 2, top: frame.top - grown / 2, side: frame.side + grown });
  });
  part("save").addEventListener("click", save);
  new ResizeObserver(() => photo && drawMarks()).observe(part("stage"));
}

function addSample({ file, title, square }) {
  const button = document.createElement("button");
  button.type = "button";
  const image = document.createElement("img");
  Object.assign(image, { src: here(file), alt: "" });
  button.append(image, title);
  button.addEventListener("click", () =>
    show(
      get(file).then((answer) => answer.blob()),
      file,
      square,
    ),
  );
  part("samples").append(button);
}

async function start() {
  const [page, numbers] = await Promise.all([get("page.html").then((r) => r.text()), get("card.json").then((r) => r.json())]);
  root.innerHTML = page;
  card = numbers;
  [part("face").width, part("face").height] = [card.face_size, card.face_size];
  root.style.setProperty("--mark", card.mark_color);
  card.samples.forEach(addSample);
  listen();
  part("status").textContent = `The first face loads the network and what runs it: ${card.megabytes} MB, once.`;
  root.setAttribute("aria-busy", "false");
}

start().catch((error) => {
  root.setAttribute("role", "alert");
  root.textContent = error.message;
});

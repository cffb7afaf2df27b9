// From a photo to a face, and from the network's outputs to keypoints, as fkp_nb.photo and fkp_nb.inference do it.
// tests/test_live_page.py holds each of these functions against Python's.

// Grey levels of RGBA pixels, with Pillow's weights.
export function toGrey(rgba) {
  const levels = new Uint8Array(rgba.length / 4);
  for (let i = 0, p = 0; i < levels.length; i++, p += 4) {
    levels[i] = (19595 * rgba[p] + 38470 * rgba[p + 1] + 7471 * rgba[p + 2] + 0x8000) >> 16;
  }
  return levels;
}

// Pillow's bilinear filter in one direction: for each of `size` places, the first pixel it looks at and the weights from there on.
function triangles(start, side, size) {
  const scale = side / size;
  const reach = Math.max(scale, 1); // a triangle as wide as the pixels it has to average
  return Array.from({ length: size }, (_, i) => {
    const middle = start + (i + 0.5) * scale;
    const first = Math.max(Math.floor(start), Math.floor(middle - reach + 0.5));
    const last = Math.min(Math.ceil(start + side), Math.floor(middle + reach + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) => Math.max(0, 1 - Math.abs(first + k + 0.5 - middle) / reach));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

// A square of a photo, `size` pixels wide. `levels` are the photo's grey levels, row by row; `left` and `top` count from its edges.
export function cutFace(levels, width, { left, top, side }, size) {
  const [firstRow, lastRow] = [Math.floor(top), Math.ceil(top + side)];
  const narrow = new Uint8Array((lastRow - firstRow) * size); // rounds, for a half is added to each sum
  const columns = triangles(left, side, size);
  for (let y = firstRow; y < lastRow; y++) {
    columns.forEach(({ first, weights }, x) => {
      let sum = 0.5;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * levels[y * width + first + k];
      narrow[(y - firstRow) * size + x] = sum;
    });
  }
  const face = new Uint8Array(size * size);
  triangles(top, side, size).forEach(({ first, weights }, y) => {
    for (let x = 0; x < size; x++) {
      let sum = 0.5;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * narrow[(first - firstRow + k) * size + x];
      face[y * size + x] = sum;
    }
  });
  return face;
}

// The network's input: the face as it is, and in the mirror.
export function twoLooks(face, size) {
  const mirrored = face.map((_, i) => face[i - (i % size) + size - 1 - (i % size)]);
  return Float32Array.from([...face, ...mirrored]);
}

// The keypoints that two looks have found together, in pixels of the face. `card` says what they are called, where each finds
// its partner in the mirror, and how errors are reckoned.
export function readLooks(keypoints, variance, card) {
  return card.names.map((name, slot) => {
    const [plain, mirror] = [2 * slot, 2 * (card.mirrored.length + card.mirrored[slot])];
    const x = [keypoints[plain], card.face_size - 1 - keypoints[mirror]];
    const y = [keypoints[plain + 1], keypoints[mirror + 1]];
    const width = (variance[plain] + variance[plain + 1] + variance[mirror] + variance[mirror + 1]) / 2;
    const apart = ((x[0] - x[1]) / 2) ** 2 + ((y[0] - y[1]) / 2) ** 2;
    const doubt = Math.max(0, width + apart - 2 * card.target_sigma ** 2);
    const error = Math.sqrt(doubt + card.surest ** 2);
    const confidence = 1 - Math.exp(-((card.tolerance / error) ** 2));
    return { name, x: (x[0] + x[1]) / 2, y: (y[0] + y[1]) / 2, error, confidence };
  });
}

// The same keypoints in pixels of the photo, where the middle of the first pixel is 0.
export function toPhoto(keypoints, { left, top, side }, size) {
  const scale = side / size;
  const place = (at, edge) => (at + 0.5) * scale + edge - 0.5;
  return keypoints.map((k) => ({ ...k, x: place(k.x, left), y: place(k.y, top), error: k.error * scale }));
}

// COCO's compressed run lengths in the browser: decoded, and painted.

export function runLengths({ counts }) {
  const runs = [];
  for (let place = 0; place < counts.length;) {
    let value = 0, shift = 0, group;
    do {
      group = counts.charCodeAt(place++) - 48;
      value |= (group & 31) << shift;
      shift += 5;
    } while (group & 32);
    if (group & 16) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

// Whether each pixel of the box belongs to the mask: Uint8Array [height * width], row by row.
export function pixelsInBox({ mask, box }) {
  const [y1, x1, y2, x2] = box, [height] = mask.size, width = x2 - x1;
  const pixels = new Uint8Array((y2 - y1) * width);
  let start = 0;
  runLengths(mask).forEach((run, index) => {
    if (index % 2) {
      for (let at = start; at < start + run; at++) {
        const x = Math.floor(at / height), y = at % height;
        if (x >= x1 && x < x2 && y >= y1 && y < y2) pixels[(y - y1) * width + x - x1] = 1;
      }
    }
    start += run;
  });
  return pixels;
}

export function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  return canvas;
}

// The mask in a colour [r, g, b] with its edge, scaled, as a canvas of its box.
export function paintedMask(instance, scale, [red, green, blue]) {
  const [y1, x1, y2, x2] = instance.box, columns = x2 - x1, rows = y2 - y1;
  const pixels = instance.mask ? pixelsInBox(instance) : new Uint8Array(columns * rows).fill(1);
  const canvas = canvasOf(columns * scale, rows * scale), { width, height } = canvas;
  const picture = new ImageData(width, height);
  // With a border of one pixel that is off, so that every pixel has four neighbours.
  const line = width + 2, on = new Uint8Array(line * (height + 2));
  for (let y = 0; y < height; y++) {
    const from = Math.min(rows - 1, Math.floor((y + .5) * rows / height)) * columns;
    for (let x = 0; x < width; x++) {
      const column = Math.min(columns - 1, Math.floor((x + .5) * columns / width));
      on[(y + 1) * line + x + 1] = pixels[from + column];
    }
  }
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const here = (y + 1) * line + x + 1;
      const around = on[here - 1] + on[here + 1] + on[here - line] + on[here + line];
      if (!on[here]) {
        if (around) picture.data[at + 3] = 190; // black, so that the edge is seen on any colour
        continue;
      }
      picture.data[at] = red;
      picture.data[at + 1] = green;
      picture.data[at + 2] = blue;
      picture.data[at + 3] = around === 4 ? 115 : 255;
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

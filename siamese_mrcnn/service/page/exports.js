// What was found as files: COCO JSON, CSV, and ZIP archives of PNG pictures.
import { canvasOf, pixelsInBox } from "./masks.js";

export const exporters = { coco: cocoJson, csv: table, masks: maskPictures, cutouts };

// `found` is a list of {photo: {name, bitmap()}, result, instances} that are to be written.
async function cocoJson(found) {
  const names = [...new Set(found.flatMap((each) => each.instances.map((one) => one.name)))];
  const annotations = found.flatMap((each, image) => each.instances.map((one) => ({
    image_id: image + 1, category_id: names.indexOf(one.name) + 1, iscrowd: 0, score: one.score,
    bbox: [one.box[1], one.box[0], one.box[3] - one.box[1], one.box[2] - one.box[0]],
    area: one.area, segmentation: one.mask,
  })));
  const content = {
    images: found.map(({ photo, result }, image) => (
      { id: image + 1, file_name: photo.name, height: result.height, width: result.width })),
    annotations: annotations.map((each, index) => ({ id: index + 1, ...each })),
    categories: names.map((name, index) => ({ id: index + 1, name })),
  };
  return ["found.json", new Blob([JSON.stringify(content, null, 1)], { type: "application/json" })];
}

async function table(found) {
  const cell = (value) => typeof value === "number" ? value
    : `"${(/^[=+\-@\t\r]/.test(value) ? "'" : "") + value.replaceAll('"', '""')}"`;
  const rows = found.flatMap((each) => each.instances.map((one) => (
    [each.photo.name, one.name, Number(one.score.toFixed(4)), ...one.box, one.area])));
  const lines = [["image", "name", "score", "y1", "x1", "y2", "x2", "area"], ...rows];
  const text = lines.map((row) => row.map(cell).join(",")).join("\r\n");
  return ["found.csv", new Blob([text], { type: "text/csv" })];
}

async function maskPictures(found) {
  return ["masks.zip", await archiveOf(found, ({ result }, one) => {
    const canvas = canvasOf(result.width, result.height), pen = canvas.getContext("2d");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(stencil(one), one.box[1], one.box[0]);
    return canvas;
  })];
}

async function cutouts(found) {
  return ["cut-outs.zip", await archiveOf(found, ({ result }, one, bitmap) => {
    const [y1, x1, y2, x2] = one.box, canvas = stencil(one), pen = canvas.getContext("2d");
    const across = bitmap.width / result.width, down = bitmap.height / result.height;
    pen.globalCompositeOperation = "source-in";
    pen.drawImage(bitmap, x1 * across, y1 * down, (x2 - x1) * across, (y2 - y1) * down,
      0, 0, x2 - x1, y2 - y1);
    return canvas;
  })];
}

// A canvas of the box, white where the mask is and clear elsewhere.
function stencil(one) {
  const [y1, x1, y2, x2] = one.box, canvas = canvasOf(x2 - x1, y2 - y1);
  const picture = new ImageData(canvas.width, canvas.height);
  const pixels = one.mask ? pixelsInBox(one) : new Uint8Array(picture.data.length / 4).fill(1);
  pixels.forEach((on, at) => on && picture.data.set([255, 255, 255, 255], at * 4));
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

async function archiveOf(found, draw) {
  const files = [];
  for (const [number, each] of found.entries()) {
    const bitmap = await each.photo.bitmap();
    const stem = each.photo.name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N} _-]/gu, "_");
    for (const [index, one] of each.instances.entries()) {
      const blob = await new Promise((done) => draw(each, one, bitmap).toBlob(done, "image/png"));
      const name = `${String(number + 1).padStart(3, "0")}_${stem}_${index + 1}.png`;
      files.push([name, new Uint8Array(await blob.arrayBuffer())]);
    }
    bitmap.close();
  }
  return zip(files);
}

// A ZIP archive without compression, which PNG does not need.
function zip(files) {
  const parts = [], entries = [];
  let offset = 0;
  for (const [name, data] of files) {
    const title = new TextEncoder().encode(name), about = new DataView(new ArrayBuffer(26));
    about.setUint16(0, 20, true);
    about.setUint16(2, 0x0800, true); // names are UTF-8
    about.setUint16(8, 0x21, true); // 1 January 1980, as nothing here depends on the clock
    about.setUint32(10, crc32(data), true);
    about.setUint32(14, data.length, true);
    about.setUint32(18, data.length, true);
    about.setUint16(22, title.length, true);
    parts.push(number(0x04034b50), about.buffer, title, data);
    const tail = new DataView(new ArrayBuffer(14));
    tail.setUint32(10, offset, true);
    entries.push(number(0x02014b50), new Uint8Array([20, 0]), about.buffer, tail.buffer, title);
    offset += 30 + title.length + data.length;
  }
  const length = entries.reduce((sum, part) => sum + part.byteLength, 0);
  const end = new DataView(new ArrayBuffer(18));
  end.setUint16(4, files.length, true);
  end.setUint16(6, files.length, true);
  end.setUint32(8, length, true);
  end.setUint32(12, offset, true);
  return new Blob([...parts, ...entries, number(0x06054b50), end.buffer], { type: "application/zip" });
}

function number(value) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value, true);
  return view.buffer;
}

function crc32(data) {
  let crc = -1;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

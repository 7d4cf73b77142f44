// A photo on a canvas in which boxes are drawn, by mouse, finger or keys.

const LEAST = 4; // pixels of the photo that a box must have on each side

export class BoxCanvas {
  // `taken(box)` is called with [y1, x1, y2, x2] in pixels of the photo.
  constructor(canvas, taken) {
    Object.assign(this, { canvas, taken, bitmap: null, boxes: [], draft: null, start: null });
    canvas.addEventListener("pointerdown", (event) => {
      this.start = this.place(event);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => this.start && this.stretch(this.place(event)));
    canvas.addEventListener("pointerup", (event) => {
      if (this.start) this.stretch(this.place(event));
      this.start = null;
      this.finish();
    });
    canvas.addEventListener("pointercancel", () => {
      this.start = this.draft = null;
      this.draw();
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // Boxes that say what the thing is not have a property `no`.
  show(bitmap, boxes) {
    Object.assign(this, { bitmap, boxes, draft: null });
    const scale = Math.min(1, 1600 / Math.max(bitmap.width, bitmap.height));
    this.canvas.width = Math.max(1, bitmap.width * scale);
    this.canvas.height = Math.max(1, bitmap.height * scale);
    this.draw();
  }

  place(event) {
    const frame = this.canvas.getBoundingClientRect(), { width, height } = this.bitmap;
    const within = (value, most) => Math.round(Math.min(most, Math.max(0, value)));
    return [within((event.clientY - frame.top) / frame.height * height, height),
      within((event.clientX - frame.left) / frame.width * width, width)];
  }

  stretch([y, x]) {
    const [top, left] = this.start;
    this.draft = [Math.min(y, top), Math.min(x, left), Math.max(y, top), Math.max(x, left)];
    this.draw();
  }

  finish() {
    const box = this.draft;
    this.draft = null;
    if (box && box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST) this.taken(box);
    this.draw();
  }

  key(event) {
    const { width, height } = this.bitmap, step = Math.max(1, Math.round(Math.max(width, height) / 100));
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [];
    if (event.key === "Enter" && this.draft) this.finish();
    else if (event.key === "Enter") {
      this.draft = [height * .35, width * .35, height * .65, width * .65].map(Math.round);
    } else if (event.key === "Escape") this.draft = null;
    else if (down !== undefined && this.draft) {
      let [y1, x1, y2, x2] = this.draft;
      if (!event.shiftKey) {
        y1 += down * step;
        x1 += right * step;
      }
      y2 += down * step;
      x2 += right * step;
      const fits = y1 >= 0 && x1 >= 0 && y2 <= height && x2 <= width;
      if (fits && y2 - y1 >= LEAST && x2 - x1 >= LEAST) this.draft = [y1, x1, y2, x2];
    } else return;
    event.preventDefault();
    this.draw();
  }

  draw() {
    if (!this.bitmap) return;
    const pen = this.canvas.getContext("2d"), scale = this.canvas.width / this.bitmap.width;
    pen.drawImage(this.bitmap, 0, 0, this.canvas.width, this.canvas.height);
    const shown = this.canvas.getBoundingClientRect().width || this.canvas.width;
    const line = this.canvas.width / shown * 2.5;
    for (const box of [...this.boxes, ...this.draft ? [this.draft] : []]) {
      const [y1, x1, y2, x2] = box.map((side) => side * scale);
      for (const [width, colour] of [[line * 2, "#000a"], [line, box.no ? "#ff6b6b" : "#ffd23f"]]) {
        pen.lineWidth = width;
        pen.strokeStyle = colour;
        pen.setLineDash(box === this.draft ? [line * 4, line * 2] : []);
        pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
      }
    }
  }
}

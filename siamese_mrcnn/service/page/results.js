// The gallery of results, and one of them large. What counts is above the threshold and not hidden.
import { canvasOf, paintedMask } from "./masks.js";

const THUMBNAIL = 360, LARGE = 1600; // pixels of the longer side
const $ = (id) => document.getElementById(id);

export class Results {
  // `colourOf(name)` gives [r, g, b]; `choose(photo, box, no)` takes a found thing as the
  // reference, or as what the thing is not.
  constructor(colourOf, choose) {
    Object.assign(this, { colourOf, choose, all: [], failed: 0, threshold: .5, open: null });
    $("threshold").addEventListener("input", (event) => this.setThreshold(event.target.valueAsNumber));
    $("close").addEventListener("click", () => $("large").close());
    $("large").addEventListener("close", () => { this.open = null; });
    $("before").addEventListener("click", () => this.step(-1));
    $("after").addEventListener("click", () => this.step(1));
    $("large").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && event.target.type !== "range") this.step(step);
    });
    $("large-canvas").addEventListener("click", (event) => this.clickLarge(event));
  }

  clear(threshold) {
    Object.assign(this, { all: [], failed: 0 });
    $("gallery").replaceChildren();
    $("threshold").value = threshold;
    this.setThreshold(threshold);
  }

  setThreshold(threshold) {
    this.threshold = threshold;
    $("level").value = threshold.toFixed(2);
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.arrange();
      if (this.open) this.drawLarge();
    });
  }

  async add(photo, result) {
    const whole = await photo.bitmap();
    const scale = Math.min(1, THUMBNAIL / Math.max(result.width, result.height));
    const thumbnail = canvasOf(result.width * scale, result.height * scale);
    thumbnail.getContext("2d").drawImage(whole, 0, 0, thumbnail.width, thumbnail.height);
    whole.close();
    const card = document.createElement("button");
    card.innerHTML = "<canvas></canvas><span><b></b><i></i></span>";
    card.querySelector("b").textContent = photo.name;
    const canvas = card.querySelector("canvas");
    Object.assign(canvas, { width: thumbnail.width, height: thumbnail.height });
    const entry = { photo, result, thumbnail, scale, card, canvas, masks: new Map(), hidden: new Set() };
    entry.best = Math.max(0, ...Object.values(result.presence));
    card.addEventListener("click", () => this.enlarge(entry));
    this.all.push(entry);
    this.all.sort((one, other) => other.best - one.best);
    this.arrange();
  }

  shown(entry) {
    return entry.result.instances.filter(
      (one) => one.score >= this.threshold && !entry.hidden.has(one));
  }

  // What is to be exported, best first.
  chosen() {
    return this.all.map((entry) => ({ photo: entry.photo, result: entry.result, instances: this.shown(entry) }))
      .filter((each) => each.instances.length);
  }

  arrange() {
    const found = [], missing = [];
    let count = 0;
    for (const entry of this.all) {
      const shown = this.shown(entry);
      const isFound = entry.result.instances.some((one) => one.score >= this.threshold);
      (isFound ? found : missing).push(entry);
      if (!isFound) continue;
      count += shown.length;
      if (entry.drawn?.length !== shown.length || shown.some((one, at) => entry.drawn[at] !== one)) {
        this.draw(entry, shown);
        entry.drawn = shown;
      }
      const words = `${shown.length} · ${shown.length ? shown[0].score.toFixed(2) : "hidden"}`;
      entry.card.querySelector("i").textContent = words;
      entry.card.setAttribute("aria-label", `${entry.photo.name}: ${shown.length} found`);
    }
    const cards = found.map((entry) => entry.card), gallery = $("gallery");
    if (cards.length !== gallery.children.length || cards.some((card, at) => gallery.children[at] !== card)) {
      gallery.replaceChildren(...cards);
    }
    const total = this.all.length, none = `not found in ${missing.length} of ${total}`;
    $("tools").hidden = !total;
    $("hint").hidden = total > 0;
    $("summary").textContent = total ? `${count} found, ${none}` : "";
    $("missing").hidden = !missing.length;
    $("missing").querySelector("summary").textContent = none[0].toUpperCase() + none.slice(1);
    $("missing").querySelector("ul").replaceChildren(...missing.map((entry) => {
      const item = document.createElement("li");
      item.textContent = `${entry.photo.name} (best ${entry.best.toFixed(2)})`;
      return item;
    }));
    for (const button of document.querySelectorAll("[data-export]")) button.disabled = !count;
  }

  draw(entry, shown) {
    const pen = entry.canvas.getContext("2d");
    pen.drawImage(entry.thumbnail, 0, 0);
    for (const one of shown.toReversed()) {
      if (!entry.masks.has(one)) {
        entry.masks.set(one, paintedMask(one, entry.scale, this.colourOf(one.name)));
      }
      pen.drawImage(entry.masks.get(one), one.box[1] * entry.scale, one.box[0] * entry.scale);
    }
  }

  async enlarge(entry) {
    const { photo, result } = entry;
    const whole = await photo.bitmap(), scale = Math.min(1, LARGE / Math.max(result.width, result.height));
    this.open = { entry, whole, scale: Math.max(scale, Math.min(3, 600 / Math.max(result.width, result.height))) };
    $("large-name").textContent = photo.name;
    Object.assign($("large-canvas"), {
      width: result.width * this.open.scale, height: result.height * this.open.scale });
    this.open.masks = new Map();
    this.drawLarge();
    if (!$("large").open) $("large").showModal();
  }

  step(by) {
    const cards = [...$("gallery").children], entry = this.open?.entry;
    const next = cards[cards.indexOf(entry?.card) + by];
    if (next) this.enlarge(this.all.find((each) => each.card === next));
  }

  drawLarge() {
    const { entry, whole, scale, masks } = this.open, canvas = $("large-canvas"), pen = canvas.getContext("2d");
    pen.drawImage(whole, 0, 0, canvas.width, canvas.height);
    for (const one of this.shown(entry).reverse()) {
      if (!masks.has(one)) masks.set(one, paintedMask(one, scale, this.colourOf(one.name)));
      pen.drawImage(masks.get(one), one.box[1] * scale, one.box[0] * scale);
    }
    const listed = entry.result.instances.filter((one) => one.score >= this.threshold);
    if (this.open.listed?.length !== listed.length) {
      this.open.listed = listed;
      $("instances").replaceChildren(...listed.map((one, at) => this.row(entry, one, at)));
    }
  }

  row(entry, one, at) {
    const item = document.createElement("li");
    item.innerHTML = '<label><input type="checkbox"> <span></span></label><button>Find this</button><button>Not this</button>';
    item.style.setProperty("--tone", `rgb(${this.colourOf(one.name).join()})`);
    const several = Object.keys(entry.result.presence).length > 1;
    item.querySelector("span").textContent = `${at + 1}. ${several ? one.name : ""} ${one.score.toFixed(2)}`;
    const box = item.querySelector("input");
    box.checked = !entry.hidden.has(one);
    box.addEventListener("change", () => {
      if (box.checked) entry.hidden.delete(one);
      else entry.hidden.add(one);
      this.drawLarge();
      this.arrange();
    });
    const words = ["Find things like", "Leave out things like"];
    item.querySelectorAll("button").forEach((button, no) => {
      button.setAttribute("aria-label", `${words[no]} number ${at + 1}`);
      button.addEventListener("click", () => {
        $("large").close();
        this.choose(entry.photo, one.box, Boolean(no));
      });
    });
    return item;
  }

  // A click into the large photo leads to the row of what is there.
  clickLarge(event) {
    const frame = event.target.getBoundingClientRect(), { entry, listed } = this.open;
    const x = (event.clientX - frame.left) / frame.width * entry.result.width;
    const y = (event.clientY - frame.top) / frame.height * entry.result.height;
    const at = listed.findIndex(({ box }) => y >= box[0] && x >= box[1] && y < box[2] && x < box[3]);
    [...$("instances").children].forEach((item, index) => item.classList.toggle("chosen", index === at));
    $("instances").children[at]?.querySelector("button").focus();
  }
}

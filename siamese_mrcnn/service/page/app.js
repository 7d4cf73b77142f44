// The page: what to find, where to look, and the search itself. State lives here, and is not kept.
import { BoxCanvas } from "./boxes.js";
import { exporters } from "./exports.js";
import { canvasOf } from "./masks.js";
import { Results } from "./results.js";
import { Refusal, blob, call, form, json, setToken } from "./service.js";

const AT_ONCE = 3; // photos that are searched at once
const INLINE = "reference"; // the service's name for what the boxes show
const COLOURS = [[255, 196, 0], [0, 170, 255], [255, 80, 120], [60, 205, 90], [190, 120, 255],
  [255, 130, 30], [0, 205, 190], [230, 90, 220]];
const $ = (id) => document.getElementById(id);

let health, offered = [], example = null, running = null, source = null;
let shots = [], library = [], photos = [];
const ticked = new Set(), refused = new Set(); // names of the library to find, and not to find

const colourOf = (name) => name === INLINE ? COLOURS[0]
  : COLOURS[1 + Math.max(0, library.findIndex((each) => each.name === name)) % (COLOURS.length - 1)];
const tone = (name) => `rgb(${colourOf(name).join()})`;
const results = new Results(colourOf, takeFound);
const canvas = new BoxCanvas($("canvas"), (box) => addShot(box));

function tell(error) {
  if (error?.status === 401) $("login").hidden = false;
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
}

// Runs what a user asked for, and tells what goes wrong.
const handled = (action) => async (...given) => {
  tell(null);
  try {
    await action(...given);
  } catch (error) {
    tell(error instanceof Refusal || error.shown ? error : new Error(`The page has a fault: ${error.message}`));
  }
};

function sayThat(text) {
  return Object.assign(new Error(text), { shown: true });
}

async function bitmapOf(file, name) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw sayThat(`${name} is no picture that this browser shows. JPEG, PNG and WebP are.`);
  }
}

const ofFile = (file) => (
  { name: file.name, field: ["images", file, file.name], bitmap: () => bitmapOf(file, file.name) });
const ofService = ({ id, name }) => (
  { name, field: ["photos", id], bitmap: async () => bitmapOf(await blob(`/api/photos/${id}`), name) });

// --- what to find -------------------------------------------------------------------------------

async function openReference(photo) {
  source?.bitmap.close();
  source = { photo, bitmap: await photo.bitmap() };
  $("frame").classList.add("full");
  $("canvas").hidden = false;
  drawReference();
}

function drawReference() {
  const own = shots.filter((each) => each.photo === source?.photo);
  if (source) canvas.show(source.bitmap, own.map(({ box, no }) => Object.assign([...box], { no })));
}

const addShot = handled(async (box, no = false) => {
  const most = health.limits.shots;
  if (ofKind(no).length >= most) throw sayThat(`${most} boxes show a thing at most. Remove one.`);
  const [y1, x1, y2, x2] = box, crop = canvasOf(x2 - x1, y2 - y1);
  crop.getContext("2d").drawImage(source.bitmap, x1, y1, x2 - x1, y2 - y1, 0, 0, x2 - x1, y2 - y1);
  const file = await new Promise((done) => crop.toBlob(done, "image/png"));
  shots.push({ photo: source.photo, box, no, file, url: crop.toDataURL() });
  showShots();
});

function showShots() {
  $("shots").replaceChildren(...shots.map((shot, at) => {
    const item = document.createElement("li");
    item.innerHTML = '<img><button>Not this</button><button class="remove">×</button>';
    item.classList.toggle("no", shot.no);
    item.style.setProperty("--tone", tone(INLINE));
    Object.assign(item.querySelector("img"), { src: shot.url, alt: `Box ${at + 1}` });
    const [not, remove] = item.querySelectorAll("button");
    not.setAttribute("aria-pressed", shot.no);
    not.setAttribute("aria-label", `Box ${at + 1} shows what it is not`);
    not.addEventListener("click", handled(async () => {
      shot.no = !shot.no;
      showShots();
      $("shots").children[at].querySelector("button").focus();
    }));
    remove.setAttribute("aria-label", `Remove box ${at + 1}`);
    remove.addEventListener("click", () => {
      shots = shots.filter((each) => each !== shot);
      showShots();
    });
    return item;
  }));
  $("keep").hidden = !ofKind(false).length;
  drawReference();
  refresh();
}

const ofKind = (no) => shots.filter((shot) => shot.no === no);
const crops = (field, no = false) => ofKind(no).map((shot, at) => [field, shot.file, `box ${at + 1}.png`]);

async function takeFound(photo, box, no = false) {
  await handled(async () => {
    if (!no) {
      shots = [];
      for (const name of [...ticked, ...refused]) mark(name, null);
      showLibrary();
    }
    await openReference(photo);
    await addShot(box, no);
    $("status").textContent = no ? "Such things will be left out. Search again."
      : "The found thing is the reference now.";
    $("search").focus();
  })();
}

// --- the library --------------------------------------------------------------------------------

// Whether a thing of the library is to be found (true), left out (false) or neither (null).
function mark(name, wanted) {
  for (const [names, value] of [[ticked, true], [refused, false]]) {
    if (wanted === value) names.add(name);
    else names.delete(name);
  }
}

async function loadLibrary() {
  const { references } = await json("/api/references");
  const before = new Map(library.map((each) => [each.name, each]));
  for (const each of references) {
    each.url = before.get(each.name)?.url || URL.createObjectURL(await blob(each.thumbnail));
  }
  library = references; // with its pictures, as it may be shown at any moment
  for (const name of [...ticked, ...refused]) {
    if (!library.some((each) => each.name === name)) mark(name, null);
  }
  showLibrary();
}

function showLibrary() {
  $("empty").hidden = library.length > 0;
  $("library").replaceChildren(...library.map(({ name, shots: count, url }) => {
    const item = document.createElement("li"), path = `/api/references/${encodeURIComponent(name)}`;
    item.innerHTML = '<label><input type="checkbox"><img alt=""><span></span></label><button>Not this</button><button>Rename</button><button>Delete</button>';
    item.querySelector("img").src = url;
    item.querySelector("span").textContent = count > 1 ? `${name} (${count})` : name;
    const box = item.querySelector("input"), [not, rename, remove] = item.querySelectorAll("button");
    const paint = () => {
      box.checked = ticked.has(name);
      not.setAttribute("aria-pressed", refused.has(name));
      item.classList.toggle("no", refused.has(name));
      item.style.setProperty("--tone", box.checked ? tone(name) : "");
      refresh();
    };
    box.addEventListener("change", () => {
      mark(name, box.checked || null);
      paint();
    });
    not.addEventListener("click", () => {
      mark(name, refused.has(name) ? null : false);
      paint();
    });
    paint();
    not.setAttribute("aria-label", `Leave out ${name}`);
    rename.setAttribute("aria-label", `Rename ${name}`);
    remove.setAttribute("aria-label", `Delete ${name}`);
    rename.addEventListener("click", handled(async () => {
      const chosen = prompt(`A new name for ${name}`, name);
      if (!chosen || chosen === name) return;
      await call(path, { method: "PATCH", body: form([["new_name", chosen]]) });
      await loadLibrary();
    }));
    remove.addEventListener("click", handled(async () => {
      if (!confirm(`Delete ${name} from the library?`)) return;
      await call(path, { method: "DELETE" });
      await loadLibrary();
    }));
    return item;
  }));
  refresh();
}

// --- where to look, and the search --------------------------------------------------------------

const searched = () => [...photos, ...$("offer").checked ? offered.map(ofService) : []];

function refresh() {
  const count = searched().length;
  $("added").hidden = !photos.length;
  $("added-text").textContent = `${photos.length} photos of yours`;
  $("search").disabled = running !== null || !count || !(ofKind(false).length || ticked.size);
  $("search").textContent = count ? `Search ${count} photos` : "Search";
}

function addPhotos(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/"));
  if (files.length && !pictures.length) throw sayThat("There is no picture among these files.");
  if (!photos.length && pictures.length) $("offer").checked = false;
  photos.push(...pictures.map(ofFile));
  refresh();
}

async function searchOne(photo, signal) {
  const body = form([photo.field, ...crops("references"), ...crops("not_references", true),
    ["threshold", "0"], ["tiles", $("tiles").checked],
    ...[...ticked].map((name) => ["names", name]), ...[...refused].map((name) => ["not", name])]);
  for (;;) {
    try {
      return await json("/api/search", { method: "POST", body, signal });
    } catch (error) {
      if (error.status !== 429) throw error;
      await new Promise((done) => setTimeout(done, 1000 * (error.wait || 2)));
    }
  }
}

async function search() {
  const waiting = searched(), total = waiting.length, failures = [];
  let done = 0;
  running = new AbortController();
  results.clear(health.threshold);
  refresh();
  if ($("results").getBoundingClientRect().top > innerHeight) $("results").scrollIntoView();
  for (const id of ["cancel", "progress"]) $(id).hidden = false;
  Object.assign($("progress"), { max: total, value: 0 });
  const work = async () => {
    while (waiting.length && !running.signal.aborted) {
      const photo = waiting.shift();
      try {
        const answer = await searchOne(photo, running.signal);
        await results.add(photo, answer.images[0]);
      } catch (error) {
        if (error.name === "AbortError") return;
        if (![413, 415, 422].includes(error.status) && !error.shown) throw error;
        failures.push(error.message);
      }
      $("progress").value = ++done;
      $("status").textContent = `${done} of ${total} searched`;
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (failures.length) throw sayThat(`${failures.length} of ${total} cannot be searched. ${failures[0]}`);
  } finally {
    if (running.signal.aborted) $("status").textContent = `Cancelled: ${done} of ${total} searched`;
    running.abort();
    running = null;
    for (const id of ["cancel", "progress"]) $(id).hidden = true;
    refresh();
  }
}

async function save(kind) {
  const [name, content] = await exporters[kind](results.chosen());
  const link = document.createElement("a");
  Object.assign(link, { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// --- what happens when --------------------------------------------------------------------------

function takesDrops(id, action) {
  const place = $(id), mark = (on) => (event) => {
    event.preventDefault();
    place.classList.toggle("over", on);
  };
  place.addEventListener("dragover", mark(true));
  place.addEventListener("dragleave", mark(false));
  place.addEventListener("drop", (event) => {
    mark(false)(event);
    action([...event.dataTransfer.files]);
  });
}

const openFirst = handled(async (files) => files.length && openReference(ofFile(files[0])));
const add = handled(async (files) => addPhotos(files));
takesDrops("frame", openFirst);
takesDrops("drop", add);
for (const [id, action] of [["photo", openFirst], ["photos", add], ["folder", add]]) {
  $(id).addEventListener("change", (event) => {
    action([...event.target.files]);
    event.target.value = "";
  });
}
const on = (id, kind, action) => $(id).addEventListener(kind, handled(action));
on("offer", "change", async () => refresh());
on("remove", "click", async () => {
  photos = [];
  refresh();
});
on("forget", "click", async () => {
  shots = [];
  showShots();
});
on("search", "click", search);
on("cancel", "click", async () => running?.abort());
on("example", "click", async () => {
  await takeFound(ofService(offered[Number(example.photo)]), example.box);
  $("offer").checked = true;
  await search();
});
on("login", "submit", async () => {
  setToken($("token").value);
  $("login").hidden = true;
  await load();
});
for (const id of ["login", "keep"]) $(id).addEventListener("submit", (event) => event.preventDefault());
on("keep", "submit", async () => {
  const name = $("name").value.trim();
  await call("/api/references", { method: "POST", body: form([["name", name], ...crops("images")]) });
  $("name").value = "";
  $("status").textContent = `${name} is in the library now.`;
  await loadLibrary();
});
for (const button of document.querySelectorAll("[data-export]")) {
  button.addEventListener("click", handled(() => save(button.dataset.export)));
}

async function load() {
  health = await json("/api/health");
  $("model").textContent = `Model ${health.model}`;
  ({ photos: offered, example } = await json("/api/photos"));
  $("offered").hidden = !offered.length;
  $("offer").checked = offered.length > 0;
  $("offer-text").textContent = `${offered.length} ${example ? "photos to try" : "photos of this service"}`;
  $("example").hidden = !example;
  await loadLibrary();
}

handled(load)();

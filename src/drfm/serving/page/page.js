"use strict";
// The search page. Text from the gallery is only ever set as text, never as markup.

const el = (id) => document.getElementById(id);
let about = null;
let now = null; // the search that is shown
let turn = 0; // so that an answer that comes late does not replace a newer one

function make(tag, attributes = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value !== null) node.setAttribute(name, value);
  }
  node.append(...inside);
  return node;
}

async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const wrong = Array.isArray(told.detail) ? told.detail.map((one) => `${one.loc.at(-1)}: ${one.msg}`).join("; ") : told.error;
  throw new Error(wrong || `The service answered ${answer.status}.`);
}

function show(node, text) {
  node.textContent = text;
  node.hidden = !text;
}

function list(node, lines) {
  node.replaceChildren(...lines.map((line) => make("li", {}, line)));
}

function count(number) {
  return number.toLocaleString("en");
}

function wrong(message) {
  show(el("error"), message);
  if (message) el("error").scrollIntoView({ block: "nearest" });
}

async function begin() {
  about = await ask("api/about");
  const cameras = about.cameras.length === 1 ? "1 camera" : `${about.cameras.length} cameras`;
  const place = about.gallery.replace(/\/+$/, "").split("/").at(-1);
  el("about").textContent = `Gallery “${place}”: ${count(about.images)} images${about.cameras.length ? `, ${cameras}` : ""}`;
  el("about").title = about.gallery;
  el("uncalibrated").hidden = about.calibrated;
  for (const camera of about.cameras) {
    const box = make("input", { type: "checkbox", name: "camera", value: camera });
    el("cameras").querySelector(".checks").append(make("label", {}, box, camera));
  }
  el("cameras").hidden = about.cameras.length < 2;
  el("persons").append(...about.persons.map((name) => make("option", { value: name })));
  el("person-label").hidden = !about.persons.length;
  el("tracks-label").hidden = !about.tracks;
  el("times").hidden = !about.timed;
  el("kept").textContent = about.keeps_queries ? ", and so is every crop" : "; your crop itself is not kept";
  list(el("licence"), about.licence.length ? about.licence : ["None is stated."]);
  list(el("notes"), about.calibration_notes);
  el("calibration").hidden = !about.calibration_notes.length;
}

function choices() {
  const given = new URLSearchParams();
  const zone = (text) => (text ? `${text}+00:00` : "");
  for (const [name, value] of new FormData(el("filters"))) {
    if (!String(value).trim()) continue;
    if (name === "one_per_track") given.append(name, "true");
    else if (name === "since" || name === "until") given.append(name, zone(value));
    else given.append(name, String(value).trim());
  }
  return given;
}

async function search(file) {
  const mine = ++turn;
  const given = choices();
  if (!file) given.append("query", now.query);
  document.body.classList.add("busy");
  wrong("");
  el("status").textContent = "Searching…";
  try {
    const body = file ? { method: "POST", body: file, headers: { "Content-Type": file.type || "application/octet-stream" } } : { method: "POST" };
    const told = await ask(`api/search?${given}`, body);
    if (mine === turn) answer(told, Boolean(file));
  } catch (error) {
    if (mine === turn) {
      el("status").textContent = now ? "The answer below is the one before." : "";
      wrong(error.message);
    }
  } finally {
    if (mine === turn) document.body.classList.remove("busy");
  }
}

function answer(told, fresh) {
  now = told;
  const address = `api/queries/${told.query}`;
  if (fresh) showQuery(told, address);
  const found = told.results.length;
  const filtered = Object.keys(told.filter).length ? " of those that fit the filters" : "";
  el("status").textContent = found ? `The ${count(found)} most similar images${filtered}, best first.`
    : filtered ? "No image fits the filters." : "The gallery is empty.";
  el("start").hidden = true;
  show(el("warning"), told.warning);
  el("read").hidden = !found;
  list(el("verdicts"), meaning(told));
  el("list").replaceChildren(...told.results.map(card));
  el("exports").hidden = el("personal").hidden = !found;
  el("csv").href = `${address}/export.csv`;
  el("json").href = `${address}/export.json`;
  el("again").disabled = false;
}

function meaning(told) {
  if (!told.calibrated || !about) return ["Not calibrated: for this model nobody measured which similarity means something."];
  const chance = (rate) => `at this size of crop, at most about 1 in ${count(Math.round(1 / rate))} images of other people is this similar`;
  const many = Math.round(about.rates.possible * about.images);
  const lines = [`Possible: ${chance(about.rates.possible)}` + (many ? `; among all ${count(about.images)} images expect ${count(many)} by chance.` : ".")];
  if (about.labelled) lines.push(`Likely: ${chance(about.rates.likely)}.`);
  else lines.push("These limits were found without labels, so that nothing is called likely. Trust them little.");
  return [...lines, "No evidence: the similarity says nothing."];
}

function showQuery(told, address) {
  const blurry = told.resolution === "lr";
  el("query").hidden = false;
  el("crop").src = `${address}/image`;
  el("size").textContent = `${told.width} × ${told.height} pixels; counts as ${blurry ? "blurry" : "sharp"}`;
  el("twin").src = `${address}/twin`;
  const network = about && about.super_resolution === "network";
  el("twin-name").textContent = blurry ? (network ? "Super-resolved" : "Enlarged") : "Made smaller";
  el("twin").alt = blurry ? "Your crop, enlarged; the detail is invented" : "Your crop, made smaller";
  el("twin-note").textContent = blurry ? "for the model; detail is invented" : "for the model";
  el("invented").hidden = !blurry;
  el("shape").hidden = told.width <= told.height;
}

function clock(time) {
  return time === null ? null : time.replace("T", " ").replace("+00:00", " UTC");
}

function card(hit) {
  const name = `image ${hit.rank}`;
  const frame = make("div", { class: "frame" });
  const picture = make("img", { src: `api/images/${hit.image}`, alt: `Gallery ${name}`, loading: "lazy" });
  picture.addEventListener("error", () => frame.replaceChildren(make("span", { class: "gone" }, "The file cannot be read: moved or deleted?")));
  frame.append(picture);
  const kind = { likely: "likely", possible: "possible" }[hit.verdict] || "none";
  const meta = make("p", { class: "meta" }, make("b", {}, hit.path.split("/").at(-1)));
  const known = [["camera", hit.camera], ["time", clock(hit.time)], ["person", hit.person], ["track", hit.track], ...Object.entries(hit.fields)];
  for (const [key, value] of known) if (value !== null) meta.append(make("br"), `${key} ${value}`);
  meta.title = hit.path;
  const marks = ["right", "wrong"].map((mark) => make("button", {
    type: "button", class: mark, "aria-pressed": "false", "aria-label": `${mark === "right" ? "Right" : "Wrong"}: ${name}`,
    onclick: () => setMark(item, hit, hit.mark === mark ? "none" : mark),
  }, mark === "right" ? "Right" : "Wrong"));
  const why = make("button", { type: "button", "aria-label": `Why: ${name}`, onclick: () => explain(hit) }, "Why");
  const item = make("li", { class: "hit", tabindex: "0", "aria-label": `${name}, similarity ${hit.similarity.toFixed(3)}, ${hit.verdict}` },
    frame,
    make("div", { class: "head" }, make("span", { class: "similarity" }, make("b", {}, `${hit.rank}.`), ` ${hit.similarity.toFixed(3)}`),
      make("span", { class: `verdict ${kind}` }, hit.verdict)),
    meta, make("div", { class: "acts" }, why, ...marks));
  item.addEventListener("keydown", (event) => key(event, item, hit));
  paint(item, hit.mark);
  return item;
}

function key(event, item, hit) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const next = { ArrowRight: "nextElementSibling", ArrowDown: "nextElementSibling", ArrowLeft: "previousElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const mark = { r: "right", w: "wrong" }[event.key.toLowerCase()];
  if (next) item[next]?.focus();
  else if (mark) setMark(item, hit, hit.mark === mark ? "none" : mark);
  else if (event.key.toLowerCase() === "y") explain(hit);
  else return;
  event.preventDefault();
}

function paint(item, mark) {
  item.classList.toggle("right", mark === "right");
  item.classList.toggle("wrong", mark === "wrong");
  for (const name of ["right", "wrong"]) item.querySelector(`button.${name}`).setAttribute("aria-pressed", String(mark === name));
}

async function setMark(item, hit, mark) {
  try {
    await ask(`api/queries/${now.query}/marks`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ image: hit.image, mark }),
    });
    hit.mark = mark;
    paint(item, mark);
    el("told").textContent = mark === "none" ? `Mark of image ${hit.rank} taken back.` : `Image ${hit.rank} marked ${mark}.`;
  } catch (error) {
    wrong(error.message);
  }
}

async function explain(hit) {
  const query = now.query;
  el("maps").replaceChildren();
  el("why-lead").hidden = !about.explains;
  el("why").showModal();
  if (!about.explains) {
    el("why-status").textContent = "This service runs an exported model, which has no explanation maps. They are there where the folder of the bundle is served.";
    return;
  }
  el("why-status").textContent = "Working…";
  try {
    const sides = await ask(`api/queries/${query}/why/${hit.image}`);
    el("why-status").textContent = "";
    el("maps").replaceChildren(side("Your crop", sides.query), side(`Image ${hit.rank}`, sides.match));
  } catch (error) {
    el("why-status").textContent = error.message;
  }
}

function side(title, views) {
  const box = make("div", { class: "side" }, make("h3", {}, title));
  for (const view of views) {
    const name = !view.made ? "as captured" : view.space === "hr" ? "enlarged, invented" : "made smaller";
    for (const [what, data] of [[name, view.image], ["what speaks for it", view.map]]) {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const source = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
      const picture = make("img", { src: source, alt: `${title}, ${name}${data === view.map ? ", with its map" : ""}` });
      picture.addEventListener("load", () => URL.revokeObjectURL(source));
      box.append(make("figure", {}, make("div", { class: "frame" }, picture), make("figcaption", {}, what)));
    }
  }
  return box;
}

function take(files) {
  const file = [...(files || [])].find((one) => one.type.startsWith("image/")) || (files || [])[0];
  if (file) search(file);
}

el("file").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => { event.preventDefault(); el("drop").classList.add("over"); });
document.addEventListener("dragleave", () => el("drop").classList.remove("over"));
document.addEventListener("drop", (event) => { event.preventDefault(); el("drop").classList.remove("over"); take(event.dataTransfer.files); });
el("filters").addEventListener("submit", (event) => { event.preventDefault(); if (now) search(null); });
el("to-law").addEventListener("click", () => { el("law").open = true; });
el("choice").open = matchMedia("(min-width: 52.01rem)").matches; // on a telephone the answer comes first
el("close").addEventListener("click", () => el("why").close());
begin().catch((error) => { el("about").textContent = "The gallery cannot be shown."; wrong(error.message); });

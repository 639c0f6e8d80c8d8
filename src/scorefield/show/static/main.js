// The page: settings, tabs, and what each of them does.

import { about as describe, compute, stop, unpacked } from "./api.js";
import { axes, extent, histogram, show, table, text } from "./plot.js";
import { Style, axesInWords, picture } from "./pictures.js";
import { Painting } from "./paint.js";
import { fillSettings, settings } from "./settings.js";

const $ = (id) => document.getElementById(id);
const view = { channel: 0, slice: 0, columns: [] };
const again = {}; // what draws each tab's pictures again
let about, running = null;

function status(panel, words, wrong = false) {
  const line = panel.querySelector(".status");
  line.textContent = words;
  line.classList.toggle("error", wrong);
  line.setAttribute("role", wrong ? "alert" : "status");
}

// Runs one computation, with the buttons that start others disabled; returns its event, or null.
async function run(panel, name, request, see = () => {}, file = null) {
  if (running) return null;
  running = new AbortController();
  const begun = performance.now(), stopper = panel.querySelector(".stop");
  document.querySelectorAll(".go, #base").forEach((button) => (button.disabled = true));
  stopper.hidden = false;
  panel.setAttribute("aria-busy", "true");
  status(panel, "Computing …");
  try {
    const event = await compute(name, request, (news) => {
      if (news.waiting && !panel.dataset.steps) {
        const work = news.waiting > 1 ? `, ${news.waiting.toLocaleString("en")} evaluations of the network` : "";
        status(panel, `Computing, ${Math.round((performance.now() - begun) / 1000)} s${work} …`);
      }
      see(news);
    }, file, running.signal);
    status(panel, [`Done in ${((performance.now() - begun) / 1000).toFixed(1)} s.`, ...(event.notes ?? [])].join(" "));
    return event;
  } catch (error) {
    status(panel, error.name === "AbortError" ? "Stopped." : error.message, error.name !== "AbortError");
    return null;
  } finally {
    running = null;
    delete panel.dataset.steps;
    stopper.hidden = true;
    panel.setAttribute("aria-busy", "false");
    document.querySelectorAll(".go, #base").forEach((button) => (button.disabled = false));
    $("density").disabled = !$("file").files.length;
  }
}

function steps(panel, news) {
  if (news.step === undefined) return;
  panel.dataset.steps = "yes";
  status(panel, `Step ${news.step} of ${news.steps} …`);
}

function shown(panel, canvas, values, style, options = {}) {
  const figure = canvas.closest("figure");
  figure.hidden = false;
  picture(canvas, values, style, options);
  const parts = [options.caption, axesInWords(about, view)].filter(Boolean);
  figure.querySelector("figcaption").textContent = parts.join(". ");
}

// ---- draw

const film = { frames: [], result: null, style: null };

function drawFrame(i) {
  const panel = $("panel-draw"), frame = film.frames[i], last = i >= film.frames.length;
  const values = last ? film.result.values.values : frame.values;
  // while samples are still drawn, the limits are those of what is there
  const style = film.style ?? new Style(about, values, view);
  shown(panel, $("draw-canvas"), values, style, { ticks: film.result?.ticks, caption: film.result ? `Drawn by ${film.result.sampling}` : "" });
  $("level").textContent = last ? "the samples" : `noise level ${text(frame.level)}, step ${frame.step} of ${frame.steps}`;
  $("frame").setAttribute("aria-valuetext", $("level").textContent);
}

async function draw() {
  const panel = $("panel-draw");
  let request;
  try { request = settings(); } catch (error) { return status(panel, error.message, true); }
  Object.assign(film, { frames: [], result: null, style: null });
  panel.querySelector(".film").hidden = panel.querySelector(".command").hidden = $("rows").hidden = true;
  const event = await run(panel, "draw", request, (news) => {
    if (news.command) $("command").textContent = news.command;
    if (!news.frame) return;
    film.frames.push({ ...news, values: unpacked(news.frame).values });
    steps(panel, news);
    drawFrame(film.frames.length - 1);
  });
  if (!event) return;
  film.result = { ...event.result, values: unpacked(event.result.values) };
  film.style = new Style(about, film.result.values.values, view);
  panel.querySelector(".film").hidden = panel.querySelector(".command").hidden = false;
  $("frame").max = film.frames.length;
  $("frame").value = film.frames.length;
  drawFrame(film.frames.length);
  again["panel-draw"] = () => drawFrame(Number($("frame").value));
  if (event.result.rows) rows($("rows"), event.result.rows);
}

function rows(details, lines) {
  details.hidden = false;
  table(details.querySelector("table"), about.columns.map((c) => c.name), lines);
}

let playing = 0;
function play() {
  if (playing) return pause();
  $("play").textContent = "Pause";
  if (Number($("frame").value) >= film.frames.length) $("frame").value = 0;
  const next = () => {
    drawFrame(Number($("frame").value));
    if (Number($("frame").value) >= film.frames.length) return pause();
    $("frame").value = Number($("frame").value) + 1;
    playing = setTimeout(next, 90);
  };
  next();
}
function pause() {
  clearTimeout(playing);
  playing = 0;
  $("play").textContent = "Play";
}

// ---- paint

let painting = null, completed = null;

function paintChanged() {
  painting.canvas.closest("figure").querySelector("figcaption").textContent = painting.said();
}

async function base() {
  const panel = $("panel-paint");
  let request;
  try { request = { ...settings(), seed: whole("base-seed"), count: 1 }; } catch (error) { return status(panel, error.message, true); }
  const event = await run(panel, "draw", request, (news) => steps(panel, news));
  if (!event) return;
  const { values } = unpacked(event.result.values), style = new Style(about, values, view);
  const [low, high] = extent(values), noise = Number((0.02 * (high - low)).toPrecision(2));
  if (!$("noise").value) $("noise").value = noise;
  $("ink").value = Number(((low + high) / 2).toPrecision(3));
  $("paint-canvas").closest("figure").hidden = false;
  painting ??= new Painting($("paint-canvas"), () => ({ mode: $("brush").value, size: $("size").value, ink: Number($("ink").value) }), paintChanged);
  painting.start(values, style);
  paintChanged();
  again["panel-paint"] = paintAgain;
  status(panel, "Paint what is unknown, then complete it.");
}

function paintAgain() {
  painting?.draw();
  completed?.();
}

async function complete() {
  const panel = $("panel-paint");
  if (!painting) await base();
  if (!painting) return;
  let request;
  try {
    request = { ...settings(), values: painting.known, noise: Number($("noise").value), method: $("method").value };
  } catch (error) { return status(panel, error.message, true); }
  const canvas = $("complete-canvas"), options = {};
  const look = (values, caption) => {
    const { names, all } = withMoments(values);
    shown(panel, canvas, all, new Style(about, [...painting.original, ...values], view), { names, caption });
  };
  const event = await run(panel, "complete", request, (news) => {
    steps(panel, news);
    if (news.frame) look(unpacked(news.frame).values, `Noise level ${text(news.level)}`);
  });
  if (!event) return;
  const { values } = unpacked(event.result.values);
  completed = () => look(values, `Drawn by ${event.result.sampling}; mean squared misfit ${text(event.result.misfit)} × the noise variance (1 is expected)`);
  completed();
}

// Completions of images, after their mean; signals as they are.
function withMoments(values) {
  const size = painting.values.length, count = values.length / size;
  if (about.kind === "signals" || count < 2) return { all: values, names: null };
  const mean = new Float64Array(size);
  for (let i = 0; i < values.length; i++) mean[i % size] += values[i] / count;
  const all = new Float64Array(size + values.length);
  all.set(mean);
  all.set(values, size);
  return { all, names: ["mean", ...Array.from({ length: count }, (_, i) => `sample ${i}`)] };
}

// ---- interpolate

async function between() {
  const panel = $("panel-between");
  let request;
  try {
    request = { ...settings(), seed: whole("seed-a"), other: whole("seed-b"), frames: whole("frames"), through: $("through").value };
  } catch (error) { return status(panel, error.message, true); }
  const event = await run(panel, "interpolate", request);
  if (!event) return;
  const { values } = unpacked(event.result.values), style = new Style(about, values, view), last = request.frames - 1;
  const names = Array.from({ length: last + 1 }, (_, i) => (i === 0 ? `seed ${request.seed}` : i === last ? `seed ${request.other}` : `${i} of ${last}`));
  const caption = about.kind === "table" || about.kind === "signals" ? `From seed ${request.seed} (grey) to seed ${request.other} (blue)` : "";
  again["panel-between"] = () => shown(panel, $("between-canvas"), values, style, { names, ticks: event.result.ticks, gradual: true, caption });
  again["panel-between"]();
  if (event.result.rows) rows($("between-rows"), event.result.rows);
}

// ---- log-density

async function density() {
  const panel = $("panel-density"), file = $("file").files[0];
  if (!file) return status(panel, "Choose a file first.", true);
  if (file.size > about.limits.upload) {
    return status(panel, `this page reads files of up to ${about.limits.upload.toLocaleString("en")} bytes: use scorefield logprob`, true);
  }
  let request;
  try { request = { ...settings(), ...precision(), name: file.name, key: $("key").value }; } catch (error) { return status(panel, error.message, true); }
  const command = panel.querySelector(".command");
  command.hidden = true;
  const event = await run(panel, "density", request, (news) => news.command && (command.firstChild.textContent = news.command), file);
  if (!event) return;
  command.hidden = false;
  const found = event.result, value = unpacked(found.value).values, error = unpacked(found.error).values;
  const mean = value.reduce((a, b) => a + b, 0) / value.length, middle = [...error].sort((a, b) => a - b)[error.length >> 1];
  const part = found.rows_of_file > value.length ? `first ${value.length} of ${found.rows_of_file} rows` : `${value.length} rows`;
  const caption = `${file.name}, ${part}: mean ${text(mean)} nats, ${text(mean / found.size)} a dimension; error ${text(middle)} nats (median)`;
  again["panel-density"] = () => {
    const canvas = $("density-canvas"), figure = canvas.closest("figure"), tall = (width) => Math.min(340, Math.max(220, width * 0.5));
    figure.hidden = false;
    figure.querySelector("figcaption").textContent = caption;
    canvas.setAttribute("aria-label", caption);
    show(canvas, tall, (context, width, theme) => {
      const x = { range: extent(value), title: "log-density (nats)" };
      histogram(context, [80, 8, width - 90, tall(width) - 56], value, x, { title: "rows" }, theme, Math.min(30, Math.max(5, Math.ceil(value.length / 4))));
    });
  };
  again["panel-density"]();
  const order = [...value.keys()].sort((a, b) => value[a] - value[b]).slice(0, 20);
  $("density-rows").hidden = false;
  table($("density-rows").querySelector("table"), ["row", "log-density (nats)", "error (nats)"], order.map((i) => [i, text(value[i]), text(error[i])]));
}

function precision() {
  const found = { rows: whole("density-count"), tolerance: Number($("tolerance").value) };
  return $("probes").value === "" ? found : { ...found, probes: whole("probes") };
}

function whole(id) {
  const field = $(id);
  if (!/^\d+$/.test(field.value)) throw new Error(`${field.labels[0].textContent.trim()} is a whole number from 0: correct it`);
  return Number(field.value);
}

// ---- tabs

const tabs = () => [...document.querySelectorAll("[role=tab]")].filter((tab) => !tab.hidden);

function select(tab) {
  for (const each of tabs()) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  const panel = tab.getAttribute("aria-controls");
  if (panel === "panel-report") openReport();
  again[panel]?.();
}

function openReport() {
  $("report").hidden = !about.report;
  $("no-report").hidden = about.report;
  $("no-report").textContent = `There is no report of this run yet: scorefield report ${about.name} writes one; then open this page again.`;
  if (about.report && !$("report").src) $("report").src = "report";
}

function tabKeys(event) {
  const all = tabs(), at = all.indexOf(document.activeElement), moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 };
  if (!(event.key in moves)) return;
  event.preventDefault();
  const next = all[(moves[event.key] + all.length) % all.length];
  next.focus();
  select(next);
}

function connect() {
  $("tabs").addEventListener("click", (event) => event.target.closest("[role=tab]") && select(event.target.closest("[role=tab]")));
  $("tabs").addEventListener("keydown", tabKeys);
  const current = () => document.querySelector("[role=tabpanel]:not([hidden]) .go");
  $("how").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("#how input, .tools input:not([type=file])")) current()?.click();
  });
  for (const [id, act] of Object.entries({ draw, play, base, complete, between, density })) $(id).addEventListener("click", act);
  document.querySelectorAll(".stop").forEach((button) => button.addEventListener("click", () => { running?.abort(); stop(); }));
  $("frame").addEventListener("input", () => { pause(); drawFrame(Number($("frame").value)); });
  $("copy").addEventListener("click", () => navigator.clipboard?.writeText($("command").textContent).then(() => ($("copy").textContent = "Copied")));
  $("hide-half").addEventListener("click", () => painting && (painting.hideHalf(), paintChanged()));
  $("reveal-all").addEventListener("click", () => painting && (painting.reveal(), paintChanged()));
  $("brush").addEventListener("change", () => ($("ink-field").hidden = $("brush").value !== "write"));
  $("file").addEventListener("change", () => ($("density").disabled = !$("file").files.length || Boolean(running)));
  const drop = $("drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) $("file").files = event.dataTransfer.files;
    $("file").dispatchEvent(new Event("change"));
  });
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault()); // a miss opens no file
}

async function begin() {
  about = await describe();
  const size = about.shape.join(" × ") || "single numbers", kinds = { table: "a table", signals: "signals", images: "fields or images", volumes: "volumes" };
  document.title = `${about.name} · scorefield`;
  $("name").textContent = about.name.replace(/[\\/]+$/, "").split(/[\\/]/).pop() || about.name;
  const columns = about.kind === "table" ? `${about.columns.length} columns` : size;
  $("facts").textContent = `A model of ${kinds[about.kind]} (${columns}, ${about.dtype}), drawn by ${about.sampling} with the process ${about.process}`;
  $("tab-paint").hidden = about.kind === "table";
  if (about.kind !== "table") [$("density-count").value, $("probes").value] = [8, 4];
  fillSettings(about, view, () => Object.values(again).forEach((draw) => draw()));
  if (matchMedia("(max-width: 820px)").matches) $("settings").open = false;
  connect();
  $("draw").focus({ preventScroll: true });
}

begin().catch((error) => {
  $("facts").textContent = `the model could not be read: ${error.message}`;
});

// The settings at the side: what every computation is asked with.

const $ = (id) => document.getElementById(id);
const SHOWN = 4; // columns of a scatter matrix
const LISTED = 60; // columns that can be given

const element = (tag, facts = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), facts);
  made.append(...children);
  return made;
};

// The settings as a request of the server; an Error says which cannot be read.
export function settings() {
  const request = { seed: whole("seed"), count: whole("count"), given: {} };
  if ($("steps").value) request.steps = whole("steps");
  for (const name of ["sampler", "schedule", "process"]) if ($(name).value.trim()) request[name] = $(name).value;
  for (const field of document.querySelectorAll("[data-given]")) if (field.value.trim()) request.given[field.dataset.given] = field.value;
  if (!$("guidance-field").hidden) request.guidance = Number($("guidance").value || 1);
  return request;
}

function whole(id) {
  const field = $(id);
  if (!/^\d+$/.test(field.value)) {
    $("settings").open = true;
    field.focus();
    throw new Error(`${field.labels[0].textContent.trim()} is a whole number: correct it`);
  }
  return Number(field.value);
}

// Makes the fields that this model has; `changed` is called when what is shown of samples changes.
export function fillSettings(about, view, changed) {
  for (const [name, list] of [["sampler", "samplers"], ["schedule", "schedules"], ["process", "processes"]]) {
    $(list).append(...about.names[name].map((value) => element("option", { value })));
  }
  $("count").max = about.limits.samples;
  $("count").value = Math.min(about.limits.samples, about.kind === "table" ? 300 : 16);
  fillGiven(about);
  fillView(about, view, changed);
}

function fillGiven(about) {
  const context = about.context, own = about.columns.slice(0, LISTED).map((c) => ({ ...c, own: true }));
  const fields = [...(context?.columns ?? []), ...own];
  $("given").hidden = !fields.length && !context?.refused;
  $("guidance-field").hidden = !context?.guided || !context.columns.length;
  const needed = context && !context.optional && context.columns.length ? "This model needs its context." : "";
  const more = about.columns.length > LISTED ? `The first ${LISTED} columns are listed.` : "";
  $("given-hint").textContent = [context?.refused, needed, more].filter(Boolean).join(" ");
  $("given-hint").hidden = !$("given-hint").textContent;
  $("given-fields").append(...fields.map((column) => {
    const field = column.levels?.length ? choices(column) : element("input", { placeholder: column.own ? "drawn" : "not given", spellcheck: false });
    field.dataset.given = column.name;
    return element("label", {}, column.name, field);
  }));
}

function choices(column) {
  const words = [["", column.own ? "drawn" : "not given"], ...column.levels.map((level) => [level, level])];
  if (column.missing) words.push(["NA", "missing"]);
  return element("select", {}, ...words.map(([value, label]) => element("option", { value, textContent: label })));
}

function fillView(about, view, changed) {
  const [channels, ...space] = about.inner, grid = about.kind !== "table";
  const many = grid && channels > 1 && !(about.kind === "images" && channels === 3);
  $("channel-field").hidden = !many;
  $("channel").max = channels - 1;
  $("slice-field").hidden = about.kind !== "volumes";
  if (about.kind === "volumes") $("slice").max = space[0] - 1;
  view.slice = about.kind === "volumes" ? space[0] >> 1 : 0;
  $("slice").value = view.slice;
  for (const name of ["channel", "slice"]) {
    $(name).addEventListener("input", () => {
      view[name] = Math.min(Number($(name).max), Math.max(0, Number($(name).value) || 0));
      changed();
    });
  }
  view.columns = about.columns.slice(0, 3).map((_, i) => i);
  $("columns").hidden = grid || about.columns.length < 2;
  $("view").hidden = !many && about.kind !== "volumes" && $("columns").hidden;
  if (!$("columns").hidden) fillColumns(about, view, changed);
}

function fillColumns(about, view, changed) {
  const boxes = about.columns.map((column, i) => element("input", { type: "checkbox", checked: i < 3, name: column.name }));
  const update = () => {
    view.columns = boxes.flatMap((box, i) => (box.checked ? [i] : []));
    const full = view.columns.length >= SHOWN;
    boxes.forEach((box) => (box.disabled = (full && !box.checked) || (view.columns.length === 1 && box.checked)));
  };
  boxes.forEach((box) => box.addEventListener("change", () => { update(); changed(); }));
  update();
  const lines = about.columns.map((column, i) => element("label", { className: "check" }, boxes[i], column.name));
  $("columns").append(element("p", { textContent: `Columns that are shown, up to ${SHOWN}:` }), ...lines);
}

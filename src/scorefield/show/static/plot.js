// Drawing on canvases: what all pictures share, axes, lines, histograms.

const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map(); // canvas -> the function that draws it again

// Draws now, and again whenever the width or the colours change. `paint` takes (context, width, colours) and has returned the height.
export function show(canvas, height, paint) {
  const draw = () => {
    const width = Math.floor(canvas.parentElement.clientWidth);
    if (!width) return;
    const own = Math.min(width, parseFloat(getComputedStyle(canvas).maxWidth) || width);
    const tall = Math.max(1, Math.round(height(own))), density = Math.max(1, Math.min(3, devicePixelRatio || 1));
    canvas.width = Math.round(own * density);
    canvas.height = Math.round(tall * density);
    canvas.style.height = `${tall}px`;
    const context = canvas.getContext("2d");
    context.scale(density, density);
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    paint(context, own, colours());
  };
  if (!drawn.has(canvas)) new ResizeObserver(() => drawn.get(canvas)()).observe(canvas.parentElement);
  drawn.set(canvas, draw);
  draw();
}

dark.addEventListener("change", () => drawn.forEach((draw) => draw()));

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "muted", "line", "real", "accent", "paper"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
  if (low > high) return [0, 1];
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

export function ticks(low, high, most = 5) {
  const raw = (high - low) / Math.max(1, most), power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

export function text(value) {
  if (!Number.isFinite(value)) return "missing";
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

export const titled = (name, unit) => (unit ? `${name} (${unit})` : name);

export function clipped(context, words, width) {
  if (context.measureText(words).width <= width) return words;
  let end = words.length;
  while (end > 1 && context.measureText(words.slice(0, end) + "…").width > width) end--;
  return words.slice(0, end) + "…";
}

// A rectangle with axes; returns the maps from values to pixels. `x` and `y` are {range, title, ticks?: [[value, text]]}.
export function axes(context, box, x, y, theme) {
  const [left, top, width, height] = box;
  const px = (v) => left + ((v - x.range[0]) / (x.range[1] - x.range[0])) * width;
  const py = (v) => top + height - ((v - y.range[0]) / (y.range[1] - y.range[0])) * height;
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.fillStyle = theme.muted;
  context.beginPath();
  context.moveTo(left, top + height + 0.5);
  context.lineTo(left + width, top + height + 0.5);
  context.stroke();
  const labels = (axis, most) => axis.ticks ?? ticks(...axis.range, most).map((v) => [v, text(v)]);
  if (x.title !== undefined) {
    context.textAlign = "center";
    context.textBaseline = "top";
    const marks = labels(x, Math.max(1, Math.floor(width / 60))), room = width / Math.max(1, marks.length);
    for (const [v, words] of marks) {
      const half = context.measureText(words).width / 2, at = Math.min(Math.max(px(v), left + Math.min(half, room / 2)), left + width);
      context.fillText(clipped(context, words, room), at, top + height + 6);
    }
    context.fillText(clipped(context, x.title, width), left + width / 2, top + height + 23);
  }
  if (y.title !== undefined) {
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const [v, words] of labels(y, Math.max(1, Math.floor(height / 34)))) {
      context.fillText(clipped(context, words, 58), left - 7, Math.min(Math.max(py(v), top + 6), top + height - 4));
    }
    context.save();
    context.translate(left - 66, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(clipped(context, y.title, height), 0, 0);
    context.restore();
  }
  return [px, py];
}

export function histogram(context, box, values, x, y, theme, bins = 24) {
  const [low, high] = x.range, counts = new Array(bins).fill(0);
  for (const v of values) if (v >= low && v <= high) counts[Math.min(bins - 1, Math.floor(((v - low) / (high - low)) * bins))]++;
  const top = Math.max(1, ...counts);
  const [px, py] = axes(context, box, x, { range: [0, top * 1.05], ...y }, theme);
  context.fillStyle = theme.accent;
  counts.forEach((count, i) => {
    if (!count) return;
    const a = px(low + ((high - low) * i) / bins), b = px(low + ((high - low) * (i + 1)) / bins);
    context.fillRect(a, py(count), Math.max(1, b - a - 1), py(0) - py(count));
  });
}

export function table(element, head, rows) {
  element.replaceChildren();
  const line = (cells, tag) => {
    const row = element.insertRow();
    for (const words of cells) {
      const cell = document.createElement(tag);
      if (tag === "th") cell.scope = "col";
      cell.textContent = words;
      row.append(cell);
    }
  };
  line(head, "th");
  for (const cells of rows) line(cells, "td");
}

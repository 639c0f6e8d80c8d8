// Pictures of samples: tiles of images, lines of signals, the scatter matrix of a table.

import { axes, clipped, extent, histogram, show, text, titled } from "./plot.js";

const ANCHORS = [[13, 18, 56], [36, 57, 152], [76, 125, 203], [165, 198, 221], [251, 243, 221]]; // as in the report

const shade = (share) => {
  if (!Number.isFinite(share)) return [0, 0, 0];
  const at = Math.min(3.9999, Math.max(0, share * 4)), i = Math.floor(at), f = at - i;
  return [0, 1, 2].map((c) => ANCHORS[i][c] + f * (ANCHORS[i + 1][c] - ANCHORS[i][c]));
};

// What is shown of samples of a model, and between which limits; `view` holds channel, slice and columns.
export class Style {
  constructor(about, values, view) {
    this.about = about;
    this.view = view;
    this.range = extent(values);
    const whole = about.bytes && this.range[1] > 127;
    this.colour = about.kind === "images" && about.inner[0] === 3 && (whole || (this.range[0] >= 0 && this.range[1] <= 1));
    if (whole) this.range = [0, 255];
    if (this.colour && !whole) this.range = [0, 1];
    this.columns = about.columns.map((_, i) => extent(column(values, about.inner[0], i)));
  }
}

const column = (values, width, i) => Float64Array.from({ length: values.length / width }, (_, row) => values[row * width + i]);

// The plane (H, W) of example n that is shown, as indices into its values.
export function plane(about, view) {
  const [channels, ...space] = about.inner, size = space.reduce((a, b) => a * b, 1);
  const [height, width] = space.length === 3 ? space.slice(1) : space.length === 2 ? space : [1, space[0]];
  const start = Math.min(view.channel, channels - 1) * size + (space.length === 3 ? Math.min(view.slice, space[0] - 1) * height * width : 0);
  return { height, width, start, size, total: channels * size, channels };
}

// One example as an ImageData; hidden pixels (NaN) are transparent.
function bitmap(values, offset, style) {
  const p = plane(style.about, style.view), [low, high] = style.range, image = new ImageData(p.width, p.height);
  for (let i = 0; i < p.width * p.height; i++) {
    const at = offset + p.start + i, share = (values[at] - low) / (high - low);
    const rgb = style.colour
      ? [0, 1, 2].map((c) => 255 * ((values[offset + c * p.size + i] - low) / (high - low)))
      : shade(share);
    image.data.set(rgb, 4 * i);
    image.data[4 * i + 3] = Number.isFinite(share) ? 255 : 0;
  }
  return image;
}

export function tile(context, values, offset, style, x, y, width, height) {
  const image = bitmap(values, offset, style), from = new OffscreenCanvas(image.width, image.height);
  from.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(from, x, y, width, height);
}

function tiles(canvas, values, style, names) {
  const p = plane(style.about, style.view), count = values.length / p.total, label = names ? 18 : 0, bar = style.colour ? 0 : 44;
  const layout = (width) => {
    const wish = Math.max(88, Math.min(150, p.width * 4)), columns = Math.min(count, Math.max(1, Math.floor((width + 6) / (wish + 6))));
    const side = Math.min((width - 6 * (columns - 1)) / columns, 200), tall = (side * p.height) / p.width;
    return { columns, side, tall, step: tall + label + 6, height: Math.ceil(count / columns) * (tall + label + 6) + bar };
  };
  show(canvas, (width) => layout(width).height, (context, width, theme) => {
    const { columns, side, tall, step, height } = layout(width);
    for (let n = 0; n < count; n++) {
      const x = (n % columns) * (side + 6), y = Math.floor(n / columns) * step;
      if (names) {
        context.fillStyle = theme.muted;
        context.textBaseline = "top";
        context.textAlign = "left";
        context.fillText(clipped(context, names[n], side), x, y);
      }
      tile(context, values, n * p.total, style, x, y + label, side, tall);
    }
    if (bar) colourBar(context, style, width, height - bar + 8, theme);
  });
}

function colourBar(context, style, width, y, theme) {
  const long = Math.min(240, width * 0.6), label = titled(style.about.label.name, style.about.label.unit);
  for (let i = 0; i < long; i++) {
    context.fillStyle = `rgb(${shade(i / long).map(Math.round).join(" ")})`;
    context.fillRect(i, y, 1.5, 9);
  }
  context.fillStyle = theme.muted;
  context.textBaseline = "top";
  context.textAlign = "left";
  context.fillText(text(style.range[0]), 0, y + 14);
  context.textAlign = "right";
  context.fillText(text(style.range[1]), long, y + 14);
  context.textAlign = "left";
  context.fillText(clipped(context, label, width - long - 12), long + 12, y - 1);
}

export const position = (about, i) => (about.axes[0].values ? about.axes[0].values[i] : i);

function lines(canvas, values, style, names, gradual) {
  const { about, view } = style, p = plane(about, view), count = values.length / p.total, axis = about.axes[0];
  show(canvas, (width) => Math.max(220, Math.min(400, width * 0.5)), (context, width, theme) => {
    const box = [80, 8, width - 88, Math.max(220, Math.min(400, width * 0.5)) - 56];
    const x = { range: extent([position(about, 0), position(about, p.width - 1)]), title: titled(axis.name, axis.unit) };
    const [px, py] = axes(context, box, x, { range: padded(style.range), title: titled(about.label.name, about.label.unit) }, theme);
    context.lineWidth = count > 12 ? 1 : 1.6;
    for (let n = 0; n < count; n++) {
      context.globalAlpha = gradual ? 1 : count > 40 ? 0.35 : 0.75;
      context.strokeStyle = gradual ? mixed(theme.real, theme.accent, n / Math.max(1, count - 1)) : theme.accent;
      context.beginPath();
      for (let i = 0; i < p.width; i++) context.lineTo(px(position(about, i)), py(values[n * p.total + p.start + i]));
      context.stroke();
    }
    context.globalAlpha = 1;
  });
}

const padded = ([low, high]) => [low - 0.04 * (high - low), high + 0.04 * (high - low)];

export const mixed = (a, b, share) => `color-mix(in srgb, ${b} ${Math.round(100 * share)}%, ${a})`;

// What one column looks like on an axis: categories by their level, dates by what they read.
function axisOf(about, style, ticks, i) {
  const { name, levels } = about.columns[i];
  if (levels?.length) return { range: [-0.5, levels.length - 0.5], title: name, ticks: levels.map((level, k) => [k, level]), spread: 0.3 };
  return { range: padded(style.columns[i]), title: name, ticks: ticks?.[i] ?? undefined, spread: 0 };
}

const jitter = (row) => ((row * 0.618034) % 1) - 0.5; // the same for every frame

function matrix(canvas, values, style, ticks, connected) {
  const { about } = style, width = about.inner[0], chosen = style.view.columns, count = values.length / width, k = chosen.length;
  const tall = (w) => (k === 1 ? Math.min(360, w * 0.6) : (w - 84) / k * k * Math.min(1, 640 / (w - 84))) + 52;
  show(canvas, tall, (context, w, theme) => {
    const cell = [(w - 88) / k, (tall(w) - 52) / k], sides = chosen.map((i) => axisOf(about, style, ticks, i));
    chosen.forEach((b, row) => chosen.forEach((a, place) => {
      if (place > row) return;
      const box = [80 + place * cell[0], 6 + row * cell[1], cell[0] - 12, cell[1] - 12];
      const x = { ...sides[place], title: row === k - 1 ? sides[place].title : undefined };
      if (a === b) {
        const bins = about.columns[a].levels?.length || 24, y = k === 1 ? { title: "samples" } : {};
        histogram(context, box, column(values, width, a), x, y, theme, bins);
        if (place === 0 && k > 1) turned(context, sides[row].title, box, theme);
        return;
      }
      points(context, box, x, { ...sides[row], title: place === 0 ? sides[row].title : undefined }, [values, width, a, b, count], theme, connected);
    }));
  });
}

function turned(context, words, [left, top, , height], theme) {
  context.save();
  context.fillStyle = theme.muted;
  context.translate(left - 66, top + height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(clipped(context, words, height), 0, 0);
  context.restore();
}

function points(context, box, x, y, [values, width, a, b, count], theme, connected) {
  const [px, py] = axes(context, box, x, y, theme), at = (row) => [
    px(values[row * width + a] + x.spread * jitter(row)),
    py(values[row * width + b] + y.spread * jitter(7 * row + 3)),
  ];
  context.save();
  context.beginPath();
  context.rect(box[0] - 3, box[1] - 3, box[2] + 6, box[3] + 6);
  context.clip();
  for (let row = 0; row < count; row++) {
    const [u, v] = at(row);
    context.fillStyle = connected ? mixed(theme.real, theme.accent, row / Math.max(1, count - 1)) : theme.accent;
    context.globalAlpha = connected ? 1 : count > 300 ? 0.4 : 0.75;
    context.beginPath();
    context.arc(u, v, connected ? 4 : count > 300 ? 1.8 : 2.6, 0, 7);
    context.fill();
  }
  context.restore();
}

// Draws samples as suits the data. `options`: names of tiles, ticks of columns, gradual: from the first to the last.
export function picture(canvas, values, style, options = {}) {
  const kind = style.about.kind;
  if (kind === "table") matrix(canvas, values, style, options.ticks, options.gradual);
  else if (kind === "signals") lines(canvas, values, style, options.names, options.gradual);
  else tiles(canvas, values, style, options.names);
  const count = values.length / style.about.inner.reduce((x, y) => x * y, 1);
  canvas.setAttribute("aria-label", options.said ?? `${count} samples, values from ${text(style.range[0])} to ${text(style.range[1])}`);
}

// What the axes of tiles are, in words; other pictures have theirs drawn.
export function axesInWords(about, view) {
  if (about.kind !== "images" && about.kind !== "volumes") return "";
  const [down, across] = about.axes.slice(-2).map((a) => titled(a.name, a.unit));
  const slice = about.kind === "volumes" ? `, slice ${view.slice} along ${about.axes[0].name}` : "";
  const named = down === across ? "" : `down: ${down}, across: ${across}`;
  return named + slice;
}

// Painting what is known of an example: a brush that hides, reveals or writes, by pointer and by keyboard.

import { axes, extent, show, text, titled } from "./plot.js";
import { plane, position, tile } from "./pictures.js";

export class Painting {
  // `options` gives the brush: {mode, size, ink}; `changed` is called after each stroke.
  constructor(canvas, options, changed) {
    this.canvas = canvas;
    this.options = options;
    this.changed = changed;
    this.cursor = null;
    canvas.addEventListener("pointerdown", (event) => this.#stroke(event, true));
    canvas.addEventListener("pointermove", (event) => this.#stroke(event, event.buttons > 0));
    canvas.addEventListener("pointerleave", () => this.#move(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#move(null));
  }

  // An example that is wholly known.
  start(values, style) {
    this.style = style;
    this.original = Float64Array.from(values);
    this.values = Float64Array.from(values);
    this.reveal();
  }

  reveal() {
    this.values.set(this.original);
    this.draw();
  }

  // Hides the lower half of an image, the later half of a signal.
  hideHalf() {
    const { height, width } = this.#plane(), flat = height === 1;
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) if (flat ? x >= width / 2 : y >= height / 2) this.#set(x, y, NaN);
    this.draw();
  }

  // What is known, flat, in the layout of networks; null where nothing is.
  get known() {
    return Array.from(this.values, (v) => (Number.isFinite(v) ? v : null));
  }

  get hidden() {
    return this.values.reduce((n, v) => n + !Number.isFinite(v), 0) / this.values.length;
  }

  #plane() {
    return plane(this.style.about, this.style.view);
  }

  // A pixel in all channels, and in all slices of a volume.
  #set(x, y, value) {
    const { height, width } = this.#plane(), layer = height * width;
    for (let at = y * width + x; at < this.values.length; at += layer)
      this.values[at] = value === undefined ? this.original[at] : value;
  }

  #paint(x, y) {
    const { height, width } = this.#plane(), { mode, size, ink } = this.options();
    const value = mode === "hide" ? NaN : mode === "reveal" ? undefined : ink, reach = (size - 1) / 2;
    const from = (at) => Math.ceil(at - reach - 0.5), to = (at) => Math.ceil(at + reach - 0.5);
    for (let v = Math.max(0, from(y)); v <= Math.min(height - 1, to(y)); v++)
      for (let u = Math.max(0, from(x)); u <= Math.min(width - 1, to(x)); u++) this.#set(u, v, value);
  }

  #stroke(event, down) {
    if (!this.style) return;
    const rect = this.canvas.getBoundingClientRect(), { height, width } = this.#plane(), signal = this.#signal();
    const share = (event.clientX - rect.left - (signal ? signal.left : 0)) / (signal ? signal.width : rect.width);
    const x = Math.floor(share * width), y = signal ? 0 : Math.floor(((event.clientY - rect.top) / rect.height) * height);
    if (event.type === "pointerdown") this.canvas.setPointerCapture(event.pointerId);
    if (down) this.#paint(Math.min(width - 1, Math.max(0, x)), Math.min(height - 1, Math.max(0, y)));
    this.#move([x, y]);
    if (down) this.changed();
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!this.style || !(event.key in moves || event.key === " " || event.key === "Enter")) return;
    event.preventDefault();
    const { height, width } = this.#plane(), [x, y] = this.cursor ?? [Math.floor(width / 2), Math.floor(height / 2)];
    const [dx, dy] = moves[event.key] ?? [0, 0];
    const next = [Math.min(width - 1, Math.max(0, x + dx)), Math.min(height - 1, Math.max(0, y + dy))];
    if (!moves[event.key] || event.shiftKey) this.#paint(...next);
    this.#move(next);
    this.changed();
  }

  #move(cursor) {
    this.cursor = cursor;
    if (this.style) this.draw();
  }

  #signal() {
    return this.style.about.kind === "signals" ? { left: 80, width: this.canvas.clientWidth - 88 } : null;
  }

  draw() {
    const p = this.#plane();
    if (this.#signal()) return this.#drawSignal(p);
    show(this.canvas, (width) => (width * p.height) / p.width, (context, width, theme) => {
      const unit = width / p.width;
      hatched(context, width, unit * p.height, theme);
      tile(context, this.values, 0, this.style, 0, 0, width, unit * p.height);
      if (!this.cursor) return;
      const size = Number(this.options().size), [x, y] = this.cursor, left = Math.ceil(x - (size - 1) / 2 - 0.5), top = Math.ceil(y - (size - 1) / 2 - 0.5);
      context.strokeStyle = theme.accent;
      context.lineWidth = 2;
      context.strokeRect(left * unit, top * unit, size * unit, size * unit);
    });
  }

  #drawSignal(p) {
    const { about, range } = this.style, axis = about.axes[0], shown = extent([...this.original, ...this.values]);
    const margin = 0.1 * (Math.max(range[1], shown[1]) - Math.min(range[0], shown[0]));
    show(this.canvas, () => 280, (context, width, theme) => {
      const x = { range: extent([position(about, 0), position(about, p.width - 1)]), title: titled(axis.name, axis.unit) };
      const y = { range: [Math.min(range[0], shown[0]) - margin, Math.max(range[1], shown[1]) + margin], title: titled(about.label.name, about.label.unit) };
      const [px, py] = axes(context, [80, 8, width - 88, 224], x, y, theme), step = (width - 88) / p.width;
      context.fillStyle = theme.line;
      context.lineWidth = 2;
      context.strokeStyle = theme.accent;
      context.beginPath();
      for (let i = 0, pen = false; i < p.width; i++) {
        const v = this.values[p.start + i];
        if (!Number.isFinite(v)) context.fillRect(Math.floor(80 + i * step), 8, Math.ceil(step) + 1, 224);
        else pen ? context.lineTo(px(position(about, i)), py(v)) : context.moveTo(px(position(about, i)), py(v));
        pen = Number.isFinite(v);
      }
      context.stroke();
      if (this.cursor) context.strokeRect(80 + this.cursor[0] * step, 9, Math.max(2, step), 222);
    });
  }

  // What is known, in words.
  said() {
    return `${Math.round(100 * this.hidden)} % hidden; values from ${text(this.style.range[0])} to ${text(this.style.range[1])}`;
  }
}

function hatched(context, width, height, theme) {
  context.fillStyle = theme.line;
  context.fillRect(0, 0, width, height);
  context.strokeStyle = theme.paper;
  context.lineWidth = 2;
  context.beginPath();
  for (let at = -height; at < width; at += 9) {
    context.moveTo(at, height);
    context.lineTo(at + height, 0);
  }
  context.stroke();
}

// Small tools to build elements and to draw a matrix in one hue, light to dark or dark to light.

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  // Text is only ever set as text: what stands in a sentence is never read as HTML.
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const RAMPS = {
  light: [[244, 246, 250], [196, 214, 238], [118, 160, 212], [44, 96, 164], [10, 36, 82]],
  dark: [[30, 35, 43], [34, 62, 94], [44, 106, 152], [104, 174, 206], [220, 242, 250]],
};

/** The colour of a share from 0 to 1: one hue whose lightness only rises or only falls. */
function colour(share) {
  const ramp = dark.matches ? RAMPS.dark : RAMPS.light;
  const place = Math.min(Math.max(share, 0), 1) * (ramp.length - 1), low = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[low].map((value, i) => Math.round(value + (ramp[low + 1][i] - value) * (place - low)));
}

function paint(weights, most) {
  const canvas = make("canvas", { width: Math.max(weights.columns, 1), height: Math.max(weights.rows, 1) });
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  weights.values.forEach((value, i) => image.data.set([...colour(most > 0 ? value / most : 0), 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

function largest(values) {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

function percent(value) {
  if (value >= 0.9995) return "100%";
  return value >= 0.1 ? `${(100 * value).toFixed(0)}%` : value >= 0.001 ? `${(100 * value).toFixed(1)}%` : "<0.1%";
}

function scale(most) {
  const steps = matrix(1, 60);
  steps.values.forEach((_, i) => { steps.values[i] = i / 59; });
  return make("div", { className: "scale" }, "0", paint(steps, 1), most.toFixed(2));
}

/** A matrix with its labels; `tell(row, column)` is called for the cell under the pointer, or without for none. */
function drawMatrix(weights, rows, columns, { tell, dots = [], width = 560, largestCell = 30 }) {
  const room = Math.min(width, document.documentElement.clientWidth - 150);
  const size = Math.max(9, Math.min(largestCell, Math.floor(room / Math.max(columns.length, 1))));
  const most = largest(weights.values), canvas = paint(weights, most);
  canvas.style.width = `${size * columns.length}px`;
  canvas.style.height = `${size * rows.length}px`;
  const top = make("div", { className: "top" }), side = make("div", { className: "side" });
  const plot = make("div", { className: "plot" }, canvas);
  const longest = Math.min(9, Math.max(...columns.map((each) => each.text.length), 1) * 0.62 + 0.6);
  top.style.height = `${longest * Math.min(size - 1, 13)}px`;
  columns.forEach((column, c) => {
    const label = make("span", { dir: "auto", className: column.mark ? "mark-token" : "" }, column.text);
    label.style.left = `${c * size}px`;
    top.append(label);
  });
  rows.forEach((row) => side.append(make("span", { dir: "auto", className: row.mark ? "mark-token" : "" }, row.text)));
  for (const [row, column] of dots) {
    const dot = make("i", { className: "dot" }), gap = Math.max(2, Math.round(size * 0.28));
    Object.assign(dot.style, { left: `${column * size + gap}px`, top: `${row * size + gap}px` });
    dot.style.width = dot.style.height = `${size - 2 * gap}px`;
    plot.append(dot);
  }
  const mark = (row, column) => {
    [...side.children].forEach((label, i) => label.classList.toggle("on", i === row));
    [...top.children].forEach((label, i) => label.classList.toggle("on", i === column));
  };
  canvas.addEventListener("pointermove", (event) => {
    const row = Math.min(Math.floor(event.offsetY / size), rows.length - 1);
    const column = Math.min(Math.floor(event.offsetX / size), columns.length - 1);
    mark(row, column);
    tell(row, column);
  });
  canvas.addEventListener("pointerleave", () => { mark(-1, -1); tell(); });
  const frame = make("div", { className: "matrix" }, make("div"), top, side, plot);
  top.style.width = `${size * columns.length}px`;
  frame.style.setProperty("--size", `${size}px`);
  frame.style.setProperty("--label", `${Math.min(size - 1, 13)}px`);
  return { frame: make("div", { className: "scroll", tabIndex: 0 }, frame), most, mark };
}

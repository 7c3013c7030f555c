// Data flow: the model's own boxes with the shapes and numbers of this sentence, step by step.

const BOX = { width: 172, height: 80, across: 188, down: 110 };
const at_step = {};

function showFlow(panel) {
  const lines = [...new Set(data.diagrams.flatMap((diagram) => diagram.boxes.map((box) => box.line)))].filter((name) => data.lines[name]);
  lines.forEach((name) => { at_step[name] ??= 0; });
  const drawings = make("div", { className: "diagrams" });
  const redraw = () => drawings.replaceChildren(...data.diagrams.map(drawDiagram));
  const sliders = lines.filter((name) => name !== "output").map((name) => slider(name, redraw));
  panel.replaceChildren(
    make("p", {}, "What came out of each part while the model read this sentence: the shape (tokens × width), and the first numbers " +
      "of one token's vector. Move the steps to choose the token; what is being written grows with them."),
    make("div", { className: "controls" }, ...sliders), drawings);
  if (!data.diagrams.length) panel.replaceChildren(make("p", {}, `This is ${data.kind}: it is made of counts, and no data flows through it.`));
  redraw();
}

function slider(name, redraw) {
  const tokens = data.lines[name].tokens, shown = make("b", { dir: "auto" });
  const input = make("input", { type: "range", min: 0, max: tokens.length - 1, value: at_step[name], id: `step-${name.replaceAll(" ", "-")}` });
  const say = () => {
    const writes = name === "target" && data.lines.output ? ` → ${data.lines.output.tokens[at_step[name]]}` : "";
    shown.textContent = `${at_step[name]}: ${tokens[at_step[name]]}${writes}`;
  };
  input.addEventListener("input", () => {
    at_step[name] = Number(input.value);
    if (name === "target") at_step.output = at_step[name];
    say();
    redraw();
  });
  say();
  return make("label", {}, name === "target" ? "step" : `${name} token`, input, shown);
}

/** Whether a line is written step by step, so that at a step only a part of it is there. */
function grows(name) {
  return name === "target" || name === "output";
}

function shapeOf(box) {
  const names = [box.line, box.across];
  return box.shape.map((size, axis) => (grows(names[axis]) && size === data.lines[names[axis]].tokens.length ? at_step[names[axis]] + 1 : size)).join(" × ");
}

function drawDiagram(diagram) {
  const columns = Math.max(...diagram.boxes.map((box) => box.column)) + 1, rows = Math.max(...diagram.boxes.map((box) => box.row)) + 1;
  const width = columns * BOX.across + 12, height = rows * BOX.down - 20;
  const id = `arrow-${data.diagrams.indexOf(diagram)}`;
  const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": diagram.title });
  picture.append(draw("defs", {}, draw("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, draw("path", { d: "M0 0.5 L8 4 L0 7.5 z" }))));
  const byName = Object.fromEntries(diagram.boxes.map((box) => [box.name, box]));
  for (const arrow of diagram.arrows) {
    picture.append(draw("path", { d: pathOf(byName[arrow.start], byName[arrow.end], arrow.around), class: arrow.around ? "around" : "", "marker-end": `url(#${id})` }));
  }
  for (const box of diagram.boxes) picture.append(drawBox(box));
  return make("div", { className: "panel diagram" }, make("h2", {}, diagram.title), make("p", { className: "quiet" }, diagram.words), make("div", { className: "scroll", tabIndex: 0 }, picture));
}

function corner(box) {
  return [box.column * BOX.across + 14, box.row * BOX.down + 2];
}

function pathOf(start, end, around) {
  const [x, y] = corner(start), [to, below] = corner(end), half = BOX.width / 2;
  if (around) {
    const left = x - 8, from = y + BOX.height * 0.6, into = below + BOX.height / 2;
    return `M${x} ${from} H${left} V${into} H${to - 1}`;
  }
  if (start.column > end.column && below - y > 1.5 * BOX.down) {
    return `M${x + half} ${y + BOX.height} V${below + BOX.height / 2} H${to + BOX.width + 1}`;
  }
  if (start.column !== end.column && (below <= y || below - y > 1.5 * BOX.down)) {
    const right = start.column < end.column, gap = (BOX.across - BOX.width) / 2;
    const beside = right ? to - gap : to + BOX.width + gap;
    return `M${right ? x + BOX.width : x} ${y + BOX.height / 2} H${beside} V${below + BOX.height / 2} H${right ? to - 1 : to + BOX.width + 1}`;
  }
  return `M${x + half} ${y + BOX.height} C${x + half} ${y + BOX.height + 20} ${to + half} ${below - 20} ${to + half} ${below - 1}`;
}

function drawBox(box) {
  const [x, y] = corner(box), middle = x + BOX.width / 2;
  const numbers = box.numbers[Math.min(at_step[box.line] ?? 0, box.numbers.length - 1)];
  const [first, second] = box.label.split("\n");
  const texts = [["", first], ["second", second], ["shape", shapeOf(box)], ["numbers", numbers ? numbers.map(short).join("  ") + " …" : ""]].filter(([, text]) => text);
  const group = draw("g", { class: box.line === "source" ? "source" : "" }, draw("rect", { x, y, width: BOX.width, height: BOX.height }));
  const start = y + BOX.height / 2 - (texts.length - 1) * 9 + 4;
  texts.forEach(([kind, text], i) => group.append(draw("text", { x: middle, y: start + 18 * i, class: kind }, text)));
  return group;
}

function short(number) {
  if (number <= -1e8) return "−∞";
  return number.toFixed(Math.abs(number) < 100 ? 2 : 0).replace("-", "−");
}

// Heads: a grid of layers by heads; the one that is picked as a whole matrix and as two lists of tokens with lines between.

const state = { group: data.opened.group, layer: data.opened.layer, pick: data.opened.head, words: false, hide: false };
const NAMES = {
  "encoder self": "source looks at source",
  "decoder self": "what is written looks at itself",
  cross: "what is written looks at the source",
  sentence: "the sentence looks at itself",
};
const CROSS_OF_SENTENCES = { "first sentence": "first sentence looks at second", "second sentence": "second sentence looks at first" };
const MOST_LINES = 6;

function kindName(group) {
  const rows = data.lines[group.rows], name = CROSS_OF_SENTENCES[group.rows] || NAMES[group.kind] || group.kind;
  if (group.kind === "cross" && rows && group.rows !== "output") return name;
  return group.rows === "annotation" ? "rows of weights over the sentence" : NAMES[group.kind] || group.kind;
}

function showHeads(panel) {
  if (!data.groups.length) {
    panel.replaceChildren(make("p", {}, `This is ${data.kind} (${data.architecture}). Such a model has no attention, so there are no heads to see. ` +
      "Its data flow and what it predicts are in the other views."));
    return;
  }
  panel.replaceChildren(headControls(), make("div", { className: "panel scroll fit", id: "grid" }), make("div", { className: "detail" }));
  showGrid();
  showDetail();
}

function headControls() {
  const kinds = data.groups.map((group, number) => [number, kindName(group)]);
  return make("div", { className: "controls" },
    choice("kind", "What looks at what", kinds, state.group, (number) => open({ group: number, layer: Infinity })),
    toggle("join", "words instead of tokens", state.words, (on) => open({ words: on })),
    toggle("hide", "hide </s> and other marks, and renormalise", state.hide, (on) => open({ hide: on })));
}

function choice(id, label, options, current, choose) {
  const buttons = options.map(([value, text]) => {
    const button = make("button", { type: "button", "aria-pressed": String(value === current) }, text);
    button.addEventListener("click", () => choose(value));
    return button;
  });
  return make("div", { className: "choice", role: "group", "aria-label": label, id }, ...buttons);
}

function toggle(id, text, on, change) {
  const box = make("input", { type: "checkbox", id, checked: on });
  box.addEventListener("change", () => change(box.checked));
  return make("label", {}, box, text);
}

/** Change what is shown; numbers out of range are moved to the nearest that exists. */
function open(change) {
  Object.assign(state, change);
  const group = data.groups[state.group];
  state.layer = Math.max(0, Math.min(state.layer, group.shape[0] - 1));
  const picks = picksOf(group);
  if (!picks.includes(state.pick)) state.pick = picks[0];
  const focused = document.activeElement && document.activeElement.id, inGrid = document.activeElement?.closest("#grid");
  document.querySelector("#heads .controls").replaceWith(headControls());
  showGrid();
  showDetail();
  if (inGrid) document.querySelector('#grid [aria-pressed="true"]').focus();
  else if (focused) document.getElementById(focused)?.focus();
}

function shown(layer, pick) {
  const group = data.groups[state.group];
  const rows = unitsOf(data.lines[group.rows], state), columns = unitsOf(data.lines[group.columns], state);
  return { rows, columns, weights: joined(pickedWeights(group, layer, pick), rows, columns, state.hide) };
}

function showGrid() {
  const group = data.groups[state.group], picks = picksOf(group), heads = group.shape[1];
  const grid = make("div", { className: "grid" });
  grid.style.gridTemplateColumns = `max-content repeat(${picks.length}, max-content)`;
  grid.append(make("span", { className: "head-name" }));
  for (const pick of picks) {
    const name = typeof pick === "number" ? `head ${pick}` : pick;
    grid.append(make("span", { className: "head-name" + (pick === picks[heads] ? " apart" : "") }, name));
  }
  group.layers.forEach((number, layer) => {
    grid.append(make("span", { className: "layer-name" }, `layer ${number}`));
    for (const pick of picks) {
      const { weights } = shown(layer, pick), now = layer === state.layer && pick === state.pick;
      const name = typeof pick === "number" ? `head ${pick}` : pick;
      const cell = make("button", { type: "button", "aria-pressed": String(now), tabIndex: now ? 0 : -1,
        className: "cell" + (pick === picks[heads] ? " apart" : ""), title: `layer ${number}, ${name}`,
        "aria-label": `layer ${number}, ${name}` }, paint(weights, largest(weights.values)));
      cell.addEventListener("click", () => { cell.focus(); open({ layer, pick }); });
      grid.append(cell);
    }
  });
  const box = document.getElementById("grid");
  box.replaceChildren(grid);
  box.onkeydown = (event) => moveInGrid(event, picks);
}

function moveInGrid(event, picks) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!steps) return;
  event.preventDefault();
  const place = Math.max(0, Math.min(picks.indexOf(state.pick) + steps[1], picks.length - 1));
  open({ layer: state.layer + steps[0], pick: picks[place] });
}

function showDetail() {
  const group = data.groups[state.group], { rows, columns, weights } = shown(state.layer, state.pick);
  const title = typeof state.pick === "number" ? `head ${state.pick}` : state.pick;
  const said = make("p", { className: "said", "aria-live": "polite", id: "said" });
  const hint = group.kind === "cross" && group.rows === "output"
    ? "A row is the step that writes its token." : "A row is a token that looks; a column is one that is looked at.";
  said.append(hint + " Point at a cell or a token.");
  const plot = drawMatrix(weights, rows, columns, { tell: (row, column) => tellCell(said, hint, rows, columns, weights, row, column) });
  const whole = make("div", { className: "panel" }, make("h2", {}, `${group.names[state.layer]} · ${title}`), said, plot.frame, scale(plot.most));
  const sides = make("div", { className: "panel" }, make("h2", {}, "Who looks at whom"),
    make("p", { className: "said", id: "sides-said", "aria-live": "polite" }, "Left looks, right is looked at. Point at a token, or use the arrow keys."),
    drawSides(rows, columns, weights));
  document.querySelector("#heads .detail").replaceChildren(whole, sides);
}

function tellCell(said, hint, rows, columns, weights, row, column) {
  if (row === undefined) { said.replaceChildren(hint); return; }
  const value = weights.values[row * weights.columns + column];
  said.replaceChildren(quoted(rows[row]), " looks at ", quoted(columns[column]), ` with ${value.toFixed(3)}`);
}

function quoted(unit) {
  return make("b", { dir: "auto" }, unit.text);
}

/** Two lists of tokens with a line for each weight that matters; all lines of a token that is pointed at. */
function drawSides(rows, columns, weights) {
  const height = 24 * Math.max(rows.length, columns.length);
  const lines = draw("svg", { viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  lines.style.height = `${height}px`;
  const tokens = [rows.map((unit, i) => token(unit, `left ${i}`)), columns.map((unit, i) => token(unit, `right ${i}`))];
  const show = (side, place) => {
    tokens.flat().forEach((each) => { each.classList.remove("on"); each.style.backgroundColor = ""; });
    lines.replaceChildren(...linesOf(weights, side, place));
    if (side === undefined) return;
    tokens[side][place].classList.add("on");
    const others = tokens[1 - side], shares = others.map((_, i) => at(weights, side, place, i));
    const most = Math.max(largest(shares), 1e-9);
    others.forEach((each, i) => { each.style.backgroundColor = `rgba(var(--tint), ${(0.75 * shares[i]) / most})`; });
    tellToken(side, [rows, columns][side][place], [rows, columns][1 - side], shares);
  };
  const lists = tokens.map((side, number) => listOf(side, number, show));
  show();
  return make("div", { className: "scroll" }, make("div", { className: "sides" }, lists[0], lines, lists[1]));
}

function at(weights, side, place, other) {
  return weights.values[side === 0 ? place * weights.columns + other : other * weights.columns + place];
}

function token(unit, name) {
  return make("li", { className: "token" + (unit.mark ? " mark-token" : ""), dir: "auto", tabIndex: -1, "data-place": name }, unit.text);
}

function listOf(tokens, side, show) {
  const list = make("ol", { className: side === 0 ? "left" : "right", "aria-label": side === 0 ? "looks" : "is looked at" });
  tokens.forEach((each, place) => {
    each.addEventListener("pointerenter", () => show(side, place));
    each.addEventListener("focus", () => show(side, place));
    each.addEventListener("click", () => each.focus());
  });
  if (tokens.length) tokens[0].tabIndex = 0;
  list.addEventListener("pointerleave", () => { if (!list.contains(document.activeElement)) show(); });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key], place = tokens.indexOf(document.activeElement);
    if (!step || place < 0) return;
    event.preventDefault();
    tokens[Math.max(0, Math.min(place + step, tokens.length - 1))].focus();
  });
  list.append(...tokens);
  return list;
}

function linesOf(weights, side, place) {
  const found = [], most = Math.max(largest(weights.values), 1e-9);
  for (let row = 0; row < weights.rows; row++) {
    const values = Array.from(weights.values.subarray(row * weights.columns, (row + 1) * weights.columns));
    // All lines of all tokens would be a grey cloud: without a choice, each token shows its strongest.
    const least = side === undefined ? Math.max([...values].sort((a, b) => b - a)[MOST_LINES] || 0, 0.04) : 0.004;
    values.forEach((value, column) => {
      if (value <= least || (side === 0 && row !== place) || (side === 1 && column !== place)) return;
      const share = value / most, width = side === undefined ? 1.4 : 1 + 2.5 * share;
      found.push(draw("line", { x1: 1, x2: 99, y1: 24 * row + 12, y2: 24 * column + 12, "stroke-opacity": (0.06 + 0.9 * share).toFixed(3), "stroke-width": width.toFixed(2) }));
    });
  }
  return found;
}

function tellToken(side, unit, others, shares) {
  const said = document.getElementById("sides-said");
  const first = shares.map((share, i) => [share, others[i]]).filter(([share]) => share >= 0.005).sort((a, b) => b[0] - a[0]).slice(0, 5);
  const parts = first.flatMap(([share, other], i) => [i ? ", " : "", quoted(other), ` ${share.toFixed(2)}`]);
  said.replaceChildren(quoted(unit), side === 0 ? " looks at " : " is looked at by ", ...(parts.length ? parts : ["nothing"]));
}

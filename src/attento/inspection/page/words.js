// Alignment, and word by word: what else could have come at each step, and what the beam search kept.

function showAlignment(panel, number = 0) {
  const found = data.alignments[number];
  if (!found) {
    panel.replaceChildren(make("p", {}, data.lines.output ? "Nothing in this model looks at the source, so no alignment can be read off it."
      : "An alignment is between a source and its translation; this model does not translate."));
    return;
  }
  const unit = (text) => ({ text }), rows = found.target.map(unit), columns = found.source.map(unit);
  const weights = { rows: rows.length, columns: columns.length, values: Float32Array.from(found.weights.flat()) };
  const said = make("p", { className: "said", "aria-live": "polite" }, "Point at a cell.");
  const tell = (row, column) => said.replaceChildren(...(row === undefined ? ["Point at a cell."]
    : [quoted(rows[row]), " looks at ", quoted(columns[column]), ` with ${found.weights[row][column].toFixed(3)}`]));
  const plot = drawMatrix(weights, rows, columns, { tell, dots: found.pairs.map(([source, target]) => [target, source]), width: 900, largestCell: 38 });
  const layers = data.alignments.map(({ name }, place) => [place, name]);
  const controls = layers.length > 1 ? [make("div", { className: "controls" }, choice("layers", "Whose attention", layers, number, (place) => {
    showAlignment(panel, place);
    panel.querySelector('[aria-pressed="true"]').focus();
  }))] : [];
  panel.replaceChildren(...controls,
    make("p", {}, "The source across, the translation down, as in Bahdanau et al. 2015, figure 3: how much each written word looks at each source word. " +
      `From ${found.from}; tokens joined to words, </s> and punctuation left out. A ring marks the word of most weight.`),
    make("div", { className: "panel fit" }, said, plot.frame, scale(plot.most)),
    make("h2", {}, "In Pharaoh's format"), make("p", {}, make("code", { id: "pharaoh" }, found.pharaoh)),
    make("p", { className: "quiet" }, "Source word – translation word, both counted from 0. ", make("code", {}, "attento translate --alignment"),
      " takes the mean of all layers: which layer aligns best differs from model to model."));
}

function showWords(panel) {
  if (!data.steps.length) {
    panel.replaceChildren(make("p", {}, "There is nothing to show word by word."));
    return;
  }
  const labels = !data.written;
  panel.replaceChildren(
    make("p", {}, labels ? "How probable the model holds each label." : "At each step the likeliest tokens with their probabilities. " +
      "The token that came is in colour; a step is told by what came before it, whatever was likelier then."),
    make("div", { className: "cards" }, ...data.steps.map(drawStep)));
  if (data.tree) panel.append(...drawTree(data.tree));
}

function drawStep(step) {
  const chosen = step.chosen;
  const title = chosen ? chosen.text : data.written ? "what would come next" : "labels";
  const right = chosen ? `${percent(chosen.probability)}${step.rank > 1 ? ` · rank ${step.rank}` : ""}` : "";
  const card = make("div", { className: "card" }, make("h3", {}, make("span", { dir: "auto" }, `${step.place} · ${title}`), make("span", {}, right)));
  const candidates = [...step.candidates];
  if (chosen && step.rank > candidates.length) candidates.push(chosen);
  candidates.forEach((candidate, place) => {
    const name = make("span", { className: "name", dir: "auto" }, candidate.text);
    name.style.background = `linear-gradient(90deg, rgba(var(--tint), 0.22) ${100 * candidate.probability}%, transparent 0)`;
    const here = chosen && (place === step.rank - 1 || candidate === chosen);
    card.append(make("div", { className: "bar" + (here ? " chosen" : "") }, name, make("span", { className: "value" }, percent(candidate.probability))));
  });
  return card;
}

function drawTree(tree) {
  const nodes = tree.nodes.map(([parent, text, total, finished], number) => ({ number, parent, text, total, finished, children: [] }));
  const roots = [];
  nodes.forEach((node) => (node.parent === null ? roots : nodes[node.parent].children).push(node));
  let leaf = 0;
  const place = (node, depth) => {
    node.depth = depth;
    node.children.forEach((child) => place(child, depth + 1));
    node.row = node.children.length ? (node.children[0].row + node.children[node.children.length - 1].row) / 2 : leaf++;
    node.lives = node.finished || node.children.some((child) => child.lives);
  };
  roots.forEach((root) => place(root, 0));
  for (let node = nodes[tree.best[0].end]; node; node = nodes[node.parent]) node.best = true;
  const across = 104, down = 22, width = (Math.max(...nodes.map((node) => node.depth)) + 1) * across + 60, height = leaf * down + 12;
  const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "The tree of the beam search", class: "tree" });
  const x = (node) => node.depth * across + 8, y = (node) => node.row * down + 14;
  // The best path is drawn last, above the others.
  for (const node of [...nodes].sort((a, b) => Number(Boolean(a.best)) - Number(Boolean(b.best)))) {
    const kind = node.best ? "best" : node.lives ? "lives" : "";
    if (node.parent !== null) {
      const start = x(nodes[node.parent]) + Math.min(84, 8 * nodes[node.parent].text.length + 6), end = x(node) - 4, half = (start + end) / 2;
      picture.append(draw("path", { class: node.best ? "best" : "", d: `M${start} ${y(nodes[node.parent]) - 4} C${half} ${y(nodes[node.parent]) - 4} ${half} ${y(node) - 4} ${end} ${y(node) - 4}` }));
    }
    picture.append(draw("text", { x: x(node), y: y(node), class: kind }, clipped(node.text), draw("title", {}, `${node.text}: log-probability so far ${node.total}`)));
  }
  const rows = tree.best.map((each) => make("tr", {}, make("td", { dir: "auto" }, each.text || "(nothing)"),
    make("td", { className: "number" }, each.score.toFixed(3)), make("td", { className: "number" }, each.logProbability.toFixed(3))));
  const head = make("tr", {}, make("th", {}, "found"), make("th", {}, "score"), make("th", {}, "log-probability"));
  return [make("h2", {}, "Beam search"),
    make("p", {}, `What the search kept at each step, left to right${data.given ? " (its own translation, not the one that was given)" : ""}. ` +
      "In colour the best; dark what led to a finished translation; grey what was given up."),
    make("div", { className: "panel scroll", tabIndex: 0 }, picture), make("h2", {}, "What it found, best first"),
    make("div", { className: "scroll" }, make("table", {}, head, ...rows))];
}

function clipped(text) {
  return text.length > 11 ? text.slice(0, 10) + "…" : text;
}

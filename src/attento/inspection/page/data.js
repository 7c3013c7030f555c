"use strict";
// The data of the page, and what can be computed of weights: words, hidden marks, average, maximum, rollout.

const data = JSON.parse(document.getElementById("data").textContent);

/** A matrix of weights: row r, column c is values[r * columns + c]. */
function matrix(rows, columns) {
  return { rows, columns, values: new Float32Array(rows * columns) };
}

/** The weights of a group as numbers; made when first asked for. */
function weightsOf(group) {
  if (!group.decoded) {
    const bytes = Uint8Array.from(atob(group.weights), (character) => character.charCodeAt(0));
    // Low byte first, whatever this machine does.
    const view = new DataView(bytes.buffer);
    group.decoded = Float32Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true) / data.levels);
  }
  return group.decoded;
}

function oneHead(group, layer, head) {
  const [, heads, rows, columns] = group.shape;
  const size = rows * columns, start = (layer * heads + head) * size;
  return { rows, columns, values: weightsOf(group).subarray(start, start + size) };
}

function overHeads(group, layer, combine) {
  const [, heads, rows, columns] = group.shape;
  const result = matrix(rows, columns);
  for (let head = 0; head < heads; head++) {
    oneHead(group, layer, head).values.forEach((value, i) => { result.values[i] = combine(result.values[i], value, heads); });
  }
  return result;
}

/** Attention rollout (Abnar & Zuidema 2020): half of each layer's mean and half of the token itself, multiplied up. */
function rollout(group, last) {
  let flow = null;
  for (let layer = 0; layer <= last; layer++) {
    const mean = overHeads(group, layer, average), size = mean.rows;
    for (let row = 0; row < size; row++) {
      let total = 0;
      for (let column = 0; column < size; column++) {
        const i = row * size + column;
        mean.values[i] = (mean.values[i] + (row === column ? 1 : 0)) / 2;
        total += mean.values[i];
      }
      for (let column = 0; column < size; column++) mean.values[row * size + column] /= total;
    }
    flow = flow ? product(mean, flow) : mean;
  }
  return flow;
}

const average = (sum, value, heads) => sum + value / heads;

function product(left, right) {
  const result = matrix(left.rows, right.columns);
  for (let row = 0; row < left.rows; row++) {
    for (let middle = 0; middle < left.columns; middle++) {
      const weight = left.values[row * left.columns + middle];
      if (weight === 0) continue;
      for (let column = 0; column < right.columns; column++) {
        result.values[row * right.columns + column] += weight * right.values[middle * right.columns + column];
      }
    }
  }
  return result;
}

/** What can be picked in a layer: each head, the average, the maximum and, where a text looks at itself, the rollout. */
function picksOf(group) {
  const heads = Array.from({ length: group.shape[1] }, (_, head) => head);
  const several = heads.length > 1 ? ["average", "maximum"] : [];
  return [...heads, ...several, ...(group.rows === group.columns ? ["rollout"] : [])];
}

function pickedWeights(group, layer, pick) {
  if (pick === "average") return overHeads(group, layer, average);
  if (pick === "maximum") return overHeads(group, layer, (most, value) => Math.max(most, value));
  if (pick === "rollout") return rollout(group, layer);
  return oneHead(group, layer, pick);
}

const UNSPACED = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{P}]/u;

/** The units that a line is shown in: tokens or, if asked, words; each knows which tokens it is made of. */
function unitsOf(line, { words, hide }) {
  const units = [];
  line.tokens.forEach((text, place) => {
    const word = line.words[place], mark = word === null && line.text.length > 0, last = units[units.length - 1];
    const within = word !== null && last && last.word === word;
    if (mark && hide) return;
    if (words && within) last.places.push(place);
    else units.push({ text: within && !UNSPACED.test(text) ? "·" + text : text, word, mark, places: [place] });
  });
  if (words) units.forEach((unit) => { if (unit.word !== null) unit.text = line.text[unit.word]; });
  return units;
}

/** Weights between units: the mean over a row's tokens of the sum over a column's; rows sum to 1 again if marks are hidden. */
function joined(weights, rows, columns, hide) {
  const result = matrix(rows.length, columns.length);
  rows.forEach((row, r) => {
    let total = 0;
    columns.forEach((column, c) => {
      let sum = 0;
      for (const i of row.places) for (const j of column.places) sum += weights.values[i * weights.columns + j];
      result.values[r * columns.length + c] = sum / row.places.length;
      total += sum / row.places.length;
    });
    if (hide && total > 0) for (let c = 0; c < columns.length; c++) result.values[r * columns.length + c] /= total;
  });
  return result;
}

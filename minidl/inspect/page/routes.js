// The lines between parts, as minidl/inspect/routes.py finds them.

const SPREAD = 12;

/** All lines between visible parts: { wire, start, end, points }. */
function routesOf(root) {
  const pieces = piecesOf(root), made = [], arriving = new Map();
  for (const placed of walk(root)) {
    if (placed.part.open) continue;
    const card = placed.part.card, bottom = placed.y + card.height + card.pile;
    for (const wire of new Set(placed.part.outs)) {
      const begun = [[placed.x + card.ports[wire], bottom]];
      for (const [points, end] of follow(pieces, pieceKey(placed, -1, wire), begun)) {
        const line = { wire, start: placed, end, points };
        made.push(line);
        if (!arriving.has(end)) arriving.set(end, []);
        arriving.get(end).push(line);
      }
    }
  }
  for (const lines of arriving.values()) arrive(lines);
  return made;
}

const pieceKey = (placed, node, wire) => `${placed.part.key}/${node}/${wire}`;

function piecesOf(root) {
  const pieces = new Map();
  const add = (key, piece) => (pieces.has(key) ? pieces.get(key).push(piece) : pieces.set(key, [piece]));
  for (const box of walk(root)) {
    if (!box.part.open) continue;
    const { sheet } = box.part, { places } = box, layer = {};
    sheet.layers.forEach((row, i) => row.forEach((node) => (layer[node] = i)));
    for (const { wire, above, below } of sheet.links) {
      const inner = box.parts[above];
      let x, source;
      if (!inner) [x, source] = [places.x[above], pieceKey(box, above, wire)];
      else if (inner.part.open) {
        const exit = inner.part.sheet.exits[wire];
        [x, source] = [inner.places.x[exit], pieceKey(inner, exit, wire)];
      } else [x, source] = [inner.x + inner.part.card.ports[wire], pieceKey(inner, -1, wire)];
      const points = [[x, places.bottom[layer[above]]]];
      const target = box.parts[below], top = places.top[layer[below]];
      if (!target) {
        points.push([places.x[below], top], [places.x[below], places.bottom[layer[below]]]);
        add(source, [points, pieceKey(box, below, wire), null]);
      } else if (target.part.open) {
        const entry = target.part.sheet.entries[wire], at = target.places.x[entry];
        points.push([at, top], [at, target.places.bottom[0]]);
        add(source, [points, pieceKey(target, entry, wire), null]);
      } else {
        points.push([target.x, top], [target.x, target.y]);
        add(source, [points, null, target]);
      }
    }
  }
  return pieces;
}

function follow(pieces, source, begun) {
  const done = [], stack = [[source, begun]];
  while (stack.length) {
    const [key, points] = stack.pop();
    for (const [more, onward, target] of pieces.get(key) ?? []) {
      const longer = [...points, ...more];
      if (target) done.push([longer, target]);
      else stack.push([onward, longer]);
    }
  }
  return done;
}

function arrive(lines) {
  if (lines.length < 2) return;
  lines.sort((a, b) => a.points.at(-3)[0] - b.points.at(-3)[0]);
  const { end } = lines[0];
  const half = end.part.card.width / 2 - 9, room = Math.min(SPREAD, (2 * half) / (lines.length - 1));
  const from = lines.map((line) => line.points.at(-3)[0] - end.x);
  const nearest = from.reduce((best, at, i) => (Math.abs(at) < Math.abs(from[best]) ? i : best), 0);
  let first = Math.abs(from[nearest]) < half ? from[nearest] - nearest * room : (-(lines.length - 1) / 2) * room;
  first = Math.min(Math.max(first, -half), half - (lines.length - 1) * room);
  lines.forEach((line, i) => {
    const at = end.x + first + i * room;
    for (const point of line.points.slice(-2)) point[0] = at;
  });
}

/** SVG path commands through points: straight down, or an S from vertical to vertical. */
function pathData(points) {
  const told = [`M${points[0][0].toFixed(1)} ${points[0][1].toFixed(1)}`];
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1], [x, y] = points[i], f = (n) => n.toFixed(1);
    if (Math.abs(x - x0) < 0.05) {
      if (x !== x0 || y !== y0) told.push(`L${f(x)} ${f(y)}`);
    } else {
      const middle = f((y0 + y) / 2);
      told.push(`C${f(x0)} ${middle} ${f(x)} ${middle} ${f(x)} ${f(y)}`);
    }
  }
  return told.join("");
}

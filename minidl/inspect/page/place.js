// Coordinates, as minidl/inspect/place.py and frame.py compute them: computed again here whenever a box is opened or
// closed. The order within layers comes from there and never changes.

const GAP = 16, RISE = 22, PAD = 14, ROUNDS = 10, WEAK = 0.1, LINE = 5, ROW = 28, STRIP = 17, SMALL = 10.5, WIDE = 0.603;

/** The room that a closed part needs about its own x. */
function extentOf(card) {
  let right = card.width / 2;
  const labels = Object.entries(card.labels);
  for (const [wire, label] of labels) right = Math.max(right, card.ports[wire] + 6 + [...label].length * SMALL * WIDE);
  const below = labels.length ? STRIP : 0;
  return { left: card.width / 2, right, height: card.height + card.pile + below, leaves: card.ports, enters: {} };
}

/** x of every node of a sheet, top and bottom of every layer. */
function placeSheet(sheet, extents) {
  const x = extents.map(() => 0);
  for (const row of sheet.layers) settle(row, row.map(() => 0), row.map(() => 1), extents, x);
  const above = extents.map(() => []), below = extents.map(() => []);
  for (const link of sheet.links) {
    above[link.below].push(link);
    below[link.above].push(link);
  }
  const start = (link) => extents[link.above].leaves[link.wire] ?? 0;
  const end = (link) => extents[link.below].enters[link.wire] ?? 0;
  const fromAbove = (n) => pull(above[n].map((l) => [l.down, x[l.above] + start(l) - end(l)]));
  const fromBelow = (n) => pull(below[n].map((l) => [l.up, x[l.below] + end(l) - start(l)]));
  const sweep = (rows, first, second, rough) => {
    for (const row of rows) {
      const wishes = [], weights = [];
      for (const node of row) {
        let [weight, wish] = first(node);
        if (weight < WEAK) {
          const [other, elsewhere] = second(node);
          if (other && weight && rough) wish = (wish + elsewhere) / 2;
          else if (other) wish = elsewhere;
          [weight, wish] = other ? [other * 0.01, wish] : [0.001, weight ? wish : x[node]];
        }
        wishes.push(wish);
        weights.push(weight);
      }
      settle(row, wishes, weights, extents, x);
    }
  };
  const upwards = [...sheet.layers].reverse();
  for (let turn = 0; turn < ROUNDS; turn++) {
    const rough = turn < ROUNDS - 2;
    sweep(upwards, fromBelow, fromAbove, rough);
    sweep(sheet.layers, fromAbove, fromBelow, rough);
  }
  for (let turn = 0; turn < 2; turn++) tighten(sheet, extents, x, start);
  return { x, ...heights(sheet, extents, x, start, end) };
}

function pull(pairs) {
  const most = Math.max(0, ...pairs.map(([weight]) => weight));
  const strong = pairs.filter(([weight]) => weight * 5 > most);
  const total = strong.reduce((sum, [weight]) => sum + weight, 0);
  return [total, total ? strong.reduce((sum, [weight, wish]) => sum + weight * wish, 0) / total : 0];
}

/** x of a layer's nodes, in their order and apart, that minimises Σ weight · (x - wish)²: pooling adjacent violators. */
function settle(row, wishes, weights, extents, x) {
  let shift = 0;
  const shifts = [], blocks = [];
  row.forEach((node, i) => {
    if (i) shift += extents[row[i - 1]].right + GAP + extents[node].left;
    shifts.push(shift);
    blocks.push([wishes[i] - shift, weights[i], 1]);
    while (blocks.length > 1 && blocks.at(-2)[0] > blocks.at(-1)[0]) {
      const [mean, weight, many] = blocks.pop();
      const last = blocks.at(-1);
      last[0] = (last[0] * last[1] + mean * weight) / (last[1] + weight);
      last[1] += weight;
      last[2] += many;
    }
  });
  let i = 0;
  for (const [mean, , many] of blocks) for (let k = 0; k < many; k++, i++) x[row[i]] = mean + shifts[i];
}

/** Long wires straight between the nodes beside them. */
function tighten(sheet, extents, x, start) {
  const beside = {}, begins = {};
  for (const row of sheet.layers) row.forEach((node, i) => (beside[node] = [row[i - 1], row[i + 1]]));
  for (const link of sheet.links) begins[link.below] = x[link.above] + start(link);
  for (const bends of Object.values(sheet.bends)) {
    let at = begins[bends[0]], run = [], low = -Infinity, high = Infinity;
    for (const node of [...bends, null]) {
      let least = -Infinity, most = Infinity;
      if (node !== null) {
        const [left, right] = beside[node];
        if (left !== undefined) least = x[left] + extents[left].right + GAP + LINE;
        if (right !== undefined) most = x[right] - extents[right].left - GAP - LINE;
      }
      if (node === null || Math.max(low, least) > Math.min(high, most)) {
        at = Math.min(Math.max(at, low), high);
        for (const passed of run) x[passed] = at;
        [run, low, high] = [[], -Infinity, Infinity];
      }
      if (node !== null) {
        run.push(node);
        [low, high] = [Math.max(low, least), Math.min(high, most)];
      }
    }
  }
}

function heights(sheet, extents, x, start, end) {
  const layer = {};
  sheet.layers.forEach((row, i) => row.forEach((node) => (layer[node] = i)));
  const span = sheet.layers.map(() => 0);
  for (const link of sheet.links) {
    const i = layer[link.above];
    span[i] = Math.max(span[i], Math.abs(x[link.above] + start(link) - x[link.below] - end(link)));
  }
  const top = [], bottom = [];
  let y = 0;
  sheet.layers.forEach((row, i) => {
    top.push(y);
    y += Math.max(0, ...row.map((node) => extents[node].height));
    bottom.push(y);
    y += RISE + Math.min(span[i] * 0.08, 34);
  });
  return { top, bottom };
}

/** A part and all that is visible in it, placed: x is its middle, y its top, in the picture's coordinates. */
function layOut(root) {
  const placed = measure(root);
  shiftBy(placed, placed.width / 2, 0);
  return placed;
}

function measure(part) {
  const card = part.card;
  if (!part.open) return { part, extent: extentOf(card), width: card.width, height: card.height, x: 0, y: 0, parts: [] };
  const sheet = part.sheet;
  const parts = part.parts.map(measure);
  const extents = parts.map((p) => p.extent);
  while (extents.length < sheet.count) extents.push({ left: LINE, right: LINE, height: 0, leaves: {}, enters: {} });
  const places = placeSheet(sheet, extents), header = card.heading ? ROW - PAD : 0;
  let low = Math.min(...places.x.map((x, n) => x - extents[n].left));
  let high = Math.max(...places.x.map((x, n) => x + extents[n].right));
  if (card.heading) {
    low = Math.min(low, ...Object.values(sheet.entries).map((node) => places.x[node] - GAP - card.heading));
    high = Math.max(high, low + card.heading);
  }
  [low, high] = [low - PAD, high + PAD];
  places.x = places.x.map((x) => x - (low + high) / 2);
  places.top = places.top.map((y) => y + header + PAD);
  places.bottom = places.bottom.map((y) => y + header + PAD);
  const ports = (table) => Object.fromEntries(Object.entries(table).map(([wire, node]) => [wire, places.x[node]]));
  const width = high - low, height = places.bottom.at(-1) + PAD;
  sheet.layers.forEach((row, i) => {
    for (const node of row.filter((n) => n < parts.length)) {
      const slack = places.bottom[i] - places.top[i] - parts[node].extent.height;
      parts[node].x = places.x[node];
      parts[node].y = places.top[i] + (parts[node].part.kind === "leaf" ? slack : slack / 2);
    }
  });
  const extent = { left: width / 2, right: width / 2, height, leaves: ports(sheet.exits), enters: ports(sheet.entries) };
  return { part, extent, width, height, x: 0, y: 0, parts, places };
}

function shiftBy(placed, x, y) {
  placed.x += x;
  placed.y += y;
  if (placed.places) {
    placed.places.x = placed.places.x.map((at) => at + placed.x);
    placed.places.top = placed.places.top.map((at) => at + placed.y);
    placed.places.bottom = placed.places.bottom.map((at) => at + placed.y);
  }
  for (const part of placed.parts) shiftBy(part, placed.x, placed.y);
}

/** Every placed part, outermost first. */
function* walk(placed) {
  yield placed;
  for (const part of placed.parts) yield* walk(part);
}

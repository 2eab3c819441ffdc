// A placed graph as SVG elements; minidl/inspect/scene.py draws the same picture.

const SVG = "http://www.w3.org/2000/svg", FIGURES = 38, BIG = 13;

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const textWidth = (text, size) => [...text].length * size * WIDE;

/**
 * Draw all that is visible of a tree of parts.
 * `figures`: null, or { gradients, value(part), grad(part) }: whether gradients are shown, and what to show inside an operator or leaf.
 * Returns { element, placed, width, height, cards, lines }: cards by the part's key, lines as routesOf gives them, each with its element.
 */
function drawGraph(root, figures) {
  const placed = layOut(root), lines = routesOf(placed), cards = new Map();
  const frames = svg("g"), wires = svg("g"), parts = svg("g");
  const stack = placed.parts.map((part) => [part, 0]);
  while (stack.length) {
    const [part, depth] = stack.pop();
    if (!part.part.open) continue;
    frames.append(frameOf(part, depth));
    stack.push(...part.parts.map((inner) => [inner, depth + 1]));
  }
  for (const line of lines) wires.append((line.element = lineOf(line)));
  const used = new Set(lines.map((line) => `${line.start.part.key}/${line.wire}`));
  for (const part of walk(placed)) {
    if (part.part.open) continue;
    const element = cardOf(part, used, figures);
    cards.set(part.part.key, { placed: part, element });
    parts.append(element);
  }
  return { element: svg("g", {}, frames, wires, parts), placed, cards, lines, width: placed.width, height: placed.height };
}

function frameOf(placed, depth) {
  const { card, key } = placed.part, left = placed.x - placed.width / 2;
  return svg(
    "g",
    { class: `k-${depth % 2 ? "deeper" : "box"} frame`, "data-key": key },
    titled(`${card.title}\n${card.subtitle}\nclick to close`),
    svg("rect", { class: "shape", x: left, y: placed.y, width: placed.width, height: placed.height, rx: 10 }),
    svg("g", { class: "k-title" }, words(left + PAD, placed.y + 19, card.title, BIG, "start", true)),
    svg("g", { class: "k-label" }, words(left + PAD + textWidth(card.title, BIG) + 10, placed.y + 19, card.kind, SMALL, "start")),
  );
}

function lineOf({ wire, points }) {
  const [x, y] = points.at(-1);
  const line = [...points.slice(0, -1), [x, y - 6]];
  return svg(
    "g",
    { class: "k-wire", "data-wire": wire },
    svg("path", { class: "shape", d: pathData(line) }),
    svg("path", { class: "shape head", d: `M${x - 4} ${y - 7}L${x + 4} ${y - 7}L${x} ${y}Z` }),
  );
}

function cardOf(placed, used, figures) {
  const { part } = placed, { card } = part, left = placed.x - card.width / 2, top = placed.y;
  const group = svg("g", { class: `k-${part.role} card ${part.kind}`, "data-key": part.key }, titled(part.tip));
  const radius = { leaf: 14, end: 14 }[part.kind] ?? 7;
  for (const d of card.pile ? [card.pile, card.pile / 2] : [])
    group.append(svg("rect", { class: "shape", x: left + d, y: top + d, width: card.width, height: card.height, rx: 8 }));
  const body = svg("rect", { class: "shape body", x: left, y: top, width: card.width, height: card.height, rx: radius });
  if (part.role === "constant") body.setAttribute("stroke-dasharray", "4 3");
  group.append(body);
  if (card.subtitle) {
    group.append(words(placed.x, top + 16.5, card.title, BIG, "middle", true));
    group.append(words(placed.x, top + 31, card.subtitle, SMALL, "middle"));
  } else group.append(words(placed.x, top + ROW / 2 + BIG * 0.35, card.title, BIG, "middle", part.kind !== "op"));
  const labels = svg("g", { class: "k-label" });
  for (const [wire, label] of Object.entries(card.labels))
    if (used.has(`${part.key}/${wire}`))
      labels.append(words(placed.x + card.ports[wire] + 6, top + card.height + card.pile + 12.5, label, SMALL, "start"));
  group.append(labels);
  if (figures && card.figures) {
    const width = Math.min(card.width, 150) - 12, half = width / 2 - 2, y = top + card.height - FIGURES + 1;
    const value = svg("g", { class: "figure k-title" }), grad = svg("g", { class: "figure grad k-title" });
    group.append(value);
    if (part.role === "constant" || !figures.gradients) showFigure(value, figures.value(part), "value", placed.x - width / 2, y, width);
    else {
      showFigure(value, figures.value(part), "value", placed.x - half - 2, y, half);
      showFigure(grad, figures.grad(part), "grad", placed.x + 2, y, half);
      grad.dataset.place = [placed.x + 2, y, half];
      group.append(grad);
    }
  }
  return group;
}

/** Fill a group with a figure: numbers if there are few, else a heat map; a dot where nothing is known (yet). */
function showFigure(group, figure, kind, x, y, width, height = FIGURES - 7) {
  const middle = x + width / 2, line = y + height / 2 + 4;
  const told = fewNumbers(figure, Math.floor(width / (SMALL * WIDE)));
  const image = told ? null : thumb(figure, kind);
  if (told) group.replaceChildren(words(middle, line, (kind === "grad" ? "∂ " : "") + told, SMALL, "middle"));
  else if (image) {
    const scale = Math.min(width / figure.grid[0].length, height / figure.grid.length);
    const w = Math.max(figure.grid[0].length * scale, 18), h = Math.max(figure.grid.length * scale, 9);
    const place = { x: x + (width - w) / 2, y: y + (height - h) / 2, width: w, height: h };
    group.replaceChildren(svg("image", { ...place, href: image, preserveAspectRatio: "none", style: "image-rendering: pixelated" }));
  } else group.replaceChildren(svg("g", { class: "k-label" }, words(middle, line, figure ? "no values" : "·", SMALL - 1, "middle")));
}

/** The part of a tree with a key. */
function partOf(root, key) {
  const stack = [root];
  while (stack.length) {
    const part = stack.pop();
    if (part.key === key) return part;
    stack.push(...(part.parts ?? []));
  }
  return null;
}

function words(x, y, text, size, anchor, bold = false) {
  const element = svg("text", { x, y, "font-size": size, "text-anchor": anchor }, text);
  if (bold) element.setAttribute("font-weight", 600);
  return element;
}

function titled(text) {
  return svg("title", {}, text);
}

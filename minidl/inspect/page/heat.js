// Numbers as text and as colours: blue below zero, red above; gradients in violet and green, to be told apart.

const SCALES = {
  value: [[33, 102, 172], [247, 247, 247], [178, 24, 43]],
  grad: [[84, 39, 136], [247, 247, 247], [27, 120, 55]],
};
const ODD = [255, 176, 0]; // NaN and infinities
const WORDS = { nan: "nan", inf: "∞", "-inf": "-∞" };

/** A number in at most eight characters or so. JSON has NaN and infinities as words. */
function numberText(x) {
  if (x === null || x === undefined) return "–";
  if (typeof x === "string") return WORDS[x] ?? x;
  if (typeof x === "boolean") return String(x);
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return x.toLocaleString("en");
  const size = Math.abs(x);
  if (size >= 1e-3 && size < 1e5) return String(Number(x.toPrecision(4)));
  return x.toExponential(1).replace("e+", "e").replace(/e(-?)(\d)$/, "e$10$2");
}

const isOdd = (x) => typeof x === "string";

/** The numbers themselves where there are no more than three, in at most `length` characters; else "". */
function fewNumbers(figure, length) {
  if (!figure?.items || figure.items.length < 1 || figure.items.length > 3) return "";
  const told = figure.items.map(numberText).join(" ");
  return [...told].length <= length ? told : "";
}

/** Colour [r, g, b] of a number, `most` being the deepest. The root keeps small ones visible. */
function colourOf(x, most, kind) {
  if (isOdd(x)) return ODD;
  const share = most ? x / most : 0, strength = Math.sqrt(Math.abs(share));
  const [below, middle, above] = SCALES[kind], end = share < 0 ? below : above;
  return middle.map((m, i) => Math.round(m + strength * (end[i] - m)));
}

function deepest(grid) {
  let most = 0;
  for (const row of grid) for (const x of row) if (!isOdd(x)) most = Math.max(most, Math.abs(x));
  return most;
}

/** A canvas with one pixel for each number of a grid; null where there is none. */
function pixelCanvas(grid, kind) {
  if (!grid?.length || !grid[0].length) return null;
  const canvas = document.createElementNS("http://www.w3.org/1999/xhtml", "canvas");
  [canvas.width, canvas.height] = [grid[0].length, grid.length];
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const most = deepest(grid);
  let at = 0;
  for (const row of grid)
    for (const x of row) {
      const [r, g, b] = colourOf(x, most, kind);
      image.data.set([r, g, b, 255], at);
      at += 4;
    }
  context.putImageData(image, 0, 0);
  return canvas;
}

const drawnThumbs = { value: new WeakMap(), grad: new WeakMap() };

/** A grid as the address of a small picture, drawn once. */
function thumb(figure, kind) {
  if (!figure?.grid?.length) return null;
  const known = drawnThumbs[kind];
  if (!known.has(figure)) known.set(figure, pixelCanvas(figure.grid, kind)?.toDataURL() ?? null);
  return known.get(figure);
}

/** Statistics in one line. */
function statsText(figure) {
  const stats = figure?.stats;
  if (!stats) return "not kept";
  const odd = [["NaN", stats.nan], ["infinite", stats.inf]].filter(([, n]) => n).map(([name, n]) => `${n} ${name}`);
  const told = stats.min === null ? [] : [`${numberText(stats.min)} to ${numberText(stats.max)}`, `norm ${numberText(stats.norm)}`];
  return [...told, ...odd].join(", ") || "no values";
}

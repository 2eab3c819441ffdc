// The recording as it was written into the page, with what the page asks of it.

/** Figures stand in a table and are named by number wherever they are used. */
function readRecording(raw) {
  const at = (i) => (i === null || i === undefined ? null : raw.figures[i]);
  const values = raw.values.map((v) => ({ ...v, figure: at(v.figure) }));
  const arrivals = new Map(); // value → [step, figure after it], in order
  const steps = raw.steps.map((step) => {
    const made = {
      ...step,
      op: raw.ops[step.op],
      label: raw.ops[step.op].label,
      incoming: step.incoming.map(at),
      local: step.local.map((l) => ({ ...l, figure: at(l.figure), value: values[l.value] })),
      added: step.added.map((a) => ({
        value: values[a.value],
        before: at(a.before),
        contribution: at(a.contribution),
        after: at(a.after),
      })),
    };
    const figures = [...made.incoming, ...made.local.map((l) => l.figure)].filter(Boolean);
    made.odd = figures.some((f) => f.stats.nan || f.stats.inf);
    made.norm = Math.max(0, ...figures.map((f) => (f.stats.inf ? Infinity : f.stats.norm ?? 0)));
    for (const added of made.added) {
      if (!arrivals.has(added.value.id)) arrivals.set(added.value.id, []);
      arrivals.get(added.value.id).push([step.index, added.after]);
    }
    return made;
  });
  const stepOf = new Map(steps.map((step) => [step.op.id, step.index]));
  return { ...raw, values, steps, stepOf, arrivals };
}

/** The gradient of a value as it stands after a step; at the step that takes it, it is complete. */
function gradientAt(recording, value, index) {
  const seed = value === recording.loss && recording.steps.length ? recording.steps[0].incoming[0] : null;
  let found = seed;
  for (const [step, figure] of recording.arrivals.get(value) ?? []) {
    if (step > index) break;
    found = figure;
  }
  return found;
}

/** How to name a position in a figure's grid: an element, or the block that a cell is the mean of. */
function cellName(figure, row, column) {
  const shape = figure.shape, columns = shape.length ? shape.at(-1) : 1;
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1), [height, width] = [figure.grid.length, figure.grid[0].length];
  if (height === rows && width === columns) {
    const index = shape.length ? [column] : [];
    for (let rest = row, d = shape.length - 2; d >= 0; d--) {
      index.unshift(rest % shape[d]);
      rest = Math.floor(rest / shape[d]);
    }
    return `[${index.join(", ")}]`;
  }
  const range = (i, most, length) => [Math.floor((i * length) / most), Math.floor(((i + 1) * length) / most) - 1];
  const told = (name, [from, to]) => (from === to ? `${name} ${from}` : `${name}s ${from} to ${to}`);
  return `mean of ${told("row", range(row, height, rows))}, ${told("column", range(column, width, columns))}`;
}

const shapeText = (shape) => (shape.length ? shape.join("×") : "scalar");

function timeText(seconds) {
  if (!seconds) return "";
  if (seconds < 1e-3) return `${numberText(Math.round(seconds * 1e7) / 10)} µs`;
  return seconds < 1 ? `${numberText(Math.round(seconds * 1e5) / 100)} ms` : `${numberText(seconds)} s`;
}

function bytesText(bytes) {
  if (!bytes) return "";
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (bytes >= size) return `${(bytes / size).toPrecision(3)} ${unit}`;
  return `${bytes} bytes`;
}

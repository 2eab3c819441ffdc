// The panel beside the graph: one step of the backward pass, told in full.

function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** A heat map with its statistics; pointing at it tells the numbers. */
function heatMap(figure, kind, caption, small = false) {
  const box = html("figure", { class: `heat${small ? " small" : ""}` });
  if (caption) box.append(html("figcaption", {}, ...[caption].flat()));
  if (!figure) {
    box.append(html("p", { class: "unknown" }, "not known"));
    return box;
  }
  if (figure.items?.length === 1) box.append(html("p", { class: "number" }, numberText(figure.items[0])));
  else {
    const canvas = pixelCanvas(figure.grid, kind);
    if (!canvas) box.append(html("p", { class: "unknown" }, figure.stats && figure.grid ? "no values" : "not kept"));
    else {
      const [rows, columns] = [figure.grid.length, figure.grid[0].length];
      const [most, tall] = small ? [112, 72] : [228, 120];
      const side = Math.max(Math.min(most / columns, tall / rows, small ? 16 : 26), 2);
      canvas.style.width = `${Math.max(columns * side, 8)}px`;
      canvas.style.height = `${Math.max(rows * side, 8)}px`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `heat map of shape ${shapeText(figure.shape)}: ${statsText(figure)}`);
      canvas.addEventListener("pointermove", (event) => pointAt(event, canvas, figure));
      canvas.addEventListener("pointerleave", hideTip);
      box.append(canvas);
    }
  }
  if (figure.items?.length !== 1) box.append(html("p", { class: "stats" }, html("b", {}, shapeText(figure.shape)), ` ${statsText(figure)}`));
  return box;
}

function pointAt(event, canvas, figure) {
  const box = canvas.getBoundingClientRect();
  const column = Math.min(Math.floor(((event.clientX - box.left) / box.width) * canvas.width), canvas.width - 1);
  const row = Math.min(Math.floor(((event.clientY - box.top) / box.height) * canvas.height), canvas.height - 1);
  if (row < 0 || column < 0) return;
  const tip = document.getElementById("tip");
  tip.replaceChildren(html("span", {}, cellName(figure, row, column)), " ", html("b", {}, exactText(figure.grid[row][column])));
  tip.hidden = false;
  const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  tip.style.transform = `translate(${x}px, ${Math.max(event.clientY - 38, 4)}px)`;
}

const exactText = (x) => (typeof x === "number" ? String(Number(x.toPrecision(6))) : numberText(x));

function hideTip() {
  document.getElementById("tip").hidden = true;
}

const valueName = (value) => html("code", { class: "name" }, value.name);

/** What the panel shows before the first step. */
function showStart(holder, recording) {
  const loss = recording.values[recording.loss], leaves = [...recording.arrivals.keys()].filter((v) => recording.values[v].kind === "leaf");
  holder.replaceChildren(
    html("h2", {}, "Before the first step"),
    html("p", {}, "The forward pass has run. The backward pass starts at ", valueName(loss), ", whose gradient with respect to itself is given, and walks up, one operator a step, until every parameter has its gradient."),
    html("div", { class: "pair" }, heatMap(loss.figure, "value", ["value of ", valueName(loss)]), heatMap(recording.steps[0]?.incoming[0], "grad", ["gradient it starts with"])),
    html("p", { class: "hint" }, `${recording.steps.length} steps; ${leaves.length} leaves get a gradient. Press → to begin, ? for all keys.`),
  );
}

/** One step. `open(opId)` opens the boxes around its operator; `hidden` says whether that is needed. */
function showStep(holder, recording, step, { hidden, open, full, setFull }) {
  const { op } = step;
  const parts = [
    html("header", { class: "step-head" },
      html("p", { class: "count" }, `step ${step.index + 1} of ${recording.steps.length}`),
      html("h2", {}, html("span", { class: "op-name", "data-kind": op.kind }, op.label)),
      html("p", { class: "chips" }, ...[timeText(step.seconds), bytesText(step.nbytes), op.implementation].filter(Boolean).map((t) => html("span", {}, t))),
    ),
  ];
  if (op.scope.length || hidden)
    parts.push(html("p", { class: "scope" }, op.scope.length ? `in ${op.scope.join(" › ")}` : "inside a closed box", hidden ? html("button", { type: "button", onclick: () => open(op.id) }, "open the box") : ""));
  if (op.formula) parts.push(html("p", { class: "formula" }, op.formula));
  const settings = Object.entries(op.settings ?? {});
  if (settings.length) parts.push(html("p", { class: "settings" }, settings.map(([k, v]) => `${k} = ${settingText(v)}`).join(", ")));
  parts.push(section("Comes in", "the gradient at the output", step.incoming.map((figure, i) => pairOf(recording.values[op.outputs[i]], figure))));
  parts.push(section("Goes out", step.local.length ? "to each input that wants a gradient" : "no input wants a gradient", step.local.map((l) => pairOf(l.value, l.figure, broadcastNote(l)))));
  parts.push(section("Is added", "to what has arrived there before", step.added.map((added) => sumOf(recording, added, step.index))));
  if (op.line) parts.push(lineOfCode(op.line));
  const summary = html("summary", { onclick: () => setFull(!details.open) }, "in words and numbers");
  const details = html("details", { class: "full" }, summary, html("pre", {}, step.explanation));
  details.open = full;
  parts.push(details);
  holder.replaceChildren(...parts);
}

const settingText = (x) => (Array.isArray(x) ? `(${x.map(settingText).join(", ")})` : { true: "True", false: "False", null: "None" }[x] ?? String(x));

function section(title, hint, children) {
  if (!children.length && title !== "Goes out") return "";
  return html("section", {}, html("h3", {}, title, " ", html("small", {}, hint)), ...children);
}

function pairOf(value, gradient, note = "") {
  return html("div", { class: "pair" },
    heatMap(gradient, "grad", ["∂ ", valueName(value), note]),
    heatMap(value.figure, "value", ["value"], true));
}

function broadcastNote(local) {
  const [rule, own] = [shapeText(local.rule_shape ?? local.shape), shapeText(local.shape)];
  return rule === own ? "" : html("span", { class: "note" }, ` summed from ${rule} to ${own}: it was broadcast`);
}

function sumOf(recording, added, index) {
  const { value, before, contribution, after } = added;
  const arrivals = recording.arrivals.get(value.id), complete = arrivals.at(-1)[0] <= index;
  const told = complete ? (value.kind === "leaf" ? "complete" : "complete: its operator may run") : `more will come: ${arrivals.filter(([s]) => s > index).length}`;
  const caption = html("p", { class: "sum-head" }, valueName(value), value.kind === "leaf" ? ".grad" : "", html("span", { class: complete ? "badge whole" : "badge" }, told));
  if (!before) return html("div", { class: "sum" }, caption, html("p", { class: "hint" }, "the first to arrive; nothing was there"));
  return html("div", { class: "sum" }, caption,
    html("div", { class: "terms" }, heatMap(before, "grad", ["before"], true), html("span", { class: "sign" }, "+"),
      heatMap(contribution, "grad", ["this step"], true), html("span", { class: "sign" }, "="), heatMap(after, "grad", ["now"], true)));
}

function lineOfCode({ file, number, text }) {
  return html("section", {}, html("h3", {}, "Made by ", html("small", {}, `${file.split(/[\\/]/).at(-1)}, line ${number}`)),
    html("pre", { class: "source", title: file }, html("span", { class: "lineno" }, String(number)), text || "(its text is not at hand)"));
}

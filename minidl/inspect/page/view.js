// The graph on the page: moved, zoomed, its boxes opened; what the pass has reached is marked, and its gradients appear.

const LEGEND = 44; // pixels at the bottom that the legend covers

class GraphView {
  /** `chosen(opId)` is called when an operator is clicked. */
  constructor(holder, recording, chosen) {
    this.holder = holder;
    this.recording = recording;
    this.chosen = chosen;
    this.index = -1;
    this.zoom = 1;
    this.root = recording.picture.root;
    this.svg = svg("svg", { class: "minidl-graph" });
    this.layer = svg("g");
    this.svg.append(this.layer);
    holder.append(this.svg);
    this.draw();
    this.listen();
  }

  /** The value that a part shows: of several outputs, the first that has got a gradient. */
  valueOf(part) {
    if (part.kind !== "op") return part.ref;
    const { outputs } = this.recording.ops[part.ref];
    return outputs.find((value) => gradientAt(this.recording, value, this.index) !== null) ?? outputs[0];
  }

  gradient(part) {
    return gradientAt(this.recording, this.valueOf(part), this.index);
  }

  draw() {
    this.graph = drawGraph(this.root, {
      gradients: true,
      value: (part) => this.recording.values[this.valueOf(part)].figure,
      grad: (part) => this.gradient(part),
    });
    this.layer.replaceChildren(this.graph.element);
    this.home = this.homes(); // operator → key of the visible part that it is in
    this.shownGradients = new Map();
    this.mark(this.index);
  }

  homes() {
    const found = new Map();
    const visit = (part, key) => {
      if (part.kind === "op") found.set(part.ref, key ?? part.key);
      for (const inner of part.parts ?? []) visit(inner, key ?? (part.open ? null : part.key));
    };
    visit(this.root, null);
    return found;
  }

  /** Mark what has run up to a step, the step itself, and the lines that carry it. */
  mark(index) {
    this.index = index;
    const { steps } = this.recording, now = steps[index];
    const done = new Set(steps.slice(0, index + 1).map((step) => this.home.get(step.op.id)));
    const current = now && this.home.get(now.op.id);
    const came = new Set(now ? now.op.outputs : []), sent = new Set(now ? now.local.map((l) => l.value.id) : []);
    const { wires } = this.recording.picture;
    for (const [key, { element, placed }] of this.graph.cards) {
      element.classList.toggle("current", key === current);
      element.classList.toggle("done", done.has(key) && key !== current);
      const group = element.querySelector(":scope > .grad");
      if (group) {
        const figure = this.gradient(placed.part);
        if (this.shownGradients.get(key) !== figure) {
          this.shownGradients.set(key, figure);
          showFigure(group, figure, "grad", ...group.dataset.place.split(",").map(Number));
        }
      }
    }
    for (const line of this.graph.lines) {
      const value = wires[line.wire];
      const arrives = came.has(value) && line.start.part.key === current && current !== undefined;
      const leaves = sent.has(value) && line.end.part.key === current && current !== undefined;
      line.element.classList.toggle("arrives", arrives);
      line.element.classList.toggle("leaves", leaves);
      const reached = steps.length && gradientAt(this.recording, value, index) !== null;
      line.element.classList.toggle("reached", Boolean(reached) && done.has(line.end.part.key) && !leaves);
      if (arrives || leaves) line.element.parentNode.append(line.element);
    }
    this.current = current ? this.graph.cards.get(current) : null;
  }

  /** Bring the current operator into sight, moving the graph no further than need be. */
  follow(gently = true) {
    if (this.whole()) return;
    const target = this.current ?? [...this.graph.cards.values()].find(({ placed }) => placed.part.kind === "end");
    if (!target) return;
    const { placed } = target, { clientWidth: w, clientHeight: h } = this.holder;
    const inside = (at, low, high) => Math.max(low, Math.min(at, high));
    const x = placed.x * this.zoom + this.x, y = (placed.y + placed.height / 2) * this.zoom + this.y;
    const toX = inside(x, Math.min(w * 0.5, 110), Math.max(w * 0.5, w - 170)), toY = this.current ? inside(y, h * 0.3, h * 0.66) : h * 0.8;
    if (toX !== x || toY !== y) this.moveTo(this.x + toX - x, this.y + toY - y, gently);
  }

  moveTo(x, y, gently = false) {
    [this.x, this.y] = [x, y];
    this.layer.classList.toggle("gentle", gently);
    this.layer.style.transform = `translate(${x}px, ${y}px) scale(${this.zoom})`;
  }

  scaleBy(factor, x = this.holder.clientWidth / 2, y = this.holder.clientHeight / 2) {
    const zoom = Math.max(0.05, Math.min(this.zoom * factor, 4)), by = zoom / this.zoom;
    this.zoom = zoom;
    this.moveTo(x - (x - this.x) * by, y - (y - this.y) * by);
  }

  /** The zoom at which all of the graph is in sight. */
  fitting() {
    const { clientWidth: w, clientHeight: h } = this.holder;
    return Math.min((w - 40) / this.graph.width, (h - LEGEND - 30) / this.graph.height, 1.2);
  }

  /** Whether all of the graph is in sight now. */
  whole() {
    const { clientWidth: w, clientHeight: h } = this.holder, { width, height } = this.graph;
    return this.x >= 0 && this.y >= 0 && this.x + width * this.zoom <= w && this.y + height * this.zoom <= h - LEGEND;
  }

  fit() {
    const { clientWidth: w, clientHeight: h } = this.holder;
    this.zoom = this.fitting();
    this.moveTo((w - this.graph.width * this.zoom) / 2, (h - LEGEND - this.graph.height * this.zoom) / 2 + 6);
  }

  /** All of a graph that can be read so; of a larger one the whole width, beginning at the current step or the loss. */
  start() {
    if (this.fitting() >= 0.5) return this.fit();
    this.zoom = Math.max(0.6, Math.min((this.holder.clientWidth - 40) / this.graph.width, 1));
    this.moveTo((this.holder.clientWidth - this.graph.width * this.zoom) / 2, 1e6);
    this.follow(false);
  }

  toggle(key) {
    const part = partOf(this.root, key), before = this.middleOf(key);
    part.open = !part.open;
    this.draw();
    const after = this.middleOf(key);
    if (before && after) this.moveTo(this.x + (before[0] - after[0]) * this.zoom, this.y + (before[1] - after[1]) * this.zoom);
  }

  middleOf(key) {
    for (const placed of walk(this.graph.placed)) if (placed.part.key === key) return [placed.x, placed.y];
    return null;
  }

  /** Open every box around an operator. */
  reveal(opId) {
    const path = [];
    const find = (part) => {
      if (part.kind === "op" && part.ref === opId) return true;
      for (const inner of part.parts ?? []) {
        if (find(inner)) {
          path.push(part);
          return true;
        }
      }
      return false;
    };
    find(this.root);
    for (const box of path) box.open = true;
    this.draw();
    this.follow();
  }

  listen() {
    const { holder } = this;
    let drag = null;
    const fingers = new Map();
    holder.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      drag = { x: event.clientX, y: event.clientY, moved: false };
    });
    holder.addEventListener("pointermove", (event) => {
      if (!drag || !fingers.has(event.pointerId)) return;
      const before = fingers.get(event.pointerId);
      if (fingers.size === 2) {
        const [other] = [...fingers.values()].filter((f) => f.pointerId !== event.pointerId), box = holder.getBoundingClientRect();
        const far = (f) => Math.hypot(f.clientX - other.clientX, f.clientY - other.clientY);
        this.scaleBy(far(event) / far(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
        drag.moved = true;
      } else {
        if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4 && !drag.moved) {
          drag.moved = true;
          holder.setPointerCapture(event.pointerId);
        }
        if (drag.moved) this.moveTo(this.x + event.clientX - before.clientX, this.y + event.clientY - before.clientY);
      }
      fingers.set(event.pointerId, event);
    });
    const up = (event) => fingers.delete(event.pointerId);
    holder.addEventListener("pointerup", up);
    holder.addEventListener("pointercancel", up);
    holder.addEventListener("click", (event) => {
      if (drag?.moved) return;
      const key = event.target.closest("[data-key]")?.dataset.key, part = key && partOf(this.root, key);
      if (!part) return;
      if (part.kind === "box") this.toggle(key);
      else this.chosen(part);
    });
    holder.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const box = holder.getBoundingClientRect();
        if (event.ctrlKey) this.scaleBy(Math.exp(-event.deltaY * 0.01), event.clientX - box.left, event.clientY - box.top);
        else this.moveTo(this.x - event.deltaX, this.y - event.deltaY);
      },
      { passive: false },
    );
  }
}

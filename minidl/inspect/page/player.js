// The tape: where it stands, and how it moves. It knows nothing of the page.

/** Steps 0 … n - 1; at -1 nothing has run yet. `changed(index, before)` is called after every move. */
class Player {
  constructor(steps, changed) {
    this.steps = steps;
    this.index = -1;
    this.breaks = { nan: true, norm: null, op: null };
    this.changed = changed;
    this.timer = null;
    this.speed = 2;
  }

  get last() {
    return this.steps.length - 1;
  }

  to(index) {
    const before = this.index;
    this.index = Math.max(-1, Math.min(index, this.last));
    if (this.index !== before) this.changed(this.index, before);
    return this.index !== before;
  }

  next() {
    return this.to(this.index + 1);
  }

  back() {
    return this.to(this.index - 1);
  }

  get playing() {
    return this.timer !== null;
  }

  /** Steps on by itself until the end or a break; `stopped(reason)` tells why it stopped. */
  play(stopped) {
    this.pause();
    if (this.index === this.last) this.to(-1);
    const tick = () => {
      this.next();
      const reason = this.breakAt(this.index);
      if (reason || this.index === this.last) {
        this.pause();
        stopped(reason ?? "");
      } else this.timer = setTimeout(tick, 1000 / this.speed);
    };
    this.timer = setTimeout(tick, 0);
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = null;
  }

  /** On to the next step where a condition holds: its reason, or null at the end. */
  run() {
    this.pause();
    for (let i = this.index + 1; i <= this.last; i++) {
      const reason = this.breakAt(i);
      if (reason) {
        this.to(i);
        return reason;
      }
    }
    this.to(this.last);
    return null;
  }

  /** Why the tape should stop at a step; null where it should not. */
  breakAt(index) {
    const step = this.steps[index], { nan, norm, op } = this.breaks;
    if (!step) return null;
    if (nan && step.odd) return "a NaN or an infinity";
    if (norm !== null && step.norm > norm) return `norm ${numberText(step.norm)} is above ${numberText(norm)}`;
    if (op !== null && step.label === op) return `operator ${op}`;
    return null;
  }
}

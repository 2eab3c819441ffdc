// Predict, then reveal: a question before each step, graded, and the score kept.

class Quiz {
  constructor(holder, score) {
    this.holder = holder;
    this.score = score;
    this.right = this.asked = 0;
    this.answered = new Set();
    this.on = false;
  }

  /** The question to ask before a step: the kinds take turns, and the next one stands in where one is not there. */
  questionFor(step) {
    const kinds = ["shape", "sign", "value"], questions = step.questions ?? [];
    for (let turn = 0; turn < 3; turn++) {
      const kind = kinds[(step.index + turn) % 3], found = questions.find((q) => q.kind === kind);
      if (found) return found;
    }
    return null;
  }

  /** Whether a step has a question that is still to be answered. */
  pending(step) {
    return this.on && step && !this.answered.has(step.index) && this.questionFor(step) !== null;
  }

  /** Ask before a step; `reveal()` is called when it may be shown. */
  ask(step, reveal) {
    const question = this.questionFor(step), { kind } = question;
    const answer = kind === "sign"
      ? html("fieldset", { class: "choices" }, html("legend", {}, "your answer"), ...["negative", "zero", "positive"].map((sign) =>
          html("label", {}, html("input", { type: "radio", name: "sign", value: sign, required: "" }), ` ${sign}`)))
      : html("label", {}, kind === "shape" ? "sizes, as in 4, 3 " : "a number ",
          html("input", { name: "answer", autocomplete: "off", inputmode: "text", required: "", "aria-label": "your answer" }));
    const verdict = html("p", { class: "verdict", role: "status" });
    const form = html("form", { class: "question" },
      html("h2", {}, `Before step ${step.index + 1}: ${step.label}`), html("p", { class: "prompt" }, question.prompt), answer,
      html("div", { class: "row" }, html("button", { type: "button", onclick: () => this.finish(step, null, question, form, verdict, reveal) }, "Reveal"),
        html("button", { class: "main" }, "Answer")),
      verdict);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const data = new FormData(form);
      this.finish(step, String(data.get("sign") ?? data.get("answer")), question, form, verdict, reveal);
    });
    this.holder.replaceChildren(form);
    this.holder.hidden = false;
    form.querySelector("input").focus();
  }

  finish(step, given, question, form, verdict, reveal) {
    this.answered.add(step.index);
    const good = given !== null && isRight(question, given);
    if (given !== null) {
      this.asked += 1;
      this.right += good;
    }
    this.showScore();
    form.querySelectorAll("input, fieldset, .row button").forEach((element) => (element.disabled = true));
    verdict.className = `verdict ${given === null ? "" : good ? "good" : "bad"}`;
    verdict.textContent = `${given === null ? "" : good ? "Right. " : "Not so. "}${question.reveal}`;
    const onward = html("button", { type: "button", class: "main", onclick: reveal }, "Show the step");
    form.querySelector(".row").replaceChildren(onward);
    onward.focus();
  }

  showScore() {
    this.score.hidden = !this.on;
    this.score.textContent = `${this.right} of ${this.asked}`;
  }

  close() {
    this.holder.hidden = true;
    this.holder.replaceChildren();
  }
}

/** Whether an answer, as it was typed, is right. */
function isRight({ kind, answer, tolerance }, given) {
  if (kind === "sign") return given === answer;
  const numbers = (given.match(/[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/gi) ?? []).map(Number);
  if (kind === "shape") return numbers.length === answer.length && numbers.every((n, i) => n === answer[i]);
  return numbers.length === 1 && Math.abs(numbers[0] - answer) <= tolerance;
}

// Everything joined: the tape moves, and graph, panel, scrubber and address follow.

(() => {
  const $ = (id) => document.getElementById(id);
  const recording = readRecording(JSON.parse($("data").textContent)), { steps } = recording;
  const player = new Player(steps, moved);
  const quiz = new Quiz($("quiz"), $("score"));
  const view = new GraphView($("canvas"), recording, chosen);
  let full = false;

  // ------------------------------------------------------------------------------------------------------------- moving

  function moved(index) {
    quiz.close();
    $("step").hidden = false;
    view.mark(index);
    view.follow();
    show();
  }

  function show() {
    const { index } = player, step = steps[index];
    if (step)
      showStep($("step"), recording, step, {
        hidden: view.home.get(step.op.id) !== keyOf(step.op.id),
        open: (opId) => {
          view.reveal(opId);
          show();
        },
        full,
        setFull: (open) => (full = open),
      });
    else showStart($("step"), recording);
    $("scrubber").value = index + 1;
    $("scrubber").setAttribute("aria-valuetext", step ? `step ${index + 1} of ${steps.length}: ${step.label}` : "before the first step");
    $("where").textContent = `${index + 1} / ${steps.length}`;
    drawNorms($("norms"), steps, index);
    $("play").querySelector("path").setAttribute("d", player.playing ? "M5 4h3.6v12H5zM11.4 4H15v12h-3.6z" : "M5 3.5v13L16 10z");
    $("play").setAttribute("aria-label", player.playing ? "pause" : "play");
    $("back").disabled = $("first").disabled = index < 0;
    $("next").disabled = $("last").disabled = index === player.last;
    clearTimeout(show.timer); // browsers refuse to have the address changed too often
    show.timer = setTimeout(() => address(index), 250);
  }

  function address(index) {
    try {
      history.replaceState(null, "", index < 0 ? "#" : `#step=${index + 1}`);
    } catch {
      // A page inside a frame may not change its address; nothing else depends on it.
    }
  }

  const keys = new Map();
  (function collect(part) {
    if (part.kind === "op") keys.set(part.ref, part.key);
    (part.parts ?? []).forEach(collect);
  })(view.root);
  const keyOf = (opId) => keys.get(opId);

  function chosen(part) {
    if (part.kind === "op") go(recording.stepOf.get(part.ref) ?? player.index);
    else if (part.kind === "leaf") goToValue(part.ref);
    else go(0);
  }

  function goToValue(value) {
    const arrivals = recording.arrivals.get(value);
    if (arrivals) go(arrivals.at(-1)[0]);
    else tell(`${recording.values[value].name} gets no gradient`);
  }

  function go(index) {
    player.pause();
    if (!player.to(index)) show();
  }

  /** One step on; in the game its question comes first. */
  function next() {
    player.pause();
    const step = steps[player.index + 1];
    if (quiz.pending(step)) {
      $("step").hidden = true;
      quiz.ask(step, () => player.next());
    } else if (!player.next()) show();
  }

  function play() {
    if (player.playing) {
      player.pause();
      show();
      return;
    }
    player.play((reason) => {
      show();
      if (reason) tell(`stopped: ${reason}`);
    });
    show();
  }

  function tell(text) {
    $("notice").textContent = text;
    $("notice").classList.add("shown");
    clearTimeout(tell.timer);
    tell.timer = setTimeout(() => $("notice").classList.remove("shown"), 4000);
  }

  // ----------------------------------------------------------------------------------------------------------- controls

  const actions = {
    first: () => go(-1),
    back: () => go(player.index - 1),
    play,
    next,
    last: () => go(player.last),
    "zoom-in": () => view.scaleBy(1.25),
    "zoom-out": () => view.scaleBy(0.8),
    "zoom-fit": () => view.fit(),
    "help-open": () => $("help").showModal(),
    "goto-open": openGoto,
    "break-open": () => $("break").showModal(),
    theme: () => {
      const dark = document.documentElement.dataset.theme
        ? document.documentElement.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      document.documentElement.dataset.theme = dark ? "light" : "dark";
      show();
    },
  };
  for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
  $("scrubber").max = steps.length;
  $("scrubber").addEventListener("input", (event) => go(Number(event.target.value) - 1));
  $("speed").addEventListener("change", (event) => (player.speed = Number(event.target.value)));
  $("predict").addEventListener("change", (event) => {
    quiz.on = event.target.checked;
    quiz.showScore();
    if (!quiz.on && !$("quiz").hidden) {
      quiz.close();
      $("step").hidden = false;
    }
  });
  if (!steps.some((step) => step.questions?.length)) $("predict").closest("label").hidden = true;

  const byKey = {
    ArrowRight: next,
    ArrowLeft: actions.back,
    " ": play,
    Home: actions.first,
    End: actions.last,
    g: openGoto,
    b: actions["break-open"],
    p: () => $("predict").click(),
    "?": actions["help-open"],
    "+": actions["zoom-in"],
    "=": actions["zoom-in"],
    "-": actions["zoom-out"],
    0: actions["zoom-fit"],
  };
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    if (event.key === " " && target.matches("button, summary, input")) return;
    const action = byKey[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // ------------------------------------------------------------------------------------------------------------ dialogs

  function openGoto() {
    $("goto-filter").value = "";
    list();
    $("goto").showModal();
    $("goto-filter").focus();
  }

  function list() {
    const wanted = $("goto-filter").value.toLowerCase();
    const leaves = [...recording.arrivals.keys()].map((v) => recording.values[v]).filter((v) => v.kind === "leaf");
    const entries = [
      ...leaves.map((v) => [v.name, `parameter, ${shapeText(v.shape)}`, () => goToValue(v.id)]),
      ...steps.map((s) => [`${s.label} → ${s.op.outputs.map((o) => recording.values[o].name).join(", ")}`, `step ${s.index + 1}`, () => go(s.index)]),
    ].filter(([name]) => name.toLowerCase().includes(wanted));
    $("goto-list").replaceChildren(
      ...entries.slice(0, 60).map(([name, about, action]) =>
        html("li", {}, html("button", { type: "button", onclick: () => ($("goto").close(), action()) }, html("code", {}, name), html("small", {}, about)))),
    );
  }
  $("goto-filter").addEventListener("input", list);
  $("goto-filter").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    $("goto-list").querySelector("button")?.click();
  });

  const labels = [...new Set(steps.map((step) => step.label))].sort();
  $("break-op").append(...labels.map((label) => html("option", {}, label)));
  $("break-op").addEventListener("change", () => ($("break-op-on").checked = true));
  $("break-norm").addEventListener("input", () => ($("break-norm-on").checked = true));
  const conditions = () => {
    player.breaks = {
      nan: $("break-nan").checked,
      norm: $("break-norm-on").checked ? Number($("break-norm").value) : null,
      op: $("break-op-on").checked ? $("break-op").value : null,
    };
  };
  for (const event of ["change", "input"]) $("break").addEventListener(event, conditions);
  $("break").querySelector("form").addEventListener("submit", () => {
    conditions();
    const reason = player.run();
    show();
    tell(reason ? `stopped at step ${player.index + 1}: ${reason}` : "ran to the end: no condition held");
  });
  for (const button of document.querySelectorAll("button[data-close]"))
    button.addEventListener("click", () => button.closest("dialog").close());
  for (const dialog of document.querySelectorAll("dialog"))
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  // -------------------------------------------------------------------------------------------------------------- start

  const loss = recording.values[recording.loss];
  $("title").textContent = `backward from ${loss.name}${loss.figure?.items?.length === 1 ? ` = ${numberText(loss.figure.items[0])}` : ""}`;
  $("summary").textContent = [`${recording.ops.length} operators`, `${steps.length} steps`, ...recording.picture.remarks].join(" · ");
  $("legend").append(...recording.legend.map(([role, name]) => html("span", { class: `key-${role}` }, name)));
  $("legend").append(html("span", { class: "colours" }, "values: blue below 0, red above; gradients: violet below 0, green above"));
  const asked = Number(/step=(\d+)/.exec(location.hash)?.[1] ?? 0);
  player.index = Math.min(asked, steps.length) - 1;
  view.mark(player.index);
  view.start();
  show();
  addEventListener("resize", () => (view.follow(), drawNorms($("norms"), steps, player.index)));
})();
